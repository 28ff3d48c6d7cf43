"""The loopback Azure DevOps itself: what clients rely on, without the provider."""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.azure import AzureWorld, Feed
from tests.azure.feeds import JSON_TYPE, wheel


@pytest.fixture
def world() -> Iterator[AzureWorld]:
    """A new world with nothing in it."""
    with AzureWorld() as made:
        yield made


@pytest.fixture
def client(world: AzureWorld) -> Iterator[httpx.Client]:
    """A client whose only way out is `world`."""
    with httpx.Client(**_way(world), timeout=5) as made:
        yield made


def _way(world: AzureWorld) -> dict[str, Any]:
    context = ssl.create_default_context(cafile=str(world.ca_file))
    return {"proxy": f"http://127.0.0.1:{world.server.server_port}", "verify": context, "trust_env": False}


def test_a_private_feed_wants_a_token_of_its_own_organisation(world: AzureWorld, client: httpx.Client) -> None:
    feed, foreign = world.feed("org", "feed"), world.token("other")
    token = world.token("org")
    answers = [client.get(feed.url, auth=auth) for auth in (None, ("any", foreign), ("any", token))]
    assert [answer.status_code for answer in answers] == [401, 401, 200]
    assert "authorization_uri=https://login.microsoftonline.com/" in answers[0].headers["WWW-Authenticate"]
    assert answers[0].headers["X-VSS-AuthorizationEndpoint"] == "https://vssps.dev.azure.com/org/"
    assert [request.auth for request in world.requests] == ["none", "basic", "basic"]
    assert world.connections == 1
    world.revoke(token)
    assert client.get(feed.url, auth=("any", token)).status_code == 401


@pytest.mark.parametrize("legacy", [False, True])
def test_an_index_leads_to_its_files(world: AzureWorld, client: httpx.Client, legacy: bool) -> None:
    feed = world.feed("org", "feed", public=True, legacy=legacy)
    file = feed.add("Alpha.Beta", "1.5")
    assert 'href="alpha-beta/"' in client.get(feed.url).text
    page = client.get(f"{feed.url}alpha-beta/", headers={"Accept": JSON_TYPE}).json()
    assert page["files"][0]["filename"] == file
    content = client.get(page["files"][0]["url"]).content
    assert hashlib.sha256(content).hexdigest() == page["files"][0]["hashes"]["sha256"]
    assert page["files"][0]["url"] in client.get(f"{feed.url}alpha-beta/").text
    assert client.get(f"{feed.url}gamma/").status_code == 404


def test_an_upload_is_stored_once(world: AzureWorld, client: httpx.Client) -> None:
    feed, auth = world.feed("org", "feed", public=True), ("any", world.token("org"))
    name, content = wheel("alpha", "1.0")
    assert client.post(feed.upload_url, files={"content": (name, content)}).status_code == 401
    uploads = [client.post(feed.upload_url, files={"content": (name, content)}, auth=auth) for _ in range(2)]
    assert [answer.status_code for answer in uploads] == [202, 409]
    assert feed.files == {name: content}
    wrong = client.post(feed.upload_url, data={"sha256_digest": "0"}, files={"content": ("b", b"b")}, auth=auth)
    assert wrong.status_code == 400


def test_the_index_may_be_huge_and_its_bytes_are_counted(world: AzureWorld, client: httpx.Client) -> None:
    feed = world.feed("org", "feed", public=True)
    feed.index_bytes = 3_000_000
    assert len(client.get(feed.url).content) == world.requests[-1].sent >= 3_000_000


@pytest.mark.parametrize(
    ("fault", "error"), [("hang", httpx.ReadTimeout), ("stall", httpx.ReadTimeout), ("reset", httpx.TransportError)]
)
def test_a_feed_may_die_after_some_sound_requests(
    world: AzureWorld, client: httpx.Client, fault: str, error: type[Exception]
) -> None:
    feed = world.feed("org", "feed", public=True)
    feed.fault, feed.sound = fault, 1
    assert client.get(feed.url).status_code == 200
    with pytest.raises(error):
        client.get(feed.url, timeout=0.3)


def test_a_step_may_be_faulty(world: AzureWorld, client: httpx.Client) -> None:
    world.faults["discovery"] = "500"
    url = "https://login.microsoftonline.com/common/discovery/instance"
    assert client.get(url).status_code == 500


def test_latency_is_per_request(client: httpx.Client, world: AzureWorld) -> None:
    feed = world.feed("org", "feed", public=True)
    world.latency = 0.1
    begin = time.monotonic()
    for _ in range(3):
        client.get(feed.url)
    assert time.monotonic() - begin >= 0.3


def test_other_hosts_do_not_exist(world: AzureWorld, client: httpx.Client) -> None:
    with pytest.raises(httpx.ProxyError, match="502"):
        client.get("https://elsewhere.example.test/")
    assert world.server.refused == ["elsewhere.example.test"]
    assert world.requests == []


def test_the_port_also_speaks_tls_at_once(world: AzureWorld) -> None:
    feed: Feed = world.feed("org", "feed", public=True, host=f"127.0.0.1:{world.server.server_port}")
    feed.add("alpha")
    context = ssl.create_default_context(cafile=str(world.ca_file))
    with httpx.Client(verify=context, trust_env=False) as direct:
        assert "alpha" in direct.get(feed.url).text
    assert world.requests[0].secure
