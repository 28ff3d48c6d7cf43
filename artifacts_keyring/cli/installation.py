"""What is installed here, and what it stands on: provider, libraries, authorities, variables."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from ctypes import CDLL
from pathlib import Path

from .. import __version__, log
from ..http import trust
from ..provider import caches, dotnet, layout, provider
from ..provider.process import Child
from ..variables import CREDENTIALPROVIDER_PATH, EXTERNAL_ENDPOINTS, VARIABLES
from .check import PATIENCE, Check, plain

_PACKAGE = Path(__file__).resolve().parent.parent
_PROVIDER_PREFIXES = ("ARTIFACTS_CREDENTIALPROVIDER_", "VSS_NUGET_", "NUGET_CREDENTIALPROVIDER_")
_PROXIES = ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
# Values of these hold credentials as a whole.
_SECRET = re.compile(r"ENDPOINTS|TOKEN|PASSWORD|SECRET", re.IGNORECASE)
_NOWHERE = "https://pkgs.dev.azure.com/doctor/_packaging/doctor/pypi/simple/"
_DECLARED = json.dumps({"endpointCredentials": [{"endpoint": _NOWHERE, "username": "doctor", "password": "doctor"}]})
_OPENSSL = ("libssl.so.3", "libssl.so.1.1", "libssl.so.1.0.2")  # what .NET 8 looks for


def version() -> Check:
    """What is looked at: this package, Python, system."""
    return Check("version", None, f"artifacts-keyring {__version__}, Python {sys.version.split()[0]}, {sys.platform}")


# --- the provider


def provider_at_work(environ: Mapping[str, str]) -> Iterator[Check]:
    """Whether there is a provider, and whether it runs."""
    try:
        program = provider.locate(environ)
    except provider.ProviderError as error:
        yield Check("provider", False, str(error).partition(": ")[0], plain(str(error)))
        return
    yield Check("provider", True, f"{program.shape}, {program.path}")
    yield _runs(program, environ)


def _runs(program: provider.Program, environ: Mapping[str, str]) -> Check:
    # Not `-h`: it never ends where TERM is not set. A declared credential needs no network either.
    name, query = "provider runs", provider.Query(_NOWHERE)
    command = provider.command_line(program, query, can_show_dialog=False)
    try:
        with Child(command, {**provider.child_environ(environ), EXTERNAL_ENDPOINTS[0]: _DECLARED}) as running:
            done = running.wait(time.monotonic() + PATIENCE)
    except OSError as error:
        return Check(name, False, str(error), plain(provider.not_started(program, error)))
    if done.code is None:
        return Check(
            name, False, f"no end within {PATIENCE} s", f"{program.path} does not end: end what keeps it waiting"
        )
    version = re.search(r"Command-line v(\d[\w.]*)", done.stderr)
    if version and b"doctor" in done.stdout:
        return Check(name, True, f"version {version[1]}")
    # Never its stdout, which is where a password is; nor a stderr that repeats one.
    said = log.without_answer(done.stderr, done.stdout).strip()
    words = said.splitlines()[0] if said else "it said nothing on stderr"
    step = plain(str(provider.died(done.code, said, environ)))
    if done.code in (0, 2):
        step = f"{program.path} gives no credential that is declared: reinstall artifacts-keyring"
    return Check(name, False, f"exit code {done.code}: {words}", step)


def integrity(environ: Mapping[str, str]) -> Check:
    """Whether the provider is, byte for byte, the one that the wheel was built with."""
    if environ.get(CREDENTIALPROVIDER_PATH):
        return Check("integrity", None, f"not checked: {CREDENTIALPROVIDER_PATH} names a provider of your own")
    record = _PACKAGE / "payload.json"
    try:
        facts = json.loads(record.read_text(encoding="utf-8"))
        wanted = str(facts["tree_sha256"])
        seen = _tree_digest(provider.BUNDLED)
    except (OSError, ValueError, KeyError, TypeError) as error:
        step = f"{record} cannot be used ({error}): reinstall artifacts-keyring"
        return Check("integrity", False, f"no record of what was installed: {error}", step)
    detail = f"provider {facts.get('version')} for {facts.get('target')}, tree sha256 {seen}"
    step = f"the provider below {_PACKAGE / 'bin'} was changed after its wheel was built: reinstall artifacts-keyring"
    return Check("integrity", seen == wanted, detail, "" if seen == wanted else step)


def _tree_digest(root: Path) -> str:
    """The digest that the build recorded: sha256 over the sorted lines `<sha256>  <the vendor's path>`."""
    files = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if path.is_file()}
    digests = {layout.vendors(place): _file_digest(path) for place, path in files.items()}
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
    """What the provider needs of the system."""
    if sys.platform.startswith("linux"):
        openssl = next(filter(_loads, _OPENSSL), None)
        step = "install the distribution's OpenSSL library (libssl3, openssl-libs or the like)"
        yield Check("OpenSSL", openssl is not None, openssl or "libssl not found", "" if openssl else step)
    runtimes = dotnet.candidates(environ)
    found = ", ".join(f"{runtime.path} {runtime.majors or 'of unknown version'}" for runtime in runtimes)
    needed = any(provider.BUNDLED.rglob("runtimes"))
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
    """Variables and authorities that every look-up reads."""
    # Each name as it stands there: Windows finds one in any spelling.
    names = [name for name in sorted(environ) if name.upper() in _PROXIES and environ[name]]
    proxies = [f"{name}={log.redact(environ[name])}" for name in names]
    yield Check("proxy variables", None, ", ".join(proxies) or "none set")
    yield _authorities(environ)
    yield Check("variables", None, ", ".join(_in_force(environ)) or "none set")


def _authorities(environ: Mapping[str, str]) -> Check:
    named = ", ".join(f"{name}={path}" for name, path in trust.named_authorities(environ))
    try:
        trust.ssl_context(environ)
    except trust.TrustError as error:
        return Check("certificates", False, str(error).partition(": ")[0], str(error))
    return Check("certificates", True, named or "the system's")


def _in_force(environ: Mapping[str, str]) -> Iterator[str]:
    own = {variable.name for variable in VARIABLES}
    for name in sorted(environ):
        if name in own or name.startswith(_PROVIDER_PREFIXES):
            yield f"{name}={log.HIDDEN if _SECRET.search(name) else log.redact(environ[name])}"


# --- where the provider keeps what it knows


def stores(environ: Mapping[str, str], *, needed: bool) -> Iterator[Check]:
    """Whether each cache can be read and written; needed: False where a credential is declared."""
    for kind in (caches.SESSIONS, caches.SIGN_INS):
        wrong = caches.obstacle(environ, kind)
        if wrong:
            step = f"{wrong.what}, and there the provider keeps its {kind}: {wrong.fix}" if needed else ""
            yield Check(f"cache of {kind}", False if needed else None, wrong.what, step)
    yield from map(_store, (state for state in caches.states(environ) if not state.obstacle))


def _store(state: caches.State) -> Check:
    name, path = f"cache of {state.cache.kind}", state.cache.path
    if state.age is None:
        return Check(name, None, f"nothing at {path} yet; it can be written")
    return Check(name, True, f"{path}, owned by {state.owner or 'you'}, written {_age(state.age)} ago")


def _age(seconds: float) -> str:
    return f"{seconds / 86400:.0f} days" if seconds >= 2 * 86400 else f"{seconds / 3600:.1f} hours"
