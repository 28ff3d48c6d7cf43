"""`doctor`: why does my client get no package? Each check is one line, and the last line says what to do."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Optional, TextIO

from .. import session
from ..credential import Credential
from ..feeds import Feed
from ..http import trust
from ..http.probe import Probe, Status
from . import configured, connection, credentials, installation, pip_and_twine, uv_and_poetry
from .check import Check

NEXT = "next step"
_WORKS = "everything works"


def examine(environ: Mapping[str, str], url: Optional[str], feed: Optional[Feed]) -> list[Check]:
    """All checks, and as the last one the next step; url: as it was typed, feed: what it means.

    What breaks everything comes first, so that the first failed check is where to begin.
    """
    command = list(credentials.command(environ))
    declared = bool(command) or (feed is not None and credentials.declaring(feed, environ) is not None)
    installed = [*installation.provider_at_work(environ), installation.integrity(environ)]
    installed += [*installation.libraries(environ), *installation.stores(environ, needed=not declared)]
    checks = [installation.version(), *installation.surroundings(environ), installation.keyring_choice(environ)]
    checks += command
    if url is None or feed is None:
        checks += [*installed, *_clients(environ, None, None)]
    else:
        checks += _asked(environ, url, feed, installed, declared)
    failed = next((check for check in checks if check.ok is False), None)
    end = Check(NEXT, True, _WORKS) if failed is None else Check(NEXT, False, failed.name, failed.step)
    return [*checks, end]


def examine_configured(environ: Mapping[str, str]) -> list[Check]:
    """All checks with the one feed that is configured here; without a feed, and naming each, if there are several."""
    found = configured.feeds(environ)
    named = [Check("feed", None, f"{each.feed.index_url}, as {each.where} says") for each in found]
    if len(found) == 1:
        return [*named, *examine(environ, found[0].feed.index_url, found[0].feed)]
    return [*named, *examine(environ, None, None)]


def _asked(environ: Mapping[str, str], url: str, feed: Feed, installed: list[Check], declared: bool) -> Iterator[Check]:
    """The connection to *feed*, what it answers, and what each client would send it."""
    seconds = session.patience(environ)
    with contextlib.closing(Probe(feed.index_url, environ, seconds)) as probe:
        steps = list(_connection(environ, feed, seconds))
        yield from steps
        if not steps or any(check.ok is False for check in steps):
            yield from (*installed, *_clients(environ, feed, None))
            return

        def judge(credential: Credential) -> Status:
            return probe.check(credential, seconds)

        look_up = credentials.look_up(url, feed, environ, judge)
        # Nothing asks the provider if a credential is declared, or if a command gives it.
        yield from (look_up, *installed) if declared else (*installed, look_up)
        yield from _clients(environ, feed, judge)


def _connection(environ: Mapping[str, str], feed: Feed, seconds: float) -> Iterator[Check]:
    with contextlib.suppress(trust.TrustError):  # `certificates` has said so already
        yield from connection.examine(feed.index_url, environ, seconds)


def _clients(environ: Mapping[str, str], feed: Optional[Feed], judge: Optional[credentials.Judge]) -> Iterator[Check]:
    found = [pip_and_twine.examine(feed, environ), uv_and_poetry.examine(feed, environ)]
    for checks, _ in found:
        yield from checks
    yield from (credentials.judged(one, judge) for _, stored in found for one in stored)
    yield installation.keyring_on_path(environ)


# --- how it is shown


def as_json(checks: list[Check]) -> Iterator[str]:
    """The checks as one JSON array of objects; the last one is the next step."""
    yield json.dumps([check._asdict() for check in checks], indent=2)


def as_text(checks: list[Check], stream: TextIO, environ: Mapping[str, str]) -> Iterator[str]:
    """One line for each check, and what to do in the last one; colours only on a terminal, and not with NO_COLOR."""
    marks = _marks(stream)
    colours = {True: "32", False: "31", None: "2"}
    coloured = stream.isatty() and not environ.get("NO_COLOR") and _knows_escapes(stream)
    for check in checks[:-1]:
        mark = f"\033[{colours[check.ok]}m{marks[check.ok]}\033[0m" if coloured else marks[check.ok]
        yield f"{mark} {check.name}: {check.detail}"
        if check.step:
            yield f"    {check.step}"
    end = checks[-1]
    yield end.detail if end.ok else f"{end.name}: {end.step}"


def _marks(stream: TextIO) -> dict[Optional[bool], str]:
    marks: dict[Optional[bool], str] = {True: "✓", False: "✗", None: "·"}
    try:
        "".join(marks.values()).encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return {True: "ok", False: "FAILED", None: "-"}
    return marks


if sys.platform == "win32":

    def _knows_escapes(stream: TextIO) -> bool:
        """Whether the console understands escape sequences: a classic one prints them."""
        import ctypes
        import msvcrt

        mode = ctypes.c_ulong()
        handle = ctypes.c_void_p(msvcrt.get_osfhandle(stream.fileno()))
        known = ctypes.windll.kernel32.GetConsoleMode(handle, ctypes.byref(mode))
        return bool(known and mode.value & 0x4)  # ENABLE_VIRTUAL_TERMINAL_PROCESSING
else:

    def _knows_escapes(_stream: TextIO) -> bool:
        return True
