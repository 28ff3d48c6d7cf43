"""What `doctor` looks at: each check is one line, and a failed one names the next step."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from ctypes.util import find_library
from pathlib import Path
from typing import NamedTuple, Optional, TextIO

from .. import __version__, dotnet, log, provider, trust
from ..variables import CREDENTIALPROVIDER_PATH, EXTERNAL_ENDPOINTS, VARIABLES

_PACKAGE = Path(__file__).resolve().parent.parent
_PROVIDER_PREFIXES = ("ARTIFACTS_CREDENTIALPROVIDER_", "VSS_NUGET_", "NUGET_CREDENTIALPROVIDER_")
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")
# Values of these hold credentials as a whole.
_SECRET = re.compile(r"ENDPOINTS|TOKEN|PASSWORD|SECRET", re.IGNORECASE)
_NOWHERE = "https://pkgs.dev.azure.com/doctor/_packaging/doctor/pypi/simple/"
_DECLARED = json.dumps({"endpointCredentials": [{"endpoint": _NOWHERE, "username": "doctor", "password": "doctor"}]})
_PATIENCE = 30  # seconds for a program that only has to say its version


class Check(NamedTuple):
    """One line. ok: True, False, or None for what is said without a judgement; step: what to do when it is False."""

    name: str
    ok: Optional[bool]
    detail: str
    step: str = ""


def examine(environ: Mapping[str, str], url: Optional[str]) -> list[Check]:
    """All checks, in the order in which they are shown."""
    checks = [_version(), *_provider(environ), _integrity(environ), *_libraries(environ), *_surroundings(environ)]
    checks += [_backend(), _command(environ), *_clients(environ)]
    return [*checks, _look_up(environ, url)] if url else checks


def _version() -> Check:
    return Check("version", None, f"artifacts-keyring {__version__}, Python {sys.version.split()[0]}, {sys.platform}")


# --- the provider


def _provider(environ: Mapping[str, str]) -> Iterator[Check]:
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
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("provider runs", False, str(error), "reinstall artifacts-keyring for this platform")
    version = re.search(rb"Command-line v(\d[\w.]*)", done.stderr)
    if version and b"doctor" in done.stdout:
        return Check("provider runs", True, f"version {version[1].decode()}")
    words = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    said = words[0] if words else "it said nothing"
    return Check("provider runs", False, f"exit code {done.returncode}: {said}", "see the lines on libraries below")


def _integrity(environ: Mapping[str, str]) -> Check:
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


def _libraries(environ: Mapping[str, str]) -> Iterator[Check]:
    if sys.platform.startswith("linux"):
        openssl = find_library("ssl")
        step = "install the distribution's OpenSSL library (libssl3, openssl-libs or the like)"
        yield Check("OpenSSL", openssl is not None, openssl or "libssl not found", "" if openssl else step)
        icu = find_library("icuuc")
        yield Check("libicu", None, icu or "not found, and not needed: the provider is started without it")
    runtimes = dotnet.candidates(environ)
    found = ", ".join(f"{runtime.path} {runtime.majors or 'of unknown version'}" for runtime in runtimes)
    needed = any((_PACKAGE / "bin").rglob("runtimes"))
    fits = any(runtime.fits for runtime in runtimes)
    step = f"install a .NET runtime {dotnet.MINIMUM} or newer, or a platform wheel of artifacts-keyring"
    yield Check("dotnet", fits if needed else None, found or "none found", "" if fits or not needed else step)


def _surroundings(environ: Mapping[str, str]) -> Iterator[Check]:
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


# --- those who ask


def _backend() -> Check:
    from keyring import backend

    from ..backend import ArtifactsKeyringBackend

    seen = any(isinstance(one, ArtifactsKeyringBackend) for one in backend.get_all_keyring())
    step = "reinstall artifacts-keyring with the Python that keyring runs on"
    return Check("keyring sees the backend", seen, "yes" if seen else "no", "" if seen else step)


def _command(environ: Mapping[str, str]) -> Check:
    found = shutil.which("keyring", path=environ.get("PATH", os.defpath))
    if found is None:
        return Check("keyring on PATH", None, "none; clients that run `keyring` (uv, pip's subprocess) need one")
    scripts = Path(sys.prefix) / ("Scripts" if os.name == "nt" else "bin")
    # A tool installer puts a link on PATH, and a link to the interpreter into the environment: look at both ends.
    if scripts.resolve() in (Path(found).parent.resolve(), Path(found).resolve().parent):
        return Check("keyring on PATH", True, found)
    if "artifacts_keyring" in _backends(found, environ):
        return Check("keyring on PATH", True, f"{found}, another environment with this backend in it")
    step = f"put {scripts} first on PATH, or install artifacts-keyring beside that keyring"
    return Check("keyring on PATH", False, f"{found} belongs to another environment, without this backend", step)


def _backends(command: str, environ: Mapping[str, str]) -> str:
    """What another environment's keyring says it has; nothing where it does not answer."""
    try:
        done = subprocess.run(
            [command, "--list-backends"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def _clients(environ: Mapping[str, str]) -> Iterator[Check]:
    yield Check("pip", None, _pip())
    said = environ.get("UV_KEYRING_PROVIDER")
    uv = f"UV_KEYRING_PROVIDER={said}" if said else "UV_KEYRING_PROVIDER is not set: uv asks keyring only if told to"
    yield Check("uv", None, uv)


def _pip() -> str:
    command = [sys.executable, "-m", "pip", "config", "get", "global.keyring-provider"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "does not answer"
    value = os.environ.get("PIP_KEYRING_PROVIDER") or done.stdout.strip()
    return f"keyring-provider is {value}" if value else "keyring-provider is not set: pip uses keyring if importable"


def _look_up(environ: Mapping[str, str], url: str) -> Check:
    from .. import lookup

    shown = provider.without_user(url)
    try:
        answer = lookup.find(url, environ, interactive=False)
    except lookup.LookupFailed as error:
        return Check("look-up", False, f"{shown}: nothing found", str(error))
    if answer.credential is None:
        return Check("look-up", True, f"{shown}: no credential needed ({answer.source})")
    return Check(
        "look-up", True, f"{shown}: user {answer.credential.username}, password {log.HIDDEN} ({answer.source})"
    )


# --- how it is shown


def as_json(checks: list[Check]) -> Iterator[str]:
    """The checks as one JSON array of objects."""
    yield json.dumps([check._asdict() for check in checks], indent=2)


def as_text(checks: list[Check], stream: TextIO, environ: Mapping[str, str]) -> Iterator[str]:
    """One line a check, with the next step below a failed one; colours only for a terminal that wants them."""
    marks = _marks(stream)
    colours = {True: "32", False: "31", None: "2"}
    coloured = stream.isatty() and not environ.get("NO_COLOR")
    for check in checks:
        mark = f"\033[{colours[check.ok]}m{marks[check.ok]}\033[0m" if coloured else marks[check.ok]
        yield f"{mark} {check.name}: {check.detail}"
        if check.step:
            yield f"    {check.step}"


def _marks(stream: TextIO) -> dict[Optional[bool], str]:
    marks: dict[Optional[bool], str] = {True: "✓", False: "✗", None: "·"}
    try:
        "".join(marks.values()).encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return {True: "ok", False: "FAILED", None: "-"}
    return marks
