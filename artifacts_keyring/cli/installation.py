"""What is installed here, and what it stands on: provider, libraries, authorities, variables."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from ctypes import CDLL
from pathlib import Path

from .. import __version__, dotnet, log, provider, trust
from ..variables import CREDENTIALPROVIDER_PATH, EXTERNAL_ENDPOINTS, VARIABLES
from .check import PATIENCE, Check

_PACKAGE = Path(__file__).resolve().parent.parent
_PROVIDER_PREFIXES = ("ARTIFACTS_CREDENTIALPROVIDER_", "VSS_NUGET_", "NUGET_CREDENTIALPROVIDER_")
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")
# Values of these hold credentials as a whole.
_SECRET = re.compile(r"ENDPOINTS|TOKEN|PASSWORD|SECRET", re.IGNORECASE)
_NOWHERE = "https://pkgs.dev.azure.com/doctor/_packaging/doctor/pypi/simple/"
_DECLARED = json.dumps({"endpointCredentials": [{"endpoint": _NOWHERE, "username": "doctor", "password": "doctor"}]})
_OPENSSL = ("libssl.so.3", "libssl.so.1.1", "libssl.so.1.0.2")  # what .NET 8 looks for


def version() -> Check:
    return Check("version", None, f"artifacts-keyring {__version__}, Python {sys.version.split()[0]}, {sys.platform}")


# --- the provider


def provider_at_work(environ: Mapping[str, str]) -> Iterator[Check]:
    try:
        program = provider.locate(environ)
    except provider.ProviderError as error:
        message, _, step = str(error).partition(": ")
        yield Check("provider", False, message, step)
        return
    yield Check("provider", True, f"{program.shape}, {program.path}")
    yield _runs(program, environ)


def _runs(program: provider.Program, environ: Mapping[str, str]) -> Check:
    # Not `-h`: it never ends where TERM is not set. A declared credential needs no network either.
    query = provider.Query(_NOWHERE)
    command = provider.command_line(program, query, can_show_dialog=False)
    try:
        done = subprocess.run(
            command,
            env={**provider.child_environ(environ), EXTERNAL_ENDPOINTS[0]: _DECLARED},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("provider runs", False, str(error), "reinstall artifacts-keyring for this platform")
    version = re.search(rb"Command-line v(\d[\w.]*)", done.stderr)
    if version and b"doctor" in done.stdout:
        return Check("provider runs", True, f"version {version[1].decode()}")
    # Never its stdout, which is where a password is; nor a stderr that repeats one.
    words = log.without_answer(done.stderr.decode(errors="replace"), done.stdout).strip().splitlines()
    said = words[0] if words else "it said nothing on stderr"
    return Check("provider runs", False, f"exit code {done.returncode}: {said}", "see the lines on libraries below")


def integrity(environ: Mapping[str, str]) -> Check:
    if environ.get(CREDENTIALPROVIDER_PATH):
        return Check("integrity", None, f"not checked: {CREDENTIALPROVIDER_PATH} names a provider of your own")
    record = _PACKAGE / "payload.json"
    try:
        facts = json.loads(record.read_text(encoding="utf-8"))
        wanted = str(facts["tree_sha256"])
        seen = _tree_digest(_PACKAGE / "bin")
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Check("integrity", False, f"no record of what was installed: {error}", "reinstall artifacts-keyring")
    detail = f"provider {facts.get('version')} for {facts.get('target')}, tree sha256 {seen}"
    step = f"the wheel was built with {wanted}: reinstall artifacts-keyring"
    return Check("integrity", seen == wanted, detail, "" if seen == wanted else step)


def _tree_digest(root: Path) -> str:
    """The digest that the build recorded: sha256 over the sorted lines `<sha256>  <path>`."""
    digests = {path.relative_to(root).as_posix(): _file_digest(path) for path in root.rglob("*") if path.is_file()}
    lines = (f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


# --- what the provider stands on


def libraries(environ: Mapping[str, str]) -> Iterator[Check]:
    if sys.platform.startswith("linux"):
        openssl = next(filter(_loads, _OPENSSL), None)
        step = "install the distribution's OpenSSL library (libssl3, openssl-libs or the like)"
        yield Check("OpenSSL", openssl is not None, openssl or "libssl not found", "" if openssl else step)
    runtimes = dotnet.candidates(environ)
    found = ", ".join(f"{runtime.path} {runtime.majors or 'of unknown version'}" for runtime in runtimes)
    needed = any((_PACKAGE / "bin").rglob("runtimes"))
    fits = any(runtime.fits for runtime in runtimes)
    step = f"install a .NET runtime {dotnet.MINIMUM} or newer, or a platform wheel of artifacts-keyring"
    yield Check("dotnet", fits if needed else None, found or "none found", "" if fits or not needed else step)


def _loads(library: str) -> bool:
    # Not ctypes.util.find_library: it runs the ldconfig, gcc and ld that PATH leads to, be it into the current folder.
    try:
        CDLL(library)
    except OSError:
        return False
    return True


def surroundings(environ: Mapping[str, str]) -> Iterator[Check]:
    proxies = [f"{name}={log.redact(environ[name])}" for name in _PROXIES if environ.get(name)]
    yield Check("proxy", None, ", ".join(proxies) or "none in the environment")
    yield _authorities(environ)
    yield Check("variables", None, ", ".join(_in_force(environ)) or "none set")


def _authorities(environ: Mapping[str, str]) -> Check:
    named = ", ".join(f"{name}={path}" for name, path in trust.named_authorities(environ))
    try:
        trust.ssl_context(environ)
    except trust.TrustError as error:
        message, _, step = str(error).partition("; ")
        return Check("certificates", False, message, step or "correct or unset the variable")
    return Check("certificates", True, named or "the system's")


def _in_force(environ: Mapping[str, str]) -> Iterator[str]:
    own = {variable.name for variable in VARIABLES}
    for name in sorted(environ):
        if name in own or name.startswith(_PROVIDER_PREFIXES):
            yield f"{name}={log.HIDDEN if _SECRET.search(name) else log.redact(environ[name])}"
