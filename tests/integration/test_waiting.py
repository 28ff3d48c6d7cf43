"""Neither a pipe that is full nor a server that is silent keeps a look-up past its deadline, or from a Ctrl-C."""

from __future__ import annotations

import _thread
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from artifacts_keyring import console
from artifacts_keyring.http.probe import Probe
from artifacts_keyring.memory import Memory
from artifacts_keyring.provider import process
from artifacts_keyring.system.writer import Writer
from tests.conftest import ROOT
from tests.fakes import provider_double

PATIENT = 60.0
LINE = "[Verbose] [CredentialProvider]line %05d\n"
# Asks a provider that says more than a pipe holds.
CLIENT = """
import os, sys
from artifacts_keyring import console
from artifacts_keyring.provider import provider
program = provider.locate(os.environ)
query = provider.Query("https://pkgs.dev.azure.com/o/_packaging/f/pypi/simple/", timeout=30)
print(provider.run(program, query, os.environ).credential[0])
console.say("last words", os.environ)
print("done")
"""


@contextlib.contextmanager
def client(tmp_path: Path, lines: int) -> Iterator[subprocess.Popen[str]]:
    """CLIENT with a provider that says so many lines; nobody has read its stderr, a pipe of the smallest size, yet."""
    told = f"err(b''.join(({LINE!r} % n).encode() for n in range({lines}))); answer('user', 's3cret')"
    environ = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH": str(provider_double.make(tmp_path, told).path),
        "ARTIFACTS_KEYRING_NONINTERACTIVE_MODE": "1",
        "ARTIFACTS_KEYRING_VERBOSITY": "Debug",
    }
    command = [sys.executable, "-c", CLIENT]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        shrink(running.stderr.fileno())
        try:
            yield running
        finally:
            running.kill()


def shrink(pipe: int) -> None:
    """Let a pipe hold one page; Windows' anonymous ones hold no more anyway."""
    if sys.platform == "linux":
        import fcntl

        fcntl.fcntl(pipe, 1031, 4096)  # F_SETPIPE_SZ


@pytest.mark.parametrize("lines", [100, 1000, 100_000], ids=["a pipe", "the limit", "megabytes"])
def test_a_client_that_reads_stderr_only_at_the_end_gets_its_answer(tmp_path: Path, lines: int) -> None:
    with client(tmp_path, lines) as running:
        running.wait(PATIENT)
        out, err = running.communicate()
    assert out == "user\ndone\n"
    assert err.startswith(LINE % 0) and "Traceback" not in err


def test_a_client_that_reads_late_gets_every_line_in_order(tmp_path: Path) -> None:
    with client(tmp_path, 500) as running:
        time.sleep(0.5)
        _, err = running.communicate(timeout=PATIENT)
    assert err == "".join(LINE % number for number in range(500)) + "artifacts-keyring: last words\n"


def test_a_reader_that_went_away_costs_nothing() -> None:
    reader, descriptor = os.pipe()
    writer = Writer(descriptor)
    os.close(reader)
    began = time.monotonic()
    for _ in range(3):
        writer.put(b"x" * 100_000)
        writer.drain()
    os.close(descriptor)
    assert time.monotonic() - began < 1
    with pytest.raises(OSError, match="descriptor"):
        writer.put(b"x")


# Ctrl-C. interrupt_main() is the half of it that every wait has to look for on Windows: the note that it was pressed.


@contextlib.contextmanager
def silent_server() -> Iterator[Callable[[], object]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        probe = Probe(f"http://127.0.0.1:{server.getsockname()[1]}/", {"NO_PROXY": "*"}, 5)
        with contextlib.closing(probe):
            yield lambda: probe.anonymous(5)


@contextlib.contextmanager
def running(code: str) -> Iterator[Callable[[], object]]:
    with process.Child([sys.executable, "-c", code], os.environ) as one:
        yield lambda: one.wait(time.monotonic() + 5)


@contextlib.contextmanager
def anothers_turn() -> Iterator[Callable[[], object]]:
    memory, begun, over = Memory(), threading.Event(), threading.Event()

    def hold() -> None:
        with memory.turn(("key",)):
            begun.set()
            over.wait(5)

    def take() -> None:
        with memory.turn(("key",)):
            pass

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    yield take
    over.set()
    thread.join()


@contextlib.contextmanager
def full_pipe() -> Iterator[Callable[[], object]]:
    reader, descriptor = os.pipe()
    writer = Writer(descriptor)
    writer.put(b"x" * 200_000)
    yield writer.drain
    os.close(reader)
    writer.drain()
    os.close(descriptor)


WAITS = {
    "a silent server": silent_server,
    "a provider at work": lambda: running("import time; time.sleep(5)"),
    "a provider that closed its stdout": lambda: running("import os, time; os.close(1); time.sleep(5)"),
    "another thread's turn": anothers_turn,
    "a full pipe": full_pipe,
}


@pytest.mark.parametrize("kind", WAITS)
def test_an_interrupt_counts_at_once(kind: str) -> None:
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        _thread.interrupt_main()

    with WAITS[kind]() as wait:
        timer = threading.Timer(0.3, press)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            wait()
        took = time.monotonic() - pressed[0]
    timer.join()
    assert took < 0.5


# What comes through the pipes


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_line_ends_and_the_code_page_of_the_provider_are_undone(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    said = "[Warning] [CredentialProvider]für alle\r\n[Error] [CredentialProvider]\r\n".encode("cp437")
    code = f"import os\ns = {said!r}\nfor at in range(0, len(s), {size}): os.write(2, s[at : at + {size}])"
    monkeypatch.setattr(process, "_codec", lambda _console: "cp437")
    pieces: list[str] = []
    with process.Child([sys.executable, "-c", code], os.environ, pieces.append) as one:
        output = one.wait(time.monotonic() + PATIENT)
    assert output.stderr == "[Warning] [CredentialProvider]für alle\n[Error] [CredentialProvider]\n"
    assert "".join(pieces) == output.stderr


def test_what_is_shown_has_the_line_ends_of_the_system(capfd: pytest.CaptureFixture[str]) -> None:
    code = "from artifacts_keyring import console; console.say('für \\u6f22', {'CI': '1'})"
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    environ["PYTHONIOENCODING"] = "cp1252"
    done = subprocess.run([sys.executable, "-c", code], env=environ, stderr=subprocess.PIPE, check=True)
    assert done.stderr == f"{console.PREFIX}für \\u6f22{os.linesep}".encode("cp1252")
