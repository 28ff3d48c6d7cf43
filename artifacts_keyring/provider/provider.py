"""The credential provider: find it, build its command, run it, read its answer."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Callable, NamedTuple, Optional, Union

from .. import log
from ..credential import Credential
from ..system import access
from ..variables import BROKER, COMMAND, CREDENTIALPROVIDER_PATH, SIGN_IN_CACHE, TIMEOUT, VERBOSITY, Environment
from . import caches, layout, process

BUNDLED = Path(__file__).parent.parent / layout.FOLDER
_LAUNCHER = f"{layout.PROGRAM}.exe" if sys.platform == "win32" else layout.PROGRAM
# What the child gets unless the user set it (any of the names, the first is set). Without libicu .NET dies at once,
# and its debugger's pipes and socket outlive a process that is ended (docs/provider.md#what-it-needs-of-a-system);
# Linux has no broker, and asking for it costs a second time-out (docs/sign-in.md#browser-and-device-code).
_DEFAULTS = (
    (("DOTNET_EnableDiagnostics", "COMPlus_EnableDiagnostics"), "0"),
    (("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT",), "1"),
    (("ARTIFACTS_CREDENTIALPROVIDER_PROGRAM_CONTEXT",), "Pip"),
)
_LINUX_DEFAULTS = ((BROKER, "false"),)
# Files that pip, requests and curl take authorities from; .NET on Linux knows only SSL_CERT_FILE.
_CA_FILES = ("REQUESTS_CA_BUNDLE", "PIP_CERT", "CURL_CA_BUNDLE")
CHECK = f"check it with `{COMMAND} doctor`"
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
    if path is not None and path.suffix.lower() == ".dll":
        return Program((_dotnet(environ), "exec", str(path)), path, "framework-dependent")
    if path is not None and os.access(path, os.X_OK):
        return Program((str(path),), path, "self-contained")
    from . import failures

    raise ProviderError(failures.not_executable(path) if path is not None else failures.missing(named, BUNDLED))


def _dotnet(environ: Mapping[str, str]) -> str:
    from . import dotnet, failures

    found = dotnet.find(environ)
    if found is None:
        raise ProviderError(failures.no_dotnet(environ))
    return str(found)


def expanded(named: str, environ: Mapping[str, str]) -> Path:
    """The path *named*, in which a leading ~ is the user's folder."""
    home = caches.home(environ) if named == "~" or named.startswith(("~/", "~\\")) else None
    return home / named[2:] if home else Path(named)


def _file(place: Path) -> Optional[Path]:
    """The file to start: *place* itself, or what a folder of the provider, or an archive of the vendor's, holds."""
    if access.is_file(place):
        return place
    for folder in (place, place / layout.VENDORS):
        name = f"{layout.PROGRAM}.dll" if access.is_folder(folder / "runtimes") else _LAUNCHER
        if access.is_file(folder / name):
            return folder / name
    return None


def command_line(program: Program, query: Query, can_show_dialog: bool) -> list[str]:
    """The whole argument list; nothing in it is secret. Debug says why, for nothing (docs/provider.md#command-line)."""
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
        log.prepare()  # while it works

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_error: object) -> None:
        self._child.stop()

    def _prompt(self, text: str) -> None:
        """Show stderr almost at once, without what stdout says at the same moment."""
        self._started.wait(_BREATH)
        said = self._child.heard(time.monotonic() + _BREATH)
        self._show(log.without_answer(text, said))

    def first_words(self) -> Optional[Credential]:
        """The credential as soon as it has been said; None: not yet, or none. Only reply() is the answer.

        From here to its end it takes a twentieth of its run (docs/provider.md#command-line), long enough for a check.
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
            # Not earlier: only now it is known what must not be shown, and there is no prompt to answer.
            self._show(stderr)
        if output.overflow:
            raise ProviderError(f"{self._who} wrote more than {process.STDOUT_LIMIT} bytes as its answer: {CHECK}")
        if output.code is None:
            raise ProviderError(self._late(stderr))
        return self._read(output.code, output.stdout, stderr)

    # What is the provider's own in this; token_command.py has another program.

    def _command(self) -> Union[str, Sequence[str]]:
        query = self._query
        if not query.interactive:
            return command_line(self._program, query, False)
        from .. import console

        return command_line(self._program, query, console.opens_windows(self._environ))

    def _shown(self, command: Union[str, Sequence[str]]) -> str:
        return " ".join(command)

    def _surroundings(self) -> dict[str, str]:
        return child_environ(self._environ)

    def _not_started(self, error: OSError) -> str:
        from . import failures

        return failures.not_started(self._program.command[0], self._program.path, error)

    def _read(self, code: int, stdout: bytes, stderr: str) -> Reply:
        if code == 0:
            return Reply(parse(stdout))
        from . import diagnostics, failures

        if code == 2:
            reason = diagnostics.login_reason(stderr) or failures.unkept(self._environ)
            return Reply(None, reason, diagnostics.offline(stderr))
        line, silent = failures.died(code, stderr, self._environ)
        raise ProviderError(line, silent)

    def _late(self, stderr: str) -> str:
        from . import diagnostics

        reason = diagnostics.login_reason(stderr)
        what = f"no answer for {without_user(self._query.url)} within {self._query.timeout:.3g} s"
        said = f" ({reason})" if reason else ""
        return f"{self._who} gave {what}{said}: check network and proxy, or raise {TIMEOUT}"


def _hold(_text: str) -> None:
    """Do nothing: stderr is shown at the end."""


@contextlib.contextmanager
def screen(environ: Mapping[str, str], query: Query) -> Iterator[Callable[[str], None]]:
    """The function for a Run that shows the part of the provider's stderr that the user wants to see."""
    if not query.interactive and not environ.get(VERBOSITY):
        yield _hold
        return
    from .. import console
    from .output_filter import LevelFilter, no_window, shown_level

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
    import json

    try:
        answer = json.loads(stdout.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ProviderError(f"the credential provider's answer is not UTF-8: {CHECK}") from None
    except (ValueError, RecursionError):  # its message would quote the answer
        raise ProviderError(f"the credential provider's answer is no JSON ({len(stdout)} bytes): {CHECK}") from None
    username, password = (answer.get("Username"), answer.get("Password")) if isinstance(answer, dict) else (None, None)
    if not (isinstance(username, str) and isinstance(password, str) and password):
        raise ProviderError(f"the credential provider's answer has no Username and Password: {CHECK}")
    if not (_encodable(username) and _encodable(password)):
        raise ProviderError(f"the credential provider's answer holds half a character, which cannot be sent: {CHECK}")
    return Credential(username, password)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair: valid in JSON, but no character
        return False
    return True
