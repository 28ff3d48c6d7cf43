"""The loopback Azure DevOps itself: what clients rely on, without the provider."""

from __future__ import annotations

import hashlib
import ssl
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fakes.azure import AzureWorld, Feed
from tests.fakes.azure.feeds import JSON_TYPE, wheel


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
    content = client.get(page["files"][0]["url"], follow_redirects=True).content
    assert world.steps == ["feed", "page", "file", "blob"]
    assert hashlib.sha256(content).hexdigest() == page["files"][0]["hashes"]["sha256"]
    assert page["files"][0]["url"] in client.get(f"{feed.url}alpha-beta/").text
    assert client.get(f"{feed.url}gamma/").status_code == 404


def test_a_download_leads_away_from_the_feed_and_its_credential(world: AzureWorld, client: httpx.Client) -> None:
    feed, auth = world.feed("org", "feed", project="My Project"), ("any", world.token("org"))
    feed.add("alpha")
    accept = {"Accept": JSON_TYPE}
    (file,) = client.get(f"{feed.url}alpha/", auth=auth, headers=accept).json()["files"]
    assert not file["url"].startswith(feed.url.removesuffix("simple/"))  # it has ids where the user wrote names
    assert [client.head(file["url"], auth=auth).status_code, client.get(file["url"]).status_code] == [405, 401]
    answer = client.get(file["url"], auth=auth)
    assert answer.status_code == 303
    place = answer.headers["Location"]
    assert [client.get(place, auth=auth).status_code, client.get(place.partition("?")[0]).status_code] == [400, 400]
    assert client.get(place).content in feed.files.values()


@pytest.mark.parametrize(("view", "seen"), [("", True), ("Local", True), ("Release", False), ("release", False)])
def test_a_view_shows_what_was_promoted_to_it(world: AzureWorld, client: httpx.Client, view: str, seen: bool) -> None:
    feed = world.feed("org", "feed", public=True)
    feed.views["release"] = {feed.add("alpha")}
    feed.add("beta")
    assert "alpha" in client.get(feed.url_on(feed.host, view)).text
    assert ("beta" in client.get(feed.url_on(feed.host, view)).text) == seen
    assert client.get(feed.url_on(feed.host, "nowhere")).status_code == 404
    page = client.get(f"{feed.url_on(feed.host, view)}alpha/", headers={"Accept": JSON_TYPE}).json()
    assert client.get(page["files"][0]["url"], follow_redirects=True).status_code == 200


def test_one_feed_has_two_hosts(world: AzureWorld, client: httpx.Client) -> None:
    feed, auth = world.feed("Org", "feed", project="My Project"), ("any", world.token("org"))
    hosts = ("pkgs.dev.azure.com", "org.pkgs.visualstudio.com")
    assert [client.get(feed.url_on(host), auth=auth).status_code for host in hosts] == [200, 200]
    assert world.requests[1].target == "/My%20Project/_packaging/feed/pypi/simple/"
    foreign = feed.url_on(hosts[1]).replace("org.", "other.", 1)
    assert client.get(foreign, auth=auth).status_code == 404


def test_whether_a_feed_exists_is_told_to_members_only(world: AzureWorld, client: httpx.Client) -> None:
    feed, auth = world.feed("org", "feed", public=True, project="project"), ("any", world.token("org"))
    neighbour = feed.url.replace("/project", "")
    answers = [client.get(neighbour), client.get(neighbour, auth=auth), client.get(neighbour.replace("org", "none"))]
    assert [answer.status_code for answer in answers] == [401, 404, 404]
    assert answers[0].headers["X-VSS-AuthorizationEndpoint"] == "https://vssps.dev.azure.com/org/"


def test_discovery_leads_to_every_endpoint_of_the_identity_service(client: httpx.Client) -> None:
    instance = client.get("https://login.microsoftonline.com/common/discovery/instance").json()
    document = client.get(instance["tenant_discovery_endpoint"]).json()
    assert client.get(document["jwks_uri"]).json() == {"keys": []}
    assert client.post(document["device_authorization_endpoint"]).json()["user_code"] == "FAKE00001"
    unknown = client.post(document["token_endpoint"], data={"grant_type": "password"})
    assert (unknown.status_code, unknown.json()["error"]) == (400, "unsupported_grant_type")
    unproved = client.post(document["token_endpoint"], data={"grant_type": "authorization_code", "code": "guess"})
    assert (unproved.status_code, unproved.json()["error"]) == (400, "invalid_grant")


def test_an_upload_is_stored_once(world: AzureWorld, client: httpx.Client) -> None:
    feed, auth = world.feed("org", "feed", public=True), ("any", world.token("org"))
    name, content = wheel("alpha", "1.0")
    assert client.post(feed.upload_url, files={"content": (name, content)}).status_code == 401
    assert client.get(feed.upload_url).status_code == 405
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
