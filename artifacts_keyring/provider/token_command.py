"""Run the user's own command that prints a token, instead of the provider.

No shell is involved unless the command names one: nothing is expanded or piped.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Callable, Union

from .. import value_checks
from ..credential import DEFAULT_USERNAME, Credential
from ..feeds import Feed
from ..system import programs, windows
from ..variables import TIMEOUT, TOKEN_COMMAND
from . import diagnostics
from .provider import Program, ProviderError, Query, Reply, Run, expanded, parse

_WANTED = "it has to print the token alone, on one line, or a JSON object with Username and Password"


def locate(environ: Mapping[str, str], platform: str = sys.platform) -> Program:
    """The program that ARTIFACTS_KEYRING_TOKEN_COMMAND begins with, and its arguments; on Windows as one text.

    Raises ProviderError.
    """
    line = environ.get(TOKEN_COMMAND, "").strip()
    flaw = value_checks.of_shape(line)
    if flaw and flaw != value_checks.QUOTED:  # a command may well begin and end with a quote
        raise ProviderError(f"{TOKEN_COMMAND} {flaw}")
    name, *arguments = _windows_words(line) if platform == "win32" else _words(line)
    path = programs.find(str(expanded(name, environ)) if name.startswith("~") else name, environ, platform)
    if path is None:
        where = "is no program" if _has_folder(name) else "is in no folder of PATH"
        raise ProviderError(f"{TOKEN_COMMAND} begins with {name}, which {where}: install it, or write its whole path")
    return Program((str(path), *arguments), path, "token command")


def _has_folder(name: str) -> bool:
    return any(sign in name for sign in "/\\")


def _words(line: str) -> list[str]:
    import shlex

    try:
        return shlex.split(line) or [""]
    except ValueError as error:
        step = "write it as for a shell, and a quote that is meant as it stands behind a backslash"
        raise ProviderError(f"{TOKEN_COMMAND} cannot be split into words ({error}): {step}") from None


def _windows_words(line: str) -> list[str]:
    """The program, and the rest as it stands: each program there takes its own command line apart."""
    if line.startswith('"'):
        name, _, rest = line[1:].partition('"')
    else:
        name = line.split(maxsplit=1)[0]
        rest = line[len(name) :]
    return [name, rest.strip()] if rest.strip() else [name]


def shown(program: Program) -> str:
    """What logs and reports say of it: not its arguments, of which one may be a secret."""
    return " ".join((str(program.path), *("…" for _ in program.command[1:2])))


def start(feed: Feed, timeout: float, environ: Mapping[str, str], show: Callable[[str], None]) -> Run:
    """Start it for *feed*, to end within *timeout* seconds. Raises ProviderError."""
    return _CommandRun(locate(environ), feed, Query(feed.index_url, timeout=timeout), environ, show)


class _CommandRun(Run):
    """The command at work. What it says is only believed at its end: half a token looks like a whole one."""

    def __init__(
        self, program: Program, feed: Feed, query: Query, environ: Mapping[str, str], show: Callable[[str], None]
    ) -> None:
        self._feed = feed
        self._who = f"the command in {TOKEN_COMMAND} ({program.path.name})"
        super().__init__(program, query, environ, show)

    def _command(self) -> Union[str, Sequence[str]]:
        path, *rest = self._program.command
        return " ".join((f'"{path}"', *rest)) if sys.platform == "win32" else self._program.command

    def _shown(self, _command: Union[str, Sequence[str]]) -> str:
        return shown(self._program)

    def _surroundings(self) -> dict[str, str]:
        # The user's own, tokens and all: it may be one of these that the command works with. But without the command
        # itself: it may run a client that asks us.
        kept = {name: value for name, value in self._environ.items() if name != TOKEN_COMMAND}
        return {
            **kept,
            "ARTIFACTS_KEYRING_URL": self._feed.index_url,
            "ARTIFACTS_KEYRING_ORGANISATION": self._feed.organisation or "",
            "ARTIFACTS_KEYRING_FEED": self._feed.name or "",
        }

    def first_words(self) -> None:
        """Nothing."""

    def _not_started(self, error: OSError) -> str:
        return f"{self._who} cannot be started ({error.strerror}): see that {self._program.path} can"

    def _late(self, stderr: str) -> str:
        what = f"{self._who} gave no answer within {self._query.timeout:.3g} s"
        return f"{what}{_last(stderr)}: see what it waits for, or raise {TIMEOUT}"

    def _read(self, code: int, stdout: bytes, stderr: str) -> Reply:
        if code:
            shown = windows.end(code) if sys.platform == "win32" else str(code)
            how = f"was ended by signal {-code}" if shown.startswith("-") else f"failed with exit code {shown}"
            raise ProviderError(f"{self._who} {how}{_last(stderr)}: run it by itself, and see that it prints a token")
        return Reply(self._credential(stdout, stderr), diagnostics.unprefixed_words(stderr))

    def _credential(self, stdout: bytes, stderr: str) -> Credential:
        try:
            token = value_checks.bare(stdout.decode("utf-8-sig"))
        except UnicodeDecodeError:
            raise ProviderError(f"the answer of {self._who} is not UTF-8: {_WANTED}") from None
        if token.startswith("{") and not value_checks.of_shape(token):
            return self._of_object(stdout, stderr)
        flaw = "is empty" if not token else "has several lines" if "\n" in token else ""
        if flaw:
            raise ProviderError(f"the answer of {self._who} {flaw}{_last(stderr)}: {_WANTED}")
        flaw = value_checks.of_value(token)
        if flaw:
            raise ProviderError(f"the answer of {self._who} {flaw}")
        return Credential(DEFAULT_USERNAME, token)

    def _of_object(self, stdout: bytes, stderr: str) -> Credential:
        try:
            return parse(stdout)
        except ProviderError:
            what = f"the answer of {self._who} is no JSON object with Username and Password"
            raise ProviderError(f"{what}{_last(stderr)}: {_WANTED}") from None


def _last(stderr: str) -> str:
    words = diagnostics.unprefixed_words(stderr)
    return f" ({words})" if words else ""
