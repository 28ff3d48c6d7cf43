"""What of the provider's chatter is shown: it always talks at Debug, so that a failure has a reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable, Optional

from .variables import VERBOSITY

LEVELS = ("Debug", "Verbose", "Information", "Minimal", "Warning", "Error")
_BY_TAG = {f"[{level}]": index for index, level in enumerate(LEVELS)}
_LONGEST = max(map(len, _BY_TAG))
# A prompt is Minimal: an interactive run must not hide it, whatever the user's level.
_PROMPT = LEVELS.index("Minimal")
_DEFAULT = LEVELS.index("Information")
_COMPLAINT = LEVELS.index("Warning")


def shown_level(environ: Mapping[str, str], interactive: bool) -> Optional[str]:
    """The lowest level to show: the user's ARTIFACTS_KEYRING_VERBOSITY, else what a login needs; None: nothing."""
    wanted = environ.get(VERBOSITY, "").strip().capitalize()
    if wanted not in LEVELS:
        return LEVELS[_DEFAULT] if interactive else None
    return LEVELS[min(LEVELS.index(wanted), _PROMPT)] if interactive else wanted


class LevelFilter:
    """Passes on, letter by letter, the messages of at least *level*; a line without a tag belongs to the one before.

    Stack traces (the further lines of a complaint) are shown at Verbose and below only.
    """

    def __init__(self, level: str, show: Callable[[str], None]) -> None:
        self._least = LEVELS.index(level)
        self._show = show
        self._message: Optional[int] = None  # level of the message that we are in
        self._start: Optional[str] = ""  # of the line, while its tag is not known yet
        self._visible = True

    def __call__(self, text: str) -> None:
        for piece in text.splitlines(keepends=True):
            if self._start is None:
                self._pass_on(piece)
            else:
                self._begin(self._start + piece)
            if piece.endswith("\n"):
                self._start = ""

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
