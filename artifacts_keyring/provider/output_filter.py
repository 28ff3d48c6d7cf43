"""Choose what is shown of the provider's messages: it always runs at Debug, so that a failure has a reason."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Callable, Optional

from ..variables import BROKER, SHOW_DIALOG, VERBOSITY, device_flow, flag, in_force

LEVELS = ("Debug", "Verbose", "Information", "Minimal", "Warning", "Error")
_BY_TAG = {f"[{level}]": index for index, level in enumerate(LEVELS)}
_LONGEST = max(map(len, _BY_TAG))
# A prompt is Minimal: an interactive run must not hide it, whatever the user's level.
_PROMPT = LEVELS.index("Minimal")
_DEFAULT = LEVELS.index("Information")
_COMPLAINT = LEVELS.index("Warning")
_WINDOW = "Use the opened dialog or browser window"  # what it says before it opens one, and waits


def shown_level(environ: Mapping[str, str], interactive: bool) -> Optional[str]:
    """The lowest level to show: the user's ARTIFACTS_KEYRING_VERBOSITY, else what a login needs; None: nothing."""
    wanted = environ.get(VERBOSITY, "").strip().capitalize()
    if wanted not in LEVELS:
        return LEVELS[_DEFAULT] if interactive else None
    return LEVELS[min(LEVELS.index(wanted), _PROMPT)] if interactive else wanted


def no_window(environ: Mapping[str, str], platform: str = sys.platform) -> str:
    """What to do if the user does not see the window that the provider opens; *environ* is the provider's."""
    name = in_force(environ, BROKER)
    broker = name is None or flag(environ, name) is not False
    # Broker and browser each take the whole time-out; then the code comes (docs/sign-in.md#browser-and-device-code).
    wait = device_flow(environ) * (2 if broker else 1)
    display = "" if platform in ("win32", "darwin") else " or unset DISPLAY"
    return f"no window? A code follows after {wait:g} s; to get it at once, set {SHOW_DIALOG[0]}=false{display}"


class LevelFilter:
    """Passes on, letter by letter, the messages of at least *level*; a line without a tag belongs to the one before.

    Stack traces (the further lines of a complaint) are shown at Verbose and below only. *hint* is shown after the
    first line that speaks of a window.
    """

    def __init__(self, level: str, show: Callable[[str], None], hint: str = "") -> None:
        self._least = LEVELS.index(level)
        self._show, self._hint, self._line = show, hint, ""
        self._message: Optional[int] = None  # level of the message that we are in
        self._start: Optional[str] = ""  # of the line, while its tag is not known yet
        self._visible = True

    def __call__(self, text: str) -> None:
        for piece in text.splitlines(keepends=True):
            if self._start is None:
                self._pass_on(piece)
            else:
                self._begin(self._start + piece)
            self._line += piece if self._hint else ""
            if piece.endswith("\n"):
                self._start = ""
                self._end_line()

    def _end_line(self) -> None:
        if _WINDOW in self._line:
            self._show(self._hint)
            self._hint = ""
        self._line = ""

    def _begin(self, line: str) -> None:
        tag, closing, _rest = line.partition("]")
        undecided = line.startswith("[") and not closing and len(line) < _LONGEST and not line.endswith("\n")
        if undecided or not line:
            self._start = line
            return
        self._start = None
        level = _BY_TAG.get(tag + closing)
        self._visible = self._further() if level is None else level >= self._least
        self._message = self._message if level is None else level
        self._pass_on(line)

    def _further(self) -> bool:
        if self._message is None:
            return True
        return self._message >= self._least and (self._message < _COMPLAINT or self._least < _DEFAULT)

    def _pass_on(self, piece: str) -> None:
        if self._visible:
            self._show(piece)
