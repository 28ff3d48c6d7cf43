"""The credential provider: find it, build its command, run it, read its answer."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Callable, NamedTuple, Optional, Union

from .. import console, log
from ..credential import Credential
from ..system import access, windows
from ..variables import BROKER, CREDENTIALPROVIDER_PATH, SIGN_IN_CACHE, Environment
from . import caches, diagnostics, dotnet, layout, process
from .output_filter import LevelFilter, no_window, shown_level

BUNDLED = Path(__file__).parents[1] / layout.FOLDER
_LAUNCHER = f"{layout.PROGRAM}.exe" if sys.platform == "win32" else layout.PROGRAM
_WRONG_MACHINE = (193, 216)  # winerror; elsewhere it is ENOEXEC
# What the child gets unless the user set it (any of the names, the first is set). Measured: without libicu
# .NET dies at once (docs/provider.md); its debugger's pipes and socket stay in the temp folder when the process is
# ended from outside; Linux has no broker, asking for it costs a second time-out (docs/sign-in.md, 4 (10)).
_DEFAULTS = (
    (("DOTNET_EnableDiagnostics", "COMPlus_EnableDiagnostics"), "0"),
    (("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT",), "1"),
    (("ARTIFACTS_CREDENTIALPROVIDER_PROGRAM_CONTEXT",), "Pip"),
)
_LINUX_DEFAULTS = ((BROKER, "false"),)
# Files that pip, requests and curl take authorities from; .NET on Linux knows only SSL_CERT_FILE.
_CA_FILES = ("REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")
_SHARED = Path("/tmp/.dotnet")  # noqa: S108 (where .NET keeps what its processes share, whatever TMPDIR says)
_BREATH = 0.2  # seconds that a prompt may come later


class ProviderError(Exception):
    """The provider cannot run or gave no usable answer: one line for users. silent: it left no hint at all."""

    def __init__(self, message: str, silent: bool = False) -> None:
        super().__init__(message)
        self.silent = silent


class Program(NamedTuple):
    """How the provider, or what stands in its place, is started: argv prefix, the file itself, its shape."""

    command: tuple[str, ...]
    path: Path
    shape: str  # "self-contained", "framework-dependent" or "token command"


class Query(NamedTuple):
    """One question to the provider. timeout in seconds."""

    url: str
    retry: bool = False
    interactive: bool = False
    timeout: float = 30.0


class Reply(NamedTuple):
    """credential None: exit code 2, nothing found; reason then says why (may be empty), else what a command said last.

    offline: a network failure was among the reasons.
    """

    credential: Optional[Credential]
    reason: str = ""
    offline: bool = False


def locate(environ: Mapping[str, str]) -> Program:
    """The provider that ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH names, else the bundled one.

    Raises ProviderError (missing, not executable, no usable dotnet).
    """
    named = environ.get(CREDENTIALPROVIDER_PATH)
    path = _file(expanded(named, environ) if named else BUNDLED)
    if path is None:
        raise ProviderError(_missing(named))
    if path.suffix.lower() == ".dll":
        return Program((str(_dotnet(environ)), "exec", str(path)), path, "framework-dependent")
    if not os.access(path, os.X_OK):
        raise ProviderError(_not_executable(path))
    return Program((str(path),), path, "self-contained")


def expanded(named: str, environ: Mapping[str, str]) -> Path:
    """The path *named*, in which a leading ~ is the user's folder."""
    home = caches.home(environ) if named == "~" or named.startswith(("~/", "~\\")) else None
    return home / named[2:] if home else Path(named)


def _not_executable(path: Path) -> str:
    if path.stat().st_mode & 0o111:
        return f"{path} may not be executed by you: check whose it is, and for a noexec mount"
    return f"the credential provider is not executable: run `chmod +x {path}`, or reinstall artifacts-keyring"


def _file(place: Path) -> Optional[Path]:
    """The file to start: *place* itself, or what a folder of the provider, or an archive of the vendor's, holds."""
    if access.is_file(place):
        return place
    for folder in (place, place / layout.VENDORS):
        name = f"{layout.PROGRAM}.dll" if access.is_folder(folder / "runtimes") else _LAUNCHER
        if access.is_file(folder / name):
            return folder / name
    return None


def _missing(named: Optional[str]) -> str:
    if named:
        return (
            f"{CREDENTIALPROVIDER_PATH}={named} is no credential provider: name its folder, its executable or its .dll"
        )
    archive = next((place for place in BUNDLED.parents if place.is_file()), None)
    if archive is not None:
        return (
            f"artifacts-keyring runs from the archive {archive}, and no program can be started out of one: unpack it "
            f"before it runs (shiv and pex do), or name a provider in {CREDENTIALPROVIDER_PATH}"
        )
    return (
        f"this installation has no credential provider below {BUNDLED}: reinstall artifacts-keyring, "
        f"or name one in {CREDENTIALPROVIDER_PATH}"
    )


def _dotnet(environ: Mapping[str, str]) -> Path:
    found = dotnet.find(environ)
    if found is not None:
        return found
    seen = [
        f"{item.path} has {', '.join(map(str, item.majors or ())) or 'none'}" for item in dotnet.candidates(environ)
    ]
    raise ProviderError(
        f"the credential provider here needs a .NET runtime of version {dotnet.MINIMUM} or newer; "
        f"{'; '.join(seen) or 'no dotnet in DOTNET_ROOT, PATH or the usual places'}: install one, "
        "install artifacts-keyring from the wheel of your platform (it needs no .NET), "
        f"or name a self-contained provider in {CREDENTIALPROVIDER_PATH}"
    )


def command_line(program: Program, query: Query, can_show_dialog: bool) -> list[str]:
    """The whole argument list; nothing in it is secret. Debug costs nothing (measured) and says why."""
    return [
        *program.command,
        *("-Uri", without_user(query.url)),
        *("-IsRetry", str(query.retry).lower()),
        *("-NonInteractive", str(not query.interactive).lower()),
        *("-CanShowDialog", str(query.interactive and can_show_dialog).lower()),
        *("-OutputFormat", "Json"),
        *("-Verbosity", "Debug"),
    ]


def without_user(url: str) -> str:
    """*url* without the user part, which may hold a password."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}" if separator else url


def child_environ(environ: Mapping[str, str], platform: str = sys.platform) -> dict[str, str]:
    """The environment of the provider: the user's, and what it lacks."""
    known, result = Environment(environ, platform), Environment(environ, platform)
    for names, value in (*_DEFAULTS, *(_LINUX_DEFAULTS if platform.startswith("linux") else ())):
        if not any(name in known for name in names):
            result[names[0]] = value
    if platform.startswith("linux"):
        if not any(name in known for name in SIGN_IN_CACHE) and not caches.sign_ins_readable(known, platform):
            result[SIGN_IN_CACHE[0]] = "false"
        bundle = next((known[name] for name in _CA_FILES if access.is_file(Path(known.get(name) or "."))), None)
        if bundle and not known.get("SSL_CERT_FILE"):
            result["SSL_CERT_FILE"] = bundle
    return dict(result)


class Run:
    """The provider at work on one query; as a context manager it is gone at the end of the block."""

    _who = "the credential provider"

    def __init__(self, program: Program, query: Query, environ: Mapping[str, str], show: Callable[[str], None]) -> None:
        self._program, self._query, self._environ = program, query, environ
        command = self._command()
        log.write(environ, f"run {self._shown(command)}")
        self._deadline = time.monotonic() + query.timeout
        self._show, self._started = show, threading.Event()
        try:
            self._child = process.Child(command, self._surroundings(), self._prompt if query.interactive else _hold)
        except OSError as error:
            raise ProviderError(self._not_started(error)) from error
        self._started.set()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._child.stop()

    def _prompt(self, text: str) -> None:
        """Show stderr as good as at once, without what stdout says in the same breath."""
        self._started.wait(_BREATH)
        said = self._child.heard(time.monotonic() + _BREATH)
        self._show(log.without_answer(text, said))

    def first_words(self) -> Optional[Credential]:
        """The credential as soon as it has been said; None: not yet, or none. Only reply() is the answer.

        From here to the provider's end it takes a twentieth of its run (measured), long enough for a check.
        """
        try:
            return parse(self._child.heard(self._deadline))
        except ProviderError:
            return None

    def reply(self) -> Reply:
        """Wait for its end and read its answer. Raises ProviderError."""
        output = self._child.wait(self._deadline)
        stderr = log.without_answer(output.stderr, output.stdout)
        log.write(self._environ, f"exit code {output.code}\n{stderr}")
        if not self._query.interactive:
            # Not as it comes: only now is it known what must not be shown, and there is nothing to be answered.
            self._show(stderr)
        if output.overflow:
            raise ProviderError(f"{self._who} wrote more than {process.STDOUT_LIMIT} bytes as its answer: {_CHECK}")
        if output.code is None:
            raise ProviderError(self._late(stderr))
        return self._read(output.code, output.stdout, stderr)

    # What is the provider's own in this; token_command.py has another program.

    def _command(self) -> Union[str, Sequence[str]]:
        query = self._query
        return command_line(self._program, query, query.interactive and console.opens_windows(self._environ))

    def _shown(self, command: Union[str, Sequence[str]]) -> str:
        return " ".join(command)

    def _surroundings(self) -> dict[str, str]:
        return child_environ(self._environ)

    def _not_started(self, error: OSError) -> str:
        return not_started(self._program, error)

    def _read(self, code: int, stdout: bytes, stderr: str) -> Reply:
        if code == 2:
            return Reply(None, diagnostics.login_reason(stderr) or _unkept(self._environ), diagnostics.offline(stderr))
        if code != 0:
            raise died(code, stderr, self._environ)
        return Reply(parse(stdout))

    def _late(self, stderr: str) -> str:
        reason = diagnostics.login_reason(stderr)
        what = f"no answer for {without_user(self._query.url)} within {self._query.timeout:.3g} s"
        next_step = f"({reason})" if reason else "check network and proxy, or raise ARTIFACTS_KEYRING_TIMEOUT"
        return f"{self._who} gave {what}: {next_step}"


def _unkept(environ: Mapping[str, str]) -> str:
    """Why an earlier sign-in may not have been found; "" where nothing is in the way."""
    in_the_way = caches.obstacle(environ, caches.SIGN_INS)
    return f"its cache cannot be used: {in_the_way}" if in_the_way else ""


def _hold(_text: str) -> None:
    """Nothing: what it says is kept for the end."""


_CHECK = "check it with `python -m artifacts_keyring doctor`"
_UNHEARD = (
    "the credential provider died without a word (exit code -1): "
    f"the host of the feed cannot be reached, or a security program ended it; {_CHECK}"
)


@contextlib.contextmanager
def screen(environ: Mapping[str, str], query: Query) -> Iterator[Callable[[str], None]]:
    """What to give a Run: shows at once what of the provider's stderr the user wants to see."""
    level = shown_level(environ, query.interactive)
    if level is None:
        yield _hold
        return
    with console.screen(environ) as show:
        hint = f"{console.PREFIX}{no_window(child_environ(environ))}\n" if query.interactive else ""
        yield LevelFilter(level, show, hint)


def start(program: Program, query: Query, environ: Mapping[str, str], show: Callable[[str], None]) -> Run:
    """Start a run; *show* gets the provider's stderr, piece by piece, in another thread. Raises ProviderError."""
    return Run(program, query, environ, show)


def run(program: Program, query: Query, environ: Mapping[str, str]) -> Reply:
    """Ask and wait, with the provider's stderr shown as it comes. Raises ProviderError."""
    with screen(environ, query) as show, start(program, query, environ, show) as running:
        return running.reply()


def parse(stdout: bytes) -> Credential:
    """The credential in the provider's answer: exactly one JSON object with both fields. Raises ProviderError."""
    try:
        answer = json.loads(stdout.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ProviderError(f"the credential provider's answer is not UTF-8: {_CHECK}") from None
    except (ValueError, RecursionError):  # its message would quote the answer
        raise ProviderError(f"the credential provider's answer is no JSON ({len(stdout)} bytes): {_CHECK}") from None
    username, password = (answer.get("Username"), answer.get("Password")) if isinstance(answer, dict) else (None, None)
    if not (isinstance(username, str) and isinstance(password, str) and password):
        raise ProviderError(f"the credential provider's answer has no Username and Password: {_CHECK}")
    if not (_encodable(username) and _encodable(password)):
        raise ProviderError(f"the credential provider's answer holds half a character, which nobody can send: {_CHECK}")
    return Credential(username, password)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: valid in JSON, but no character
        return False
    return True


def not_started(program: Program, error: OSError, platform: str = sys.platform) -> str:
    """Why a program could not be started, and what to do, as one line."""
    winerror = getattr(error, "winerror", None)
    if winerror in _WRONG_MACHINE or (platform != "win32" and error.errno == errno.ENOEXEC):
        return (
            f"{program.path} is for another processor or system than this one: install artifacts-keyring "
            f"from the wheel of this platform, or name a provider in {CREDENTIALPROVIDER_PATH}"
        )
    if platform == "win32":
        sentence = windows.not_started(winerror, error.strerror)
        return f"{program.command[0]} {sentence or f'cannot be started ({error.strerror}): {_CHECK}'}"
    if error.errno == errno.ENOENT and access.is_file(program.path):
        return (
            f"{program.path} cannot be started because its loader is missing (a glibc program on a musl system?): "
            "install artifacts-keyring from its sdist together with the distribution's .NET 8"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        what = f"{program.command[0]} may not be executed ({error.strerror})"
        return f"{what}: run `chmod +x` on it, and check for a noexec mount"
    return f"{program.command[0]} cannot be started ({error.strerror}): {_CHECK}"


def died(code: int, stderr: str, environ: Mapping[str, str], platform: str = sys.platform) -> ProviderError:
    """What an exit code that is neither 0 nor 2 means; stderr: without anything secret."""
    known = diagnostics.startup_reason(stderr)
    if known:
        return ProviderError(f"the credential provider cannot run: {known}")
    if code < 0:
        return ProviderError(f"the credential provider was ended by signal {-code}: try again, or {_CHECK}")
    words = diagnostics.login_reason(stderr) or diagnostics.unprefixed_words(stderr)
    shown = windows.end(code) if platform == "win32" else str(code)
    if shown in ("255", "-1") and not words:
        return _silent_death(environ) if platform != "win32" else ProviderError(_UNHEARD, silent=True)
    hint = f" ({words})" if words else ""
    return ProviderError(f"the credential provider failed with exit code {shown}{hint}: {_CHECK}")


def _silent_death(environ: Mapping[str, str]) -> ProviderError:
    """Which of the known reasons for exit code 255 it was, as far as can be seen (docs/sign-in.md, 4 (11))."""
    what = "the credential provider died without a word (exit code 255): "
    if access.is_folder(_SHARED) and not os.access(_SHARED, os.W_OK | os.X_OK):
        return ProviderError(f"{what}{_SHARED} is not writable for you, make it so")
    in_the_way = caches.why_dead(environ)
    if in_the_way:
        return ProviderError(f"{what}{in_the_way}")
    guess = f"its folder {_SHARED} or HOME cannot be written, or the host of the feed cannot be reached; {_CHECK}"
    return ProviderError(what + guess, silent=True)
