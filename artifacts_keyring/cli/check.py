"""One line of `doctor`, and how doctor asks a program."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

from ..provider.process import Child, Output

PATIENCE = 30  # seconds for a program that only has to say something about itself
_ADVICE = re.compile(r" with `[^`]* doctor\b[^`]*`")


class Check(NamedTuple):
    """One line. ok: True, False, or None for a line that judges nothing.

    step: what to do when it is False; it names the variable, file or program, because it also ends the whole report.
    """

    name: str
    ok: Optional[bool]
    detail: str
    step: str = ""


def plain(line: str) -> str:
    """A look-up's *line* without its advice to run `doctor`: this is doctor."""
    return _ADVICE.sub("", line)


def ask(command: Sequence[str], environ: Mapping[str, str]) -> Optional[Output]:
    """What a program says; None if it cannot be started or takes longer than PATIENCE."""
    try:
        with Child(command, environ) as running:
            said = running.wait(time.monotonic() + PATIENCE)
    except OSError:
        return None
    return None if said.code is None else said
