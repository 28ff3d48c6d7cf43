"""Find out whether a person can see a prompt, and show lines to that person."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Callable, Optional, TextIO

from . import log
from .system.writer import Writer
from .variables import NONINTERACTIVE_MODE, flag

PREFIX = "artifacts-keyring: "
CI_VARIABLES = ("TF_BUILD", "GITHUB_ACTIONS", "CI")
# A client that captures our stderr may read it only after its own end: do not fill all of its pipe (64 KiB on Linux).
CAPTURED_LIMIT = 32 * 1024
# The programs that the provider's library MSAL tries on Linux (docs/sign-in.md#browser-and-device-code).
_OPENERS = ("xdg-open", "gnome-open", "kfmclient", "microsoft-edge", "wslview")
_WRITERS: dict[int, Writer] = {}  # of this process, by descriptor: what one left behind is written before what is new


def can_prompt(environ: Mapping[str, str]) -> bool:
    """Whether an interactive login may start: the user's variable decides, else outside of CI a terminal or display."""
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


def opens_windows(environ: Mapping[str, str], platform: str = sys.platform) -> bool:
    """Whether the provider can open a browser window; on Linux it needs X and a program that opens pages."""
    if platform in ("win32", "darwin"):
        return has_display(environ, platform)
    from .system import programs

    return bool(environ.get("DISPLAY")) and any(programs.find(name, environ, platform) for name in _OPENERS)


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
        show(text + "\n")


@contextlib.contextmanager
def screen(environ: Mapping[str, str]) -> Iterator[Callable[[str], None]]:
    """A function that shows text at once: on stderr and, where that is no terminal, on the terminal too.

    The terminal is left alone where prompts are unwanted. The function neither raises nor waits for a reader.
    """
    terminal = _controlling_terminal() if _wants_terminal(environ) else None
    shown = _Screen(sys.stderr, terminal)
    try:
        yield shown.show
    finally:
        shown.close()
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
    """Writes to every stream and drops one that fails; belongs to one call of screen()."""

    def __init__(self, stderr: Optional[TextIO], terminal: Optional[TextIO]) -> None:
        captured = stderr is not None and not _is_terminal(stderr)
        self._sinks = [_Sink(stderr, CAPTURED_LIMIT if captured else None)] if stderr is not None else []
        self._sinks += [_Sink(terminal, None)] if terminal is not None else []
        self._lock = threading.Lock()

    def show(self, text: str) -> None:
        with self._lock:
            self._sinks = [sink for sink in self._sinks if text == "" or sink.write(text)]

    def close(self) -> None:
        """Wait for slow readers."""
        for sink in self._sinks:
            sink.drain()


class _Sink:
    """A stream that is written to. left: how many bytes it may still get; None: any number."""

    def __init__(self, stream: TextIO, left: Optional[int]) -> None:
        self._stream, self._left = stream, left
        self._writer = _writer(stream)

    def write(self, text: str) -> bool:
        """Write *text*; return whether the stream takes more."""
        text = text[: self._left]
        try:
            self._put(text)
        except (OSError, ValueError):  # closed, or its reader went away
            return False
        if self._left is not None:
            self._left = max(0, self._left - len(text.encode(errors="replace")))
        return self._left != 0

    def _put(self, text: str) -> None:
        if self._writer is None:
            self._stream.write(_encodable(text, self._stream))
            self._stream.flush()
        else:
            data = text.replace("\n", os.linesep).encode(self._stream.encoding, "backslashreplace")
            self._writer.put(data)

    def drain(self) -> None:
        if self._writer is not None:
            self._writer.drain()


def _writer(stream: TextIO) -> Optional[Writer]:
    """The writer for a file of Python's own; None for a client's replacement and for a console of Windows."""
    if type(stream) is not io.TextIOWrapper:
        return None
    raw = getattr(stream.buffer, "raw", stream.buffer)
    if not isinstance(raw, io.FileIO):
        return None
    try:
        stream.flush()
        return _WRITERS.setdefault(stream.fileno(), Writer(stream.fileno()))
    except (OSError, ValueError):
        return None


def _encodable(text: str, stream: TextIO) -> str:
    """*text* with a question mark for each character that *stream* cannot show."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "replace").decode(encoding, "replace")
