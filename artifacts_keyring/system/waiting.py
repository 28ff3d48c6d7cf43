"""Wait so that Ctrl-C counts at once: on Windows it interrupts no wait for a lock, a thread or a process."""

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
