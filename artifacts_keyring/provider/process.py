"""Run one process: its pipes are always read, its output is bounded, and it ends when we end."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Callable, NamedTuple, Optional

from ..system.waiting import until

STDOUT_LIMIT = 64 * 1024
STDERR_KEPT = 256 * 1024
_CHUNK = 64 * 1024
_GRACE = 2.0  # seconds between SIGTERM and SIGKILL
_LAST_WORDS = 0.3  # seconds for both readers after its end; only what it started, and holds our pipes, takes that long

# Ends process $1 when our end of its stdin is closed without a word: then we are gone, by whatever
# signal. A signal handler of ours would be the client's business, a preexec_fn is unsafe with threads.
_GUARD = 'read -r word || kill -TERM "$1" 2>/dev/null'


class Output(NamedTuple):
    """What a process said; stderr with the line ends of Python. code: None when it was stopped at the deadline."""

    code: Optional[int]
    stdout: bytes
    stderr: str
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
        on_stderr: Callable[[str], None] = lambda _text: None,
    ) -> None:
        console = _has_console()
        self._process = subprocess.Popen(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            creationflags=_creation_flags(console),
        )
        self._undo = _guard(self._process)
        self._codec = _codec(console)
        self.overflow: bool = False
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._on_stderr = on_stderr
        self._spoke = threading.Event()  # there is something on stdout, or never will be
        self._ended = threading.Event()  # nothing more is expected on stdout
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
        code = None if self.overflow or not until(deadline, self._over) else self._process.returncode
        self.stop()
        return Output(code, bytes(self._stdout), self._decoder().decode(bytes(self._stderr), True), self.overflow)

    def _await(self, event: threading.Event, deadline: float) -> None:
        """Until *event*, its own end, or *deadline*."""
        until(deadline, lambda seconds: event.wait(seconds) or self._process.poll() is not None)

    def _over(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """End it if it still runs, and what belongs to it."""
        if self._process.poll() is None:
            self._end()
        deadline = time.monotonic() + _LAST_WORDS
        while self._readers:
            self._readers.pop().join(max(0.0, deadline - time.monotonic()))
        self._on_stderr = _ignore  # a browser it opened may still hold the pipe
        self._undo()
        self._undo = _nothing

    def _end(self) -> None:
        for end in (self._process.terminate, self._process.kill):
            with contextlib.suppress(OSError):
                end()
            if until(time.monotonic() + _GRACE, self._over):
                return

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_error: object) -> None:
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
        decoder = self._decoder()
        for data in _pieces(self._process.stderr):
            self._on_stderr(decoder.decode(data))
            self._stderr += data
            if len(self._stderr) > 2 * STDERR_KEPT:
                del self._stderr[STDERR_KEPT // 2 : -STDERR_KEPT // 2]  # its beginning and its end
        self._on_stderr(decoder.decode(b"", True))

    def _decoder(self) -> io.IncrementalNewlineDecoder:
        return io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(self._codec)("replace"), translate=True)


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


def _ignore(_text: str) -> None:
    return None


def _nothing() -> None:
    return None


def _thread(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


if sys.platform == "win32":
    from ..system import windows

    _has_console = windows.has_console
    _creation_flags = windows.creation_flags

    def _codec(console: bool) -> str:
        return windows.codec(windows.code_page() if console else 0)

    def _guard(process: subprocess.Popen[bytes]) -> Callable[[], object]:
        return windows.job(int(process._handle)) or _nothing  # type: ignore[attr-defined]
else:

    def _has_console() -> bool:
        return False

    def _creation_flags(_console: bool) -> int:
        return 0

    def _codec(_console: bool) -> str:
        return "utf-8"

    def _guard(process: subprocess.Popen[bytes]) -> Callable[[], object]:
        try:
            guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "sh", str(process.pid)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                start_new_session=True,  # Ctrl-C and a closed terminal must not take the guard first
            )
        except OSError:  # no shell: the child is still ended by everything but our own sudden death
            return _nothing
        return lambda: _dismiss(guard)


def _dismiss(guard: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        guard.communicate(b"done\n", timeout=_GRACE)
