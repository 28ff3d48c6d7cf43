"""One line of `doctor`."""

from __future__ import annotations

from typing import NamedTuple, Optional

PATIENCE = 30  # seconds for a program that only has to say something about itself


class Check(NamedTuple):
    """One line. ok: True, False, or None for what is said without a judgement.

    step: what to do when it is False; it names the variable, file or program, because it also ends the whole report.
    """

    name: str
    ok: Optional[bool]
    detail: str
    step: str = ""
