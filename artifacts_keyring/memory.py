"""What this process already knows: credentials by organisation, and recent failures. Bounded, thread-safe."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Optional

if TYPE_CHECKING:
    from .credential import Credential

FOUND_FOR = 300.0  # seconds
FAILED_FOR = 60.0  # seconds: three spellings of one question must not cost three time-outs
CAPACITY = 64
_SLICE = 0.1  # seconds: on Windows, Ctrl-C interrupts no wait for a lock


class Known(NamedTuple):
    """What is remembered. credential None: there is none, and the user has been told."""

    credential: Optional[Credential]
    until: float


class Memory:
    """A small table of answers that expire; keys are tuples that begin with (host, port, organisation)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[Hashable, ...], Known] = OrderedDict()
        self._turns: OrderedDict[tuple[Hashable, ...], threading.Lock] = OrderedDict()

    def recall(self, key: tuple[Hashable, ...]) -> Optional[Known]:
        """What is known under *key* and has not expired."""
        with self._lock:
            known = self._known.get(key)
            if known is not None and known.until <= time.monotonic():
                del self._known[key]
                return None
            return known

    def found(self, key: tuple[Hashable, ...], credential: Credential) -> None:
        """Remember *credential* for FOUND_FOR seconds."""
        self._put(key, Known(credential, time.monotonic() + FOUND_FOR))

    def failed(self, key: tuple[Hashable, ...]) -> None:
        """Remember for FAILED_FOR seconds that there is none."""
        self._put(key, Known(None, time.monotonic() + FAILED_FOR))

    def on_host(self, host: str, port: Optional[int]) -> Optional[Credential]:
        """The one credential of the one organisation known on *host*; None if there are several, or none.

        Failures count as knowledge of an organisation: its neighbour's credential is no answer.
        """
        now = time.monotonic()
        with self._lock:
            here = [(key, known) for key, known in self._known.items() if key[:2] == (host, port) and known.until > now]
        credentials = {known.credential for _, known in here if known.credential is not None}
        organisations = {key[2] for key, _ in here}
        return credentials.pop() if len(credentials) == len(organisations) == 1 else None

    def forget(self) -> None:
        """Forget everything."""
        with self._lock:
            self._known.clear()

    @contextmanager
    def turn(self, key: tuple[Hashable, ...]) -> Iterator[None]:
        """One thread at a time for each *key*: the others then find the answer here."""
        with self._lock:
            turn = self._turns.setdefault(key, threading.Lock())
            while len(self._turns) > CAPACITY:
                self._turns.popitem(last=False)
        while not turn.acquire(timeout=_SLICE):
            pass
        try:
            yield
        finally:
            turn.release()

    def _put(self, key: tuple[Hashable, ...], known: Known) -> None:
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = known
            while len(self._known) > CAPACITY:
                self._known.popitem(last=False)
