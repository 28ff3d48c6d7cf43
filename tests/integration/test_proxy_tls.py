"""A proxy that is itself spoken to over TLS: one set of authorities for its certificate and for the feed's (kind F)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, NamedTuple

import pytest

from artifacts_keyring.http.probe import Probe
from tests.conftest import NATIVE, ROOT
from tests.fakes import servers
from tests.fakes.azure import AzureWorld, Feed, empty_home

pytestmark = pytest.mark.provider

BUNDLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")


class Office(NamedTuple):
    """A network that is left through a proxy with TLS; one PEM file for the proxy's authority, one for both."""

    world: AzureWorld
    feed: Feed
    home: Path
    environ: dict[str, str]
    proxy_authority: Path
    both: Path


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    ca = servers.authority(tmp_path)
    both = tmp_path / "both.pem"
    with (
        AzureWorld() as world,
        servers.tls_front(ca.server, world.server.server_port) as port,
        empty_home(tmp_path) as home,
    ):
        both.write_bytes(ca.pem.read_bytes() + world.ca_file.read_bytes())
        environ = {name: value for name, value in world.environ(home).items() if name not in BUNDLES}
        environ["HTTPS_PROXY"] = f"https://localhost:{port}"
        yield Office(world, world.feed("org", "feed"), home, environ, ca.pem, both)


@pytest.mark.parametrize("variable", BUNDLES)
def test_one_bundle_for_both_legs(office: Office, variable: str) -> None:
    probe = Probe(office.feed.url, {**office.environ, variable: str(office.both)}, 30)
    assert probe.anonymous(30).code == 401
    probe.close()


@pytest.mark.parametrize("variable", BUNDLES[1:])
def test_the_proxy_s_authority_may_come_from_another_variable(office: Office, variable: str) -> None:
    named = {"SSL_CERT_FILE": str(office.world.ca_file), variable: str(office.proxy_authority)}
    probe = Probe(office.feed.url, {**office.environ, **named}, 30)
    assert probe.anonymous(30).code == 401
    probe.close()


@pytest.mark.parametrize("missing", ["world", "proxy"])
def test_an_authority_that_is_not_named_is_not_trusted(office: Office, missing: str) -> None:
    named = office.proxy_authority if missing == "world" else office.world.ca_file
    probe = Probe(office.feed.url, {**office.environ, "PIP_CERT": str(named)}, 30)
    status = probe.anonymous(30)
    assert status.code == 0 and "certificate verify failed" in status.detail
    probe.close()


@pytest.mark.parametrize("variable", BUNDLES[1:])
def test_a_stale_token_is_renewed_through_such_a_proxy(
    office: Office, payload_tree: Callable[[str], Path], variable: str
) -> None:
    tree = payload_tree(NATIVE)
    _, stale = office.world.login(office.feed, tree, office.home)
    office.world.revoke(stale)
    environ = {
        **office.environ,
        variable: str(office.both),
        "PYTHON_KEYRING_BACKEND": "artifacts_keyring.backend.ArtifactsKeyringBackend",
        "ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH": str(tree),
        "ARTIFACTS_KEYRING_NONINTERACTIVE_MODE": "true",
        "ARTIFACTS_KEYRING_TIMEOUT": "90",
    }
    command = [sys.executable, "-m", "keyring", "get", office.feed.url, "me"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.strip() not in ("", stale)
