"""What others on the same machine could try: files put in place beforehand, and what a look-up leaves behind."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from tests.fakes import user_machine
from tests.fakes.azure import AzureWorld
from tests.fakes.azure.provider import SIGN_INS
from tests.fakes.user_machine import Scene

pytestmark = [pytest.mark.posix, pytest.mark.provider]

RENEWAL = "session:SelfDescribing"  # what the provider asks for when its session cache has no token
# What a look-up runs or reads, by its bare name: none of it may come from where it happens to run.
RUN = ("CredentialProvider.Microsoft", "dotnet", "keyring", "python", "python3", "xdg-open")
READ = ("artifacts_keyring.py", "httpx.py", "keyring.py", "truststore.py", "sitecustomize.py")


@pytest.fixture
def scene(wheel: Callable[..., Path], tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A user with the installed wheel."""
    programs = user_machine.programs(wheel("linux-x64"), tmp_path_factory.getbasetemp() / "programs")
    with AzureWorld() as world:
        yield Scene(world, programs, tmp_path)


def test_nothing_in_the_working_folder_is_run_or_read(scene: Scene) -> None:
    (feed,) = scene.signed_in("org")
    trace = scene.folder / "trace"
    inside = scene.folder / "plugins" / "netcore" / "CredentialProvider.Microsoft"
    for folder in (scene.folder, inside):
        folder.mkdir(parents=True, exist_ok=True)
        for name in RUN:
            (folder / name).write_text(f"#!/bin/sh\necho $0 >>'{trace}'\n")
            (folder / name).chmod(0o755)
        for name in READ:
            (folder / name).write_text(f"open({str(trace)!r}, 'a').write(__file__)\n")
    (scene.folder / ".env").write_text("ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH=plugins\n")
    answer = scene.answer(feed.url)
    assert (answer.code, answer.out) == (0, f"{scene.remembered()[feed.url]}\n"), answer.err
    assert not trace.exists(), trace.read_text()


def test_nobody_else_can_read_what_a_login_keeps(scene: Scene) -> None:
    before = os.umask(0)
    try:
        (feed,) = scene.signed_in("org")
        scene.answer(feed.url)
    finally:
        os.umask(before)
    kept = (scene.sessions, scene.home / SIGN_INS, scene.log)
    assert [oct(stat.S_IMODE(path.stat().st_mode)) for path in kept] == ["0o600"] * 3


def test_a_look_up_leaves_nothing_in_the_temp_folder(scene: Scene) -> None:
    temp = scene.folder / "temp"
    temp.mkdir()
    (feed,) = scene.signed_in("org")
    assert scene.answer(feed.url, TMPDIR=str(temp)).code == 0
    # Nor where the provider cannot tidy up any more.
    scene.sessions.unlink()
    scene.world.faults[RENEWAL] = "hang"
    client = scene.ask(feed.url, TMPDIR=str(temp))
    os.kill(scene.at_work(client, RENEWAL), signal.SIGKILL)
    assert user_machine.ended(client).code == 1
    assert [path.name for path in temp.rglob("*")] == []
