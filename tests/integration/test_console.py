"""Prompts reach whoever can see them, at once, and nothing is started where nobody can."""

from __future__ import annotations

import contextlib
import io
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Optional

import pytest

from artifacts_keyring import console, log
from tests.conftest import ROOT
from tests.fakes import provider_double

URL = "https://pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/"
PATIENT = 60.0
SEEN = b"enter the code ABC123"

# Makes the terminal on stdin the controlling one, as a login shell has it, and asks the provider.
CLIENT = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
from artifacts_keyring.provider import provider
program = provider.locate(os.environ)
print(provider.run(program, provider.Query(sys.argv[1], interactive=True, timeout=60), os.environ).credential[1])
"""


class Terminal:
    """A pseudo-terminal and the client that runs on it."""

    def __init__(self, client: subprocess.Popen[bytes], screen: int) -> None:
        self.client, self._screen = client, screen
        self.shown = b""

    def wait_for(self, text: bytes) -> bool:
        """Whether `text` appears on the screen in time."""
        until = time.monotonic() + PATIENT
        while text not in self.shown and time.monotonic() < until:
            if select.select([self._screen], [], [], 0.1)[0]:
                self.shown += os.read(self._screen, 4096)
        return text in self.shown


@contextlib.contextmanager
def on_a_terminal(
    stand_in: provider_double.StandIn, *, stderr_too: bool, environ: Mapping[str, str]
) -> Iterator[Terminal]:
    """Run CLIENT with a controlling terminal; its stderr is captured or goes there too."""
    screen, keyboard = os.openpty()
    full = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
        "ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH": str(stand_in.path),
        **environ,
    }
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, URL],
        env=full,
        stdin=keyboard,
        stdout=subprocess.PIPE,
        stderr=keyboard if stderr_too else subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield Terminal(client, screen)
    finally:
        client.kill()
        client.communicate()
        os.close(screen)
        os.close(keyboard)


@pytest.mark.posix
@pytest.mark.parametrize("stderr_too", [False, True])
def test_a_prompt_is_on_the_terminal_at_once_even_if_stderr_is_captured(tmp_path: Path, stderr_too: bool) -> None:
    stand_in = provider_double.make(tmp_path, "nothing", interactive="prompt")
    with on_a_terminal(stand_in, stderr_too=stderr_too, environ={}) as terminal:
        assert terminal.wait_for(SEEN)  # without an end of line, and while the provider still waits
        assert terminal.client.poll() is None
        stand_in.sign_in()
        out, err = terminal.client.communicate(timeout=PATIENT)
        assert out == b"signed-in\n"
        assert terminal.shown.count(SEEN) == 1
        assert stderr_too or SEEN in err


@pytest.mark.posix
def test_the_terminal_is_left_alone_where_prompts_are_unwanted(tmp_path: Path) -> None:
    stand_in = provider_double.make(tmp_path, "nothing", interactive="prompt")
    with on_a_terminal(stand_in, stderr_too=False, environ={"CI": "true"}) as terminal:
        stand_in.sign_in()
        _, err = terminal.client.communicate(timeout=PATIENT)
        assert SEEN in err
        assert not select.select([terminal._screen], [], [], 0)[0]


def can_prompt(environ: Mapping[str, str], *, terminal: bool) -> bool:
    """What a client in a session of its own says, with or without a controlling terminal."""
    take = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n" if terminal else ""
    code = f"{take}import os; from artifacts_keyring import console; print(console.can_prompt(os.environ))"
    screen, keyboard = os.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]), **environ},
            stdin=keyboard,
            capture_output=True,
            timeout=PATIENT,
            start_new_session=True,
            check=True,
        )
    finally:
        os.close(screen)
        os.close(keyboard)
    return done.stdout == b"True\n"


MODE = "ARTIFACTS_KEYRING_NONINTERACTIVE_MODE"


@pytest.mark.parametrize(
    ("environ", "terminal", "may"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"DISPLAY": ":0"}, False, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, False, True),
        ({"CI": "true"}, True, False),
        ({"TF_BUILD": "True"}, True, False),
        ({"GITHUB_ACTIONS": "1"}, True, False),
        ({"CI": "false"}, True, True),
        ({"CI": ""}, True, True),
        ({"CI": "true", MODE: "false"}, False, True),
        ({MODE: "No"}, False, True),
        ({MODE: "ON"}, True, False),
        ({MODE: "1", "DISPLAY": ":0"}, True, False),
        ({MODE: "yes"}, True, False),
        ({MODE: "maybe"}, True, True),
    ],
)
@pytest.mark.posix
def test_where_a_prompt_may_start(environ: dict[str, str], terminal: bool, may: bool) -> None:
    assert can_prompt(environ, terminal=terminal) is may


@pytest.mark.parametrize(
    ("environ", "platform", "seen"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":1"}, "linux", True),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22"}, "darwin", False),
        ({}, "win32", False),
        ({"SESSIONNAME": "Console"}, "win32", True),
    ],
)
def test_displays(environ: dict[str, str], platform: str, seen: bool) -> None:
    assert console.has_display(environ, platform) is seen


class Broken(io.StringIO):
    """A stream whose reader has gone."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [None, Broken()])
def test_a_line_that_cannot_be_written_raises_nothing(
    monkeypatch: pytest.MonkeyPatch, stream: Optional[io.StringIO]
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    console.say("lost", {"CI": "1"})


def test_a_closed_stderr_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    console.say("lost", {"CI": "1"})


def test_a_line_is_one_line_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    console.say("no luck with\nhttps://u:s3cret@host/x,\n  sorry", {"CI": "1"})
    assert capsys.readouterr() == ("", "artifacts-keyring: no luck with https://***@host/x, sorry\n")


def test_captured_output_is_bounded_so_that_no_clients_pipe_fills(capsys: pytest.CaptureFixture[str]) -> None:
    with console.screen({"CI": "1"}) as show:
        for _ in range(100):
            show("x" * 1024)
    assert len(capsys.readouterr().err) == console.CAPTURED_LIMIT


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"Username":"u","Password":"s3cret"}', '{"Username":"u","Password":"***"}'),
        ("Authorization: Basic czNjcmV0Og==", "Authorization: Basic ***"),
        ("Authorization: Bearer s3cret.s3cret", "Authorization: Bearer ***"),
        ("token eyJhbGciOiJub25lIn0.eyJhIjoxfQ.x", "token ***"),
        ("GET https://me:s3cret@host/path@1", "GET https://***@host/path@1"),
        ("password = 's3cret'", "password = '***'"),
        ("nothing of the kind", "nothing of the kind"),
    ],
)
def test_redaction(text: str, shown: str) -> None:
    assert log.redact(text) == shown


def test_named_secrets_are_redacted_longest_first() -> None:
    assert log.redact("abcd and ab", ["ab", "abcd", ""]) == "*** and ***"


def test_a_log_that_cannot_be_written_raises_nothing(tmp_path: Path) -> None:
    log.write({"ARTIFACTS_KEYRING_LOG_PATH": str(tmp_path / "none" / "log")}, "lost")


@pytest.mark.parametrize(
    ("environ", "platform", "program", "opens"),
    [
        ({"DISPLAY": ":0"}, "linux", "xdg-open", True),
        ({"DISPLAY": ":0"}, "linux", "wslview", True),
        ({"DISPLAY": ":0"}, "linux", "firefox", False),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", "xdg-open", False),
        ({}, "linux", "xdg-open", False),
        ({}, "darwin", "", True),
        ({"SSH_CONNECTION": "x"}, "darwin", "", False),
        ({"SESSIONNAME": "Console"}, "win32", "", True),
        ({}, "win32", "", False),
    ],
)
def test_what_opens_a_window(environ: dict[str, str], platform: str, program: str, opens: bool, tmp_path: Path) -> None:
    """Kind L: where none can open, the code comes at once."""
    if program:
        (tmp_path / program).touch(mode=0o755)
    assert console.opens_windows({**environ, "PATH": str(tmp_path)}, platform) is opens
