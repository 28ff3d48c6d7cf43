"""Write to a descriptor without waiting for its reader, which may never read.

A client that captures our stderr may read it only after our end, and what a pipe holds differs: 64 KiB on Linux,
4 KiB on Windows, one page where a user has many of them. The thread that is stuck then is left behind. It holds no lock
of Python's own streams, which the interpreter takes at its end.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Optional

from .waiting import SLICE

_PATIENCE = 1.0  # seconds without progress after which no reader is expected
_AT_ONCE = 1024  # bytes: what a writer that is stuck has not got rid of is no more than this and what is pending
_MOST = 256 * 1024  # bytes that are kept for a reader that comes late


class Writer:
    """Writes to a descriptor what it is given, in that order, by a thread that runs while there is something."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._pending = bytearray()
        self._thread: Optional[threading.Thread] = None
        self._moved = 0.0  # on time.monotonic(), when something was written last

    def put(self, data: bytes) -> None:
        """Have *data* written; if too much is pending, its end is lost. Raises OSError when closed."""
        with self._lock:
            running = self._thread is not None and self._thread.is_alive()
            # Our own copy: if the original is closed, its number may soon belong to another file.
            descriptor = -1 if running else os.dup(self._descriptor)
            self._pending += data[: _MOST - len(self._pending)]
            if running:
                return
            self._moved = time.monotonic()
            self._thread = threading.Thread(target=self._write, args=[descriptor], daemon=True)
            try:
                self._thread.start()
                return
            except RuntimeError:  # at the interpreter's end there are no new threads
                self._thread = None
        self._write(descriptor)

    def drain(self) -> None:
        """Wait until everything is written, or no reader seems to be there."""
        thread = self._thread
        while thread is not None and thread.is_alive() and time.monotonic() - self._moved < _PATIENCE:
            thread.join(SLICE)

    def _write(self, descriptor: int) -> None:
        while True:
            with self._lock:
                data = bytes(self._pending[:_AT_ONCE])
                if not data:
                    self._thread = None
                    os.close(descriptor)
                    return
            try:
                written = os.write(descriptor, data)
            except OSError:  # its reader went away
                written = _MOST
            with self._lock:
                del self._pending[:written]
            self._moved = time.monotonic()
