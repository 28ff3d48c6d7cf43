"""Run one process whose pipes cannot fill, whose output is bounded, and which never outlives us."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import IO, Callable, NamedTuple, Optional

STDOUT_LIMIT = 64 * 1024
STDERR_KEPT = 256 * 1024
_CHUNK = 64 * 1024
_POLL = 0.25  # seconds; only a grandchild that holds our pipes makes us wait that long
_GRACE = 2.0  # seconds between SIGTERM and SIGKILL
_LAST_WORDS = 1.0  # seconds for the readers after its end

# Ends process $1 when our end of its stdin is closed without a word: then we are gone, by whatever
# signal. A signal handler of ours would be the client's business, a preexec_fn is unsafe with threads.
_GUARD = 'read -r word || kill -TERM "$1" 2>/dev/null'


class Output(NamedTuple):
    """What a process said. code: None when it was stopped at the deadline."""

    code: Optional[int]
    stdout: bytes
    stderr: bytes
    overflow: bool = False


class Child:
    """A running process; as a context manager it is gone at the end of the block.

    on_stderr is called in another thread with every piece of stderr as it comes.
    Raises OSError when the command cannot be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        on_stderr: Callable[[bytes], None] = lambda _data: None,
    ) -> None:
        self._process = subprocess.Popen(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self.overflow: bool = False
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._on_stderr = on_stderr
        self._spoke = threading.Event()  # there is something on stdout, or never will be
        self._ended = threading.Event()  # nothing more is expected on stdout
        self._guard = _guard(self._process.pid)
        self._readers = [_thread(self._read_stdout), _thread(self._read_stderr)]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def heard(self, deadline: float) -> bytes:
        """What it has said on stdout, once it has begun to, has ended or *deadline* is reached; it may go on."""
        self._await(self._spoke, deadline)
        return bytes(self._stdout)

    def wait(self, deadline: float) -> Output:
        """Its whole output. At *deadline* (on time.monotonic()) or past STDOUT_LIMIT it is stopped."""
        self._await(self._ended, deadline)
        code = None if self.overflow else self._code(deadline)
        self.stop()
        return Output(code, bytes(self._stdout), bytes(self._stderr), self.overflow)

    def _await(self, event: threading.Event, deadline: float) -> None:
        while not event.wait(min(_POLL, max(0.0, deadline - time.monotonic()))):
            if self._process.poll() is not None or time.monotonic() >= deadline:
                return

    def _code(self, deadline: float) -> Optional[int]:
        try:
            return self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        """End it if it still runs, and what belongs to it."""
        if self._process.poll() is None:
            _end(self._process)
        for reader in self._readers:
            reader.join(_LAST_WORDS)
        self._on_stderr = _ignore  # a browser it opened may still hold the pipe
        if self._guard is not None:
            _dismiss(self._guard)
            self._guard = None

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.stop()

    def _read_stdout(self) -> None:
        for data in _pieces(self._process.stdout):
            self._stdout += data[: STDOUT_LIMIT - len(self._stdout)]
            self._spoke.set()
            if len(data) and len(self._stdout) >= STDOUT_LIMIT:
                self.overflow = True
                self._ended.set()  # and read on, so that it can end
        self._spoke.set()
        self._ended.set()

    def _read_stderr(self) -> None:
        for data in _pieces(self._process.stderr):
            self._on_stderr(data)
            self._stderr += data
            if len(self._stderr) > 2 * STDERR_KEPT:
                del self._stderr[STDERR_KEPT // 2 : -STDERR_KEPT // 2]  # its beginning and its end


def _pieces(pipe: Optional[IO[bytes]]) -> Iterator[bytes]:
    """What comes through *pipe*, as soon as it comes, until it closes; then closed here too."""
    if pipe is None:
        return
    descriptor = pipe.fileno()
    with pipe, contextlib.suppress(OSError):
        while True:
            data = os.read(descriptor, _CHUNK)
            if not data:
                return
            yield data


def _ignore(_data: bytes) -> None:
    return None


def _thread(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        process.terminate()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _guard(pid: int) -> Optional[subprocess.Popen[bytes]]:
    if sys.platform == "win32":
        return None
    try:
        return subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "sh", str(pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            start_new_session=True,  # Ctrl-C and a closed terminal must not take the guard first
        )
    except OSError:  # no shell: the child is still ended by everything but our own sudden death
        return None


def _dismiss(guard: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        guard.communicate(b"done\n", timeout=_GRACE)
