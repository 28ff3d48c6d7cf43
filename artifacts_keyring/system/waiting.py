"""Wait in short slices, so that Ctrl-C works at once: on Windows it does not interrupt a wait."""

from __future__ import annotations

import time
from typing import Callable

SLICE = 0.1  # seconds


def until(deadline: float, done: Callable[[float], bool]) -> bool:
    """Whether done() came true by *deadline* (on time.monotonic()); it waits at most the seconds that it is given."""
    while True:
        left = deadline - time.monotonic()
        if done(max(0.0, min(SLICE, left))):
            return True
        if left <= SLICE:
            return False
