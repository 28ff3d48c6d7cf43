"""Declared credentials, held against what the real provider says to the same environment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artifacts_keyring import declared
from artifacts_keyring.lookup import feed_of
from tests.conftest import NATIVE
from tests.fakes import azure, declared_environ
from tests.fakes.azure import AzureWorld
from tests.fakes.declared_environ import (
    CLIENT,
    EXTERNAL,
    HOST,
    IDENTITY,
    INDEX,
    OLD_EXTERNAL,
    OLD_PREFIX,
    OLD_TOKEN,
    ORGANISATION,
    PREFIX,
    SERVER,
    UPLOAD,
    entry,
    external,
    listing,
    prefixes,
)

pytestmark = pytest.mark.provider


@pytest.fixture
def tree(payload_tree: Callable[[str], Path]) -> Path:
    """The payload that runs here."""
    return payload_tree(NATIVE)


@pytest.fixture
def world() -> Iterator[AzureWorld]:
    """A loopback Azure DevOps, with a server of the user's own."""
    with AzureWorld(hosts=["tfs.example"]) as world:
        yield world


SCOPED_VIEW = "https://pkgs.dev.azure.com/org/my%20proj/_packaging/feed@Local/pypi/simple/"


@pytest.mark.parametrize(
    ("url", "environ"),
    [
        (INDEX, external(INDEX)),
        (UPLOAD, external(UPLOAD)),
        (INDEX, external(INDEX.upper())),
        (INDEX, external(INDEX.replace(".com/", ".com:443/"))),
        (INDEX, external(SERVER, INDEX, INDEX)),
        (INDEX, external(SERVER)),
        (SERVER, external(SERVER)),
        (SCOPED_VIEW, external(SCOPED_VIEW)),
        (SCOPED_VIEW, external(SCOPED_VIEW.replace("%20", " "))),
        (INDEX, {EXTERNAL: listing(entry(INDEX, None))}),
        (INDEX, {EXTERNAL: listing(entry(INDEX, ""))}),
        (INDEX, {EXTERNAL: listing({"Endpoint": INDEX, "PASSWORD": 5})}),
        (INDEX, {OLD_EXTERNAL: listing(entry(INDEX, "old"))}),
        (INDEX, {OLD_EXTERNAL: listing(entry(INDEX, "old")), EXTERNAL: listing(entry(INDEX, "new"))}),
        (INDEX, {OLD_EXTERNAL: listing(entry(INDEX, "old")), EXTERNAL: listing(entry(SERVER, "new"))}),
        (INDEX, {OLD_EXTERNAL: listing(entry(INDEX, "old")), EXTERNAL: " "}),
        (INDEX, prefixes(ORGANISATION)),
        (INDEX, prefixes(ORGANISATION[:-1])),
        (INDEX, prefixes("https://a.example/", ORGANISATION.upper())),
        (INDEX, prefixes("https://pkgs.dev.azure.com/other/")),
        (INDEX, prefixes(ORGANISATION.replace("https:", "http:"))),
        (SERVER, prefixes("https://tfs.example/tfs/")),
        (INDEX, {OLD_PREFIX: ORGANISATION, OLD_TOKEN: "old"}),
        (INDEX, {PREFIX: ORGANISATION, OLD_TOKEN: "old"}),
        (INDEX, {OLD_PREFIX: ORGANISATION, OLD_TOKEN: "old", **prefixes("https://a.example/")}),
        (INDEX, {PREFIX: ORGANISATION}),
        (INDEX, {**external(INDEX), **prefixes(ORGANISATION)}),
        (INDEX, {**external(SERVER), **prefixes(ORGANISATION)}),
        (INDEX, {IDENTITY: listing({"endpoint": INDEX, "clientId": "c"}), **prefixes(ORGANISATION)}),
    ],
)
def test_the_real_provider_says_the_same(url: str, environ: dict[str, str], tree: Path, tmp_path: Path) -> None:
    """For what is spelt as the provider wants it. Where we are more forgiving, it has nothing to say."""
    feed = feed_of(url, {**environ, HOST: "tfs.example"})
    assert feed is not None and feed.url == url
    # Nothing listens there: what the environment does not declare, the provider cannot find out.
    base = {**azure.provider.BARE, **azure.provider.at_home(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"}
    lines: list[str] = []
    assert (
        declared_environ.look(feed, environ, lines.append) == azure.look_up(url, tree, {**base, **environ}).credential
    )
    assert bool(lines) is (environ == {PREFIX: ORGANISATION})  # which lacks its token


@pytest.mark.parametrize("field", ["clientId", "clientid"])
def test_the_real_provider_finds_a_respelt_identity(field: str, world: AzureWorld, tree: Path, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{world.server.server_port}/msi/token"
    identities = [{"endpoint": "nonsense"}, {"Endpoint": world.feed("org", "feed").url[:-1].upper(), field: CLIENT}]
    environ = {**world.environ(tmp_path), IDENTITY: listing(*identities)}
    environ.update(IDENTITY_ENDPOINT=endpoint, IDENTITY_HEADER="header")
    feed = feed_of(UPLOAD, environ)
    assert feed is not None
    assert azure.look_up(feed.index_url, tree, environ).credential is None
    found = azure.look_up(feed.index_url, tree, {**environ, **declared.for_provider(feed, environ)}).credential
    assert found is not None
    assert found[0] == CLIENT and found[1] in world.identity.access_tokens


def test_the_real_provider_logs_in_to_a_host_that_is_named_to_us(world: AzureWorld, tree: Path, tmp_path: Path) -> None:
    environ = {**world.environ(tmp_path), HOST: "example"}
    feed = feed_of(world.feed("org", "feed", host="tfs.example").url[:-1], environ)
    assert feed is not None
    assert azure.look_up(feed.index_url, tree, environ, interactive=True).credential is None
    changed = {**environ, **declared.for_provider(feed, environ)}
    assert azure.look_up(feed.index_url, tree, changed, interactive=True).credential is not None
