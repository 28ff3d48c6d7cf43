"""The tests in here start no other program, reach no network, need no root: they are quick, and run anywhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

_NETWORK = ("socket.bind", "socket.connect", "socket.getaddrinfo")
_seen: list[str] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    # On Windows the program is named by the command line alone.
    started = event == "subprocess.Popen" and str(arguments[0] or arguments[1]).lstrip('"')
    if event in _NETWORK or (started and not started.startswith(sys.executable)):
        _seen.append(f"{event} {arguments}")


sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """A failure for a test that belongs into tests/integration. This Python itself may be started."""
    _seen.clear()
    yield
    assert not _seen, f"a unit test may not do this: {_seen}"
