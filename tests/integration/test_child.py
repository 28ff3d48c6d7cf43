"""What belongs to a process that is started: it ends with us, its browser does not, and it has our console."""

from __future__ import annotations

import json
import os
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from artifacts_keyring.system import windows
from tests.conftest import ROOT

PATIENT = 60.0
# A program, and what it starts, each of which holds a connection as long as it lives; a client that starts the first.
CALL = (
    "import socket, time; line = socket.create_connection(('127.0.0.1', {port})); line.send({name!r}); time.sleep(120)"
)
PROGRAM = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', {browser!r}])\n{call}"
CLIENT = """
import os, sys, time
from artifacts_keyring.provider import process
with process.Child([sys.executable, "-c", {program!r}], os.environ) as running:
    time.sleep(120)
"""


def python(code: str, **options: Any) -> subprocess.Popen[bytes]:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
    return subprocess.Popen([sys.executable, "-c", code], env=environ, **options)


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        made.settimeout(PATIENT)
        yield made


def test_a_program_ends_with_us_whatever_ends_us_and_its_browser_lives_on(server: socket.socket) -> None:
    port = server.getsockname()[1]
    program, browser = (CALL.format(port=port, name=name) for name in (b"program", b"browser"))
    client = python(CLIENT.format(program=PROGRAM.format(browser=browser, call=program)), stdin=subprocess.PIPE)
    lines = {}
    try:
        for _ in range(2):
            line, _address = server.accept()
            line.settimeout(PATIENT)
            lines[line.recv(7)] = line
    finally:
        client.kill()  # on Windows TerminateProcess: no handler, no `finally`, no `atexit`
        client.communicate()
    try:
        assert is_over(lines[b"program"], 20)
        assert not is_over(lines[b"browser"], 1)
    finally:
        for line in lines.values():
            line.close()


def is_over(line: socket.socket, within: float) -> bool:
    """Whether the one at the other end ends in so many seconds."""
    line.settimeout(within)
    try:
        return line.recv(1) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def test_a_console_is_shared_and_none_flashes_up() -> None:
    assert windows.creation_flags(console=True) == 0
    assert windows.creation_flags(console=False) == 0x08000000  # CREATE_NO_WINDOW
    assert (windows.codec(850), windows.codec(65001), windows.codec(0)) == ("cp850", "cp65001", "oem")


CONSOLES = """
import ctypes, json, os, sys
from artifacts_keyring.provider import process
from artifacts_keyring.system import windows
kernel = ctypes.windll.kernel32
kernel.SetConsoleOutputCP(850)
ask = "import ctypes; k = ctypes.windll.kernel32; print(bool(k.GetConsoleWindow()), k.GetConsoleOutputCP())"
with process.Child([sys.executable, "-c", ask], os.environ) as one:
    said = one.wait(1e9).stdout.decode().split()
print(json.dumps([windows.has_console(), windows.code_page(), process._codec(windows.has_console()), *said]))
"""


@pytest.mark.skipif(sys.platform != "win32", reason="consoles are Windows' own")
def test_a_provider_of_a_client_without_a_console_shows_no_window() -> None:
    detached = 0x08  # DETACHED_PROCESS
    client = python(CONSOLES, stdin=subprocess.PIPE, stdout=subprocess.PIPE, creationflags=detached)
    out, _ = client.communicate(timeout=PATIENT)
    assert json.loads(out)[:4] == [False, 0, "oem", "False"]


@pytest.mark.posix
def test_a_provider_of_a_client_on_a_console_has_its_window_and_code_page(tmp_path: Path) -> None:
    """The broker signs in on that window. A Windows Python has a console where wine stands on a terminal."""
    if sys.platform == "win32":
        pytest.skip("for the type checker: the marker says it already")
    import fcntl
    import pty
    import termios

    from credprovider.errors import Lacking
    from credprovider.verify import windows as wine

    screen, keyboard = pty.openpty()
    try:
        with wine.machine(tmp_path, print) as system:
            client = subprocess.Popen(
                [str(wine.WINE), "python.exe", "-c", CONSOLES],
                env=system.environ({"PYTHONPATH": wine.path(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "TERM": "xterm"}),
                stdin=keyboard,
                stdout=keyboard,
                stderr=keyboard,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )
            shown = read(screen, b"]", 2 * PATIENT)
            client.kill()
            client.wait()
    except Lacking as error:
        pytest.skip(f"a Windows Python needs {error}")
    finally:
        os.close(screen)
        os.close(keyboard)
    (found,) = re.findall(rb"\[true.*?\]", shown)
    assert json.loads(found) == [True, 850, "cp850", "True", "850"]


def read(screen: int, end: bytes, within: float) -> bytes:
    """What a terminal shows until a line with `end` in it."""
    shown, until = b"", time.monotonic() + within
    while not re.search(rb"\[true[^\n]*" + re.escape(end), shown) and time.monotonic() < until:
        if select.select([screen], [], [], 0.1)[0]:
            shown += os.read(screen, 4096)
    return shown
