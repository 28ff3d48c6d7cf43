"""What is installed here and what it needs: keyring, provider, libraries, authorities, variables, caches."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from ctypes import CDLL
from pathlib import Path
from typing import NamedTuple, Optional

from .. import __version__, log
from ..http import trust
from ..provider import caches, dotnet, failures, layout, provider
from ..provider.process import Child
from ..system import access, programs
from ..variables import (
    CREDENTIALPROVIDER_PATH,
    EXTERNAL_ENDPOINTS,
    HOSTS,
    INSECURE_HOSTS,
    LOG_PATH,
    NONINTERACTIVE_MODE,
    TIMEOUT,
    TOKEN_COMMAND,
    VERBOSITY,
)
from .check import PATIENCE, Check, ask, plain

_BACKEND = "PYTHON_KEYRING_BACKEND"
_OURS = "artifacts_keyring"
_INSTALL = f"{sys.executable} -m pip install"
_PACKAGE = Path(__file__).resolve().parent.parent
_PROVIDER_PREFIXES = ("ARTIFACTS_CREDENTIALPROVIDER_", "VSS_NUGET_", "NUGET_CREDENTIALPROVIDER_")
_PROXIES = ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
# Variables whose whole value is a credential.
_SECRET = re.compile(r"ENDPOINTS|TOKEN|PASSWORD|SECRET", re.IGNORECASE)
_NOWHERE = "https://pkgs.dev.azure.com/doctor/_packaging/doctor/pypi/simple/"
_DECLARED = json.dumps({"endpointCredentials": [{"endpoint": _NOWHERE, "username": "doctor", "password": "doctor"}]})
_OPENSSL = ("libssl.so.3", "libssl.so.1.1", "libssl.so.1.0.2")  # what .NET 8 looks for


class Variable(NamedTuple):
    """A variable that the runtime reads for itself: name, default as typed ("" for none), one line of meaning."""

    name: str
    default: str
    meaning: str


VARIABLES: tuple[Variable, ...] = (
    Variable(HOSTS, "", "further hosts that hold feeds, with all below them; separated by ; or , or spaces"),
    Variable(INSECURE_HOSTS, "", "hosts that may also be asked over http; the credential then travels in clear text"),
    Variable(NONINTERACTIVE_MODE, "", "true: never prompt; false: always; unset: where a person sees it, not in CI"),
    Variable(TIMEOUT, "30", "seconds that one look-up without interaction may take"),
    Variable(LOG_PATH, "", "file that the details of every look-up are appended to, without secrets"),
    Variable(VERBOSITY, "", "lowest level of the provider's messages to show, Debug to Error"),
    Variable(CREDENTIALPROVIDER_PATH, "", "provider to run instead of the bundled one: folder, executable or .dll"),
    Variable(TOKEN_COMMAND, "", "command, without a shell, that prints a token; run instead of the provider"),
)


def version() -> Check:
    """The versions of this package, Python and system."""
    return Check("version", None, f"artifacts-keyring {__version__}, Python {sys.version.split()[0]}, {sys.platform}")


# --- keyring


def keyring_choice(environ: Mapping[str, str]) -> Check:
    """Whether this backend is among those that keyring asks in this Python."""
    name = "keyring asks"
    try:
        import keyring

        backend = keyring.get_keyring()
        asked = list(getattr(backend, "backends", [backend]))  # the chainer's, in its order
    except Exception as error:  # a backend's import, or a keyring too old for this Python, may raise anything
        line = " ".join(f"{type(error).__name__}: {error}".split())
        homeless = isinstance(error, RuntimeError) and "home directory" in line  # of pathlib, for keyring's file
        remedy = "set HOME to a folder of yours" if homeless else f"upgrade it: {_INSTALL} --upgrade keyring"
        remedy = _remedy(environ, remedy)
        return Check(name, False, f"keyring itself fails ({line})", f"keyring itself fails ({line}): {remedy}")
    shown = ", ".join(f"{type(one).__module__}.{type(one).__qualname__}" for one in asked) or "no backend at all"
    if any(type(one).__module__.partition(".")[0] == _OURS for one in asked):
        return Check(name, True, shown)
    remedy = _remedy(
        environ, f"reinstall this package where keyring is: {_INSTALL} --force-reinstall artifacts-keyring"
    )
    return Check(name, False, f"{shown}, not this backend", f"keyring asks {shown}, not this backend: {remedy}")


def _remedy(environ: Mapping[str, str], otherwise: str) -> str:
    """What to do: the variable wins over the file, as in keyring."""
    if _BACKEND in environ:
        return f"unset {_BACKEND}, which is {environ[_BACKEND]!r}"
    file = _configuration()
    if file is not None:
        return f"remove {file}, or its default-keyring (`keyring --disable` writes it)"
    return otherwise


def _configuration() -> Optional[Path]:
    """keyring's configuration file, if it names a backend."""
    try:
        from keyring.util import platform_

        file = Path(platform_.config_root(), "keyringrc.cfg")
        return file if "default-keyring" in file.read_text(encoding="utf-8", errors="replace") else None
    except Exception:  # no such file, not readable, no home, or a keyring that does not load at all
        return None


def scripts() -> Path:
    """The folder of the programs of this Python."""
    return Path(sys.prefix) / ("Scripts" if os.name == "nt" else "bin")


def find_keyring(environ: Mapping[str, str], but: Optional[Path] = None) -> Optional[Path]:
    """The `keyring` on PATH; *but*: a folder that pip ignores."""
    found = programs.found("keyring", environ)
    return next((path for path in found if but is None or path.parent.resolve() != but.resolve()), None)


def keyring_on_path(environ: Mapping[str, str]) -> Check:
    """The `keyring` that uv runs, and that pip's subprocess runs if it is outside pip's own environment."""
    name, program = "keyring on PATH", find_keyring(environ)
    if program is None:
        return Check(name, None, "none; clients that run `keyring` (uv, pip's subprocess) need one")
    # A tool installer puts links on PATH and links to the interpreter into the environment: compare both ends.
    if scripts().resolve() in (program.parent.resolve(), program.resolve().parent):
        return Check(name, True, str(program))
    if has_ours(program, environ):
        return Check(name, True, f"{program}, another environment with this backend in it")
    what = f"{program} belongs to another environment, without this backend"
    step = f"{program}, first on PATH, is without this backend: put {scripts()} first, or install this package there"
    return Check(name, False, what, step)


def has_ours(program: Path, environ: Mapping[str, str]) -> bool:
    """Whether another environment's keyring says that it has this backend."""
    done = ask([str(program), "--list-backends"], environ)
    return done is not None and _OURS.encode() in done.stdout


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
    # Not `-h`: it may never end (docs/provider.md#command-line). A declared credential needs no network either.
    name, query = "provider runs", provider.Query(_NOWHERE)
    command = provider.command_line(program, query, can_show_dialog=False)
    try:
        with Child(command, {**provider.child_environ(environ), EXTERNAL_ENDPOINTS[0]: _DECLARED}) as running:
            done = running.wait(time.monotonic() + PATIENCE)
    except OSError as error:
        return Check(name, False, str(error), plain(failures.not_started(program.command[0], program.path, error)))
    if done.code is None:
        return Check(
            name, False, f"no end within {PATIENCE} s", f"{program.path} does not end: end what keeps it waiting"
        )
    version = re.search(r"Command-line v(\d[\w.]*)", done.stderr)
    if version and b"doctor" in done.stdout:
        return Check(name, True, f"version {version[1]}")
    # Never show its stdout, which holds a password, nor a stderr that repeats one.
    said = log.without_answer(done.stderr, done.stdout).strip()
    words = said.splitlines()[0] if said else "it said nothing on stderr"
    step = plain(failures.died(done.code, said, environ)[0])
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
    step = f"the provider below {provider.BUNDLED} was changed after its wheel was built: reinstall artifacts-keyring"
    return Check("integrity", seen == wanted, detail, "" if seen == wanted else step)


def _tree_digest(root: Path) -> str:
    """The digest that the build recorded: sha256 over the sorted lines `<sha256>  <the vendor's path>`."""
    files = {layout.vendors(path.relative_to(root).as_posix()): path for path in root.rglob("*") if path.is_file()}
    lines = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n" for name, path in sorted(files.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


# --- what the provider needs


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
    # Not ctypes.util.find_library: it runs ldconfig, gcc and ld by PATH, which may lead into the current folder.
    try:
        CDLL(library)
    except OSError:
        return False
    return True


def surroundings(environ: Mapping[str, str]) -> Iterator[Check]:
    """Variables and authorities that every look-up reads."""
    # Each name as it is spelled there: Windows ignores case.
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


# --- the provider's caches


def stores(environ: Mapping[str, str], *, needed: bool) -> Iterator[Check]:
    """Whether each cache can be read and written; needed: False if a credential is declared."""
    for kind in (caches.SESSIONS, caches.SIGN_INS):
        wrong = caches.obstacle(environ, kind)
        cache = caches.in_use(environ, kind) if caches.keeps(environ, kind) else None
        if wrong:
            step = f"{wrong.what}, where the provider keeps its {kind}: {wrong.fix}" if needed else ""
            yield Check(f"cache of {kind}", False if needed else None, wrong.what, step)
        elif cache is not None:
            yield _store(cache)


def _store(cache: caches.Cache) -> Check:
    name, path = f"cache of {cache.kind}", cache.path
    try:
        hours = max(0.0, time.time() - path.stat().st_mtime) / 3600
    except (OSError, ValueError):
        return Check(name, None, f"nothing at {path} yet; it can be written")
    age = f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.1f} hours"
    return Check(name, True, f"{path}, owned by {access.owner(path) or 'you'}, written {age} ago")
