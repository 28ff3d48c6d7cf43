"""What importing costs: nothing beyond keyring itself, until somebody asks about a feed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

# What a process has that runs keyring without us; the rest is our doing.
BASE = "import keyring.backend, keyring.credentials"
HEAVY = (
    "httpx",
    "httpcore",
    "subprocess",
    "json",
    "socket",
    "ssl",
    "truststore",
    "urllib.request",
    "http.client",
    "logging.handlers",
)


def added(code: str, **environ: str) -> set[str]:
    """The modules that `code` adds to what keyring itself imports."""
    script = f"""
import sys
{BASE}
before = set(sys.modules)
{code}
added = set(sys.modules) - before
import json
print(json.dumps(sorted(added)))
"""
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": path, **environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(json.loads(done.stdout))


def ours(modules: set[str]) -> set[str]:
    return {module for module in modules if module.partition(".")[0] == "artifacts_keyring"}


def test_importing_the_package_imports_nothing() -> None:
    assert added("import artifacts_keyring") == {"artifacts_keyring"}


def test_importing_the_predecessors_module_imports_nothing() -> None:
    assert added("import artifacts_keyring.plugin") == {"artifacts_keyring", "artifacts_keyring.plugin"}


def test_importing_the_backend_imports_nothing_beyond_keyring() -> None:
    assert added("import artifacts_keyring.backend") == {"artifacts_keyring", "artifacts_keyring.backend"}


FOREIGN = """
from artifacts_keyring import ArtifactsKeyringBackend
backend = ArtifactsKeyringBackend()
for service in ("python-poetry-check", "poetry-repository-x", "https://example.test/simple/", "example.test:8080"):
    assert backend.get_credential(service, None) is None
    assert backend.get_password(service, "user") is None
"""


@pytest.mark.parametrize(
    "environ", [{}, {"VSS_NUGET_URI_PREFIXES": "https://pkgs.dev.azure.com/o/", "VSS_NUGET_ACCESSTOKEN": "t"}]
)
def test_a_foreign_service_imports_nothing_beyond_keyring(environ: dict[str, str]) -> None:
    modules = added(FOREIGN, **environ)
    assert modules == ours(modules)
    assert not any(name in modules for name in HEAVY)


def test_a_declared_credential_starts_no_process_and_opens_no_connection() -> None:
    entry = {"endpoint": "https://pkgs.dev.azure.com/o/_packaging/f/pypi/simple/", "username": "u", "password": "p"}
    code = """
from artifacts_keyring import ArtifactsKeyringBackend
found = ArtifactsKeyringBackend().get_credential("https://pkgs.dev.azure.com/o/_packaging/f/pypi/upload/", None)
assert (found.username, found.password) == ("u", "p")
"""
    declared = json.dumps({"endpointCredentials": [entry]})
    modules = added(code, ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS=declared)
    assert not modules & {"httpx", "subprocess", "socket", "ssl", "truststore", "artifacts_keyring.provider.provider"}


def test_names_that_are_not_there_are_attribute_errors() -> None:
    import artifacts_keyring

    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        artifacts_keyring.nonsense  # noqa: B018
    assert {"ArtifactsKeyringBackend", "CredentialProvider", "__version__"} <= set(dir(artifacts_keyring))
