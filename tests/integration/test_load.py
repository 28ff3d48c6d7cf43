"""Many look-ups at once, from the installed wheel through the real provider: everybody gets what is theirs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from tests.fakes.azure import AzureWorld
from tests.fakes.user_machine import PATIENT, Scene, ended, no_orphans, one_line, programs

pytestmark = [pytest.mark.posix, pytest.mark.provider]

PROCESSES, THREADS = 20, 50
FEWER = 10  # where each takes several exchanges
SIGNED_IN = ("ann", "bob", "cat", "dan", "eve")

# All threads start at once; each says what it got.
CROWD = """
import json, sys, threading
from concurrent.futures import ThreadPoolExecutor
import keyring

urls, crowd = sys.argv[2:], int(sys.argv[1])
keyring.get_keyring()
everybody = threading.Barrier(crowd)
def ask(number):
    everybody.wait(60)
    return keyring.get_password(urls[number % len(urls)], "me")
with ThreadPoolExecutor(crowd) as pool:
    print(json.dumps(list(pool.map(ask, range(crowd)))))
"""


@pytest.fixture
def scene(wheel: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Iterator[Scene]:
    installed = programs(wheel("linux-x64"), tmp_path_factory.getbasetemp() / "installed")
    with AzureWorld() as world, no_orphans():
        yield Scene(world, installed, tmp_path)


def test_twenty_processes_with_cached_tokens_get_each_their_own(scene: Scene) -> None:
    feeds = scene.signed_in(*SIGNED_IN)
    tokens = scene.remembered()
    crowd = [feeds[number % len(feeds)] for number in range(PROCESSES)]
    said = [ended(client) for client in [scene.ask(feed.url) for feed in crowd]]
    assert said == [(0, tokens[feed.url] + "\n", "") for feed in crowd]
    assert (
        sorted((r.auth, r.status) for r in scene.world.requests)
        == [("basic", 200)] * PROCESSES + [("none", 401)] * PROCESSES
    )
    assert scene.world.connections == PROCESSES
    assert scene.remembered() == tokens


def test_processes_that_renew_at_once_write_one_whole_cache(scene: Scene) -> None:
    feeds = scene.signed_in(*SIGNED_IN)
    scene.sessions.unlink()
    crowd = [feeds[number % len(feeds)] for number in range(FEWER)]
    said = [ended(client) for client in [scene.ask(feed.url) for feed in crowd]]
    assert [(one.code, one.err) for one in said] == [(0, "")] * FEWER
    owners = [one.out.split("-")[1] for one in said]
    assert owners == [feed.organisation for feed in crowd]
    assert scene.world.steps.count("session:SelfDescribing") <= FEWER
    assert len(scene.world.requests) <= 4 * FEWER
    assert scene.world.connections <= 3 * FEWER  # ours, and the provider's two
    renewed = scene.remembered()
    assert {url: token.split("-")[1] for url, token in renewed.items()} == {f.url: f.organisation for f in feeds}
    assert set(renewed.values()) <= {one.out.strip() for one in said}


def test_fifty_threads_share_one_look_up_an_organisation(scene: Scene) -> None:
    """Cached, revoked (renewed under way) and out of order, ten threads each."""
    feeds = scene.signed_in(*SIGNED_IN)
    tokens = scene.remembered()
    *sound, revoked, broken = feeds
    scene.world.revoke(tokens[revoked.url])
    scene.sessions.write_text(json.dumps({url: token for url, token in tokens.items() if url != broken.url}))
    broken.fault = "500"
    client = scene.start(scene.programs / "python", "-c", CROWD, THREADS, *[feed.url for feed in feeds])
    code, out, err = ended(client)
    found = json.loads(out)
    assert code == 0
    assert f"{broken.url} answers 500" in one_line(err)
    for number, feed in enumerate(feeds):
        (answer,) = set(found[number :: len(feeds)])
        if feed in sound:
            assert answer == tokens[feed.url]
        elif feed is revoked:
            assert answer not in tokens.values() and answer.startswith(f"token-{feed.organisation}-")
        else:
            assert answer is None
    assert scene.provider_runs() == len(feeds) + 1  # and one renewal
    assert len(scene.world.requests) <= 2 * len(feeds) + 3
    assert scene.world.connections <= len(feeds) + 3


def test_processes_before_a_silent_server_all_end_at_the_deadline(scene: Scene) -> None:
    (feed,) = scene.signed_in("ann")
    scene.sessions.unlink()
    scene.world.faults["session:SelfDescribing"] = "hang"
    crowd = [scene.ask(feed.url, ARTIFACTS_KEYRING_TIMEOUT="4") for _ in range(FEWER)]
    said = [ended(client, PATIENT / 2) for client in crowd]
    assert {(one.code, one.out) for one in said} == {(1, "")}
    for one in said:
        assert feed.url in one_line(one.err)
