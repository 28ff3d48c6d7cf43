"""Where a person can see a prompt or a line, and whether anyone can."""

from __future__ import annotations

import codecs
import contextlib
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Callable, Optional, TextIO

from . import log
from .variables import NONINTERACTIVE_MODE, flag

PREFIX = "artifacts-keyring: "
CI_VARIABLES = ("TF_BUILD", "GITHUB_ACTIONS", "CI")
# A client that captures our stderr may read it only after we end: never fill its pipe (64 KiB on Linux).
CAPTURED_LIMIT = 32 * 1024


def can_prompt(environ: Mapping[str, str]) -> bool:
    """Whether an interactive login may start: the user's word, else no CI and a terminal or display."""
    forbidden = flag(environ, NONINTERACTIVE_MODE)
    if forbidden is not None:
        return not forbidden
    return not in_ci(environ) and (has_display(environ) or has_terminal())


def in_ci(environ: Mapping[str, str]) -> bool:
    """Whether a variable of CI_VARIABLES says that this is an unattended build."""
    return any(environ.get(name, "").strip().lower() not in ("", "0", "false", "no") for name in CI_VARIABLES)


def has_display(environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether a browser window would be seen."""
    if platform == "win32":
        return bool(environ.get("SESSIONNAME"))  # set in a logged-on session, not in services
    if platform == "darwin":
        return "SSH_CONNECTION" not in environ
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def has_terminal() -> bool:
    """Whether stderr is a terminal, or a controlling terminal can be written to."""
    if _is_terminal(sys.stderr):
        return True
    terminal = _controlling_terminal()
    if terminal is None:
        return False
    terminal.close()
    return True


def say(line: str, environ: Mapping[str, str]) -> None:
    """Show one line to the user and log it. Never raises."""
    text = PREFIX + " ".join(log.redact(line).split())
    log.write(environ, text)
    with screen(environ) as show:
        show(text.encode(errors="replace") + b"\n")


@contextlib.contextmanager
def screen(environ: Mapping[str, str]) -> Iterator[Callable[[bytes], None]]:
    """A function that shows bytes at once: on stderr and, where that is no terminal, on the terminal too.

    The terminal is left alone where prompts are unwanted. The function never raises.
    """
    terminal = _controlling_terminal() if _wants_terminal(environ) else None
    try:
        yield _Screen(sys.stderr, terminal).show
    finally:
        if terminal is not None:
            terminal.close()


def _wants_terminal(environ: Mapping[str, str]) -> bool:
    return not _is_terminal(sys.stderr) and not flag(environ, NONINTERACTIVE_MODE) and not in_ci(environ)


def _controlling_terminal() -> Optional[TextIO]:
    name = "CONOUT$" if sys.platform == "win32" else "/dev/tty"
    try:
        return open(name, "w", encoding="utf-8", errors="replace")  # noqa: PTH123 (a device, not a path)
    except OSError:
        return None


def _is_terminal(stream: Optional[TextIO]) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (ValueError, OSError):  # closed under us
        return False


class _Screen:
    """Decodes once, writes everywhere, forgets a stream that fails; its state belongs to one screen()."""

    def __init__(self, stderr: Optional[TextIO], terminal: Optional[TextIO]) -> None:
        self._streams = [stream for stream in (stderr, terminal) if stream is not None]
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._lock = threading.Lock()
        self._left = {id(stderr): CAPTURED_LIMIT} if stderr is not None and not _is_terminal(stderr) else {}

    def show(self, data: bytes) -> None:
        with self._lock:
            text = self._decoder.decode(data)
            self._streams = [stream for stream in self._streams if text == "" or self._write(stream, text)]

    def _write(self, stream: TextIO, text: str) -> bool:
        text = text[: self._left.get(id(stream), len(text))]
        try:
            stream.write(text)
            stream.flush()
        except (OSError, ValueError):  # closed, or its reader went away
            return False
        if id(stream) in self._left:
            self._left[id(stream)] -= len(text.encode(errors="replace"))
            return self._left[id(stream)] > 0
        return True
