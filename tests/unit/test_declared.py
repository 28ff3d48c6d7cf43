"""Credentials that the environment declares: what is found, in which spelling, and what the real provider says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from artifacts_keyring import declared, feeds
from artifacts_keyring.credential import Credential
from artifacts_keyring.feeds import Feed
from artifacts_keyring.lookup import feed_of
from artifacts_keyring.variables import HOSTS_OF_PROVIDER
from tests.conftest import examples
from tests.fakes import declared_environ
from tests.fakes.declared_environ import (
    EXTERNAL,
    FEED,
    HOST,
    IDENTITY,
    INDEX,
    OLD_EXTERNAL,
    OLD_PREFIX,
    OLD_TOKEN,
    ORGANISATION,
    PREFIX,
    SERVER,
    TOKEN,
    UPLOAD,
    entry,
    external,
    listing,
    prefixes,
)


def find(service: str, environ: dict[str, str], warn: Callable[[str], None] | None = None) -> Credential | None:
    feed = feed_of(service, environ)
    return None if feed is None else declared_environ.look(feed, environ, warn or pytest.fail)


@pytest.mark.parametrize(
    "service",
    [
        INDEX,
        INDEX[:-1],
        FEED,
        f"{INDEX}numpy/",
        f"{FEED}pypi/download/a/1/a-1.tar.gz",
        UPLOAD,
        UPLOAD[:-1],
        INDEX.replace("https://", "https://me:pw@"),
        INDEX.replace("pkgs.dev.azure.com", "PKGS.Dev.Azure.Com:443"),
        INDEX.replace("org", "ORG").replace("feed", "%46eed"),
    ],
)
@pytest.mark.parametrize(
    "endpoint",
    [
        INDEX,
        INDEX[:-1],
        INDEX.replace("pypi", "PyPI"),
        FEED,
        UPLOAD,
        f" {INDEX}\n",
        INDEX.replace("https://", "HTTPS://x@").replace("azure", "AZURE"),
    ],
)
def test_every_spelling_meets_every_spelling(endpoint: str, service: str) -> None:
    assert find(service, external(endpoint)) == ("u0", "p0")
    assert find(service, prefixes(endpoint)) == ("VssSessionToken", "token")


@pytest.mark.parametrize(
    ("covering", "service"),
    [
        (ORGANISATION, INDEX),
        (ORGANISATION[:-1], UPLOAD),
        (f"{ORGANISATION}_packaging", UPLOAD),
        (ORGANISATION, f"{ORGANISATION}proj/_packaging/feed/pypi/simple/"),
        (f"{ORGANISATION}proj", f"{ORGANISATION}Proj/_packaging/feed/pypi/simple/"),
        ("https://pkgs.dev.azure.com", INDEX),
        ("https://pkgs.dev.azure.com/", "pkgs.dev.azure.com"),
        (ORGANISATION, ORGANISATION),
        ("https://pkgs.dev.azure.com/a%2541/", "https://pkgs.dev.azure.com/A%2541/"),
        ("https://org.pkgs.visualstudio.com/", "org.pkgs.visualstudio.com"),
        ("https://org.pkgs.visualstudio.com/", "https://org.pkgs.visualstudio.com/DefaultCollection/_packaging/f/"),
        ("https://org.pkgs.visualstudio.com/DefaultCollection/", "https://org.pkgs.visualstudio.com/_packaging/f/"),
        ("https://tfs.example/", SERVER),
        ("https://tfs.example/tfs", SERVER),
        ("https://tfs.example:443/tfs/coll/", SERVER),
        ("https://tfs.example:8443/tfs", SERVER.replace(".example", ".example:8443")),
        ("http://localhost:8080/tfs", "http://localhost:8080/tfs/Coll/_packaging/feed/"),
        (INDEX, f"{ORGANISATION}_packaging/feed@Local/pypi/simple/"),
        (f"{ORGANISATION}_packaging/feed@local/", f"{ORGANISATION}_packaging/Feed%40Local/pypi/simple/numpy/"),
    ],
)
def test_a_prefix_covers_what_is_below(covering: str, service: str) -> None:
    assert find(service, prefixes("https://a.example/", covering)) == ("VssSessionToken", "token")
    assert find(service, external("https://a.example/", covering)) == ("u1", "p1")


@pytest.mark.parametrize(
    ("endpoint", "service"),
    [
        ("https://pkgs.dev.azure.com/or", INDEX),
        ("https://pkgs.dev.azure.com/org/_packaging/fee", INDEX),
        ("https://pkgs.dev.azure.com/org/_packaging/feed2", INDEX),
        ("https://pkgs.dev.azure.com/other/", INDEX),
        ("https://pkgs.dev.azure.com/org/proj/", INDEX),
        (f"{ORGANISATION}_packaging/", f"{ORGANISATION}proj/_packaging/feed/pypi/simple/"),
        (f"{ORGANISATION}_packaging/feed@Local/pypi/simple/", INDEX),
        (f"{ORGANISATION}_packaging/feed@Local/pypi/simple/", INDEX.replace("feed", "feed@Release")),
        ("https://pkgs.dev.azure.com/_packaging/", INDEX),
        ("https://pkgs.dev.azure.com:8443/org/", INDEX),
        ("https://pkgs.codedev.ms/org/", INDEX),
        ("https://org.pkgs.visualstudio.com/", INDEX),
        ("https://dev.azure.com/org/", INDEX),
        ("https://pkgs.dev.azure.com.evil.example/org/", INDEX),
        ("https://pkgs.dev.azure.com@evil.example/org/", INDEX),
        ("http://pkgs.dev.azure.com/org/", INDEX),
        ("https://pkgs.dev.azure.com/a/", "https://pkgs.dev.azure.com/%2541/"),
        ("https://pkgs.dev.azure.com/a/", "https://pkgs.dev.azure.com/%25ff/"),
        (ORGANISATION, "https://pkgs.dev.azure.com/org2/_packaging/feed/pypi/simple/"),
        ("https://localhost:8080/tfs/", "http://localhost:8080/tfs/Coll/_packaging/feed/"),
        ("http://localhost:8080/tfs/", "https://localhost:8080/tfs/Coll/_packaging/feed/"),
    ],
)
def test_nothing_reaches_a_neighbour(endpoint: str, service: str) -> None:
    assert find(service, external(endpoint)) is None
    assert find(service, prefixes(endpoint)) is None


def test_http_never_gets_what_is_declared_for_https() -> None:
    for allowed in ("", "tfs.example", "pkgs.dev.azure.com"):
        for service in (INDEX, SERVER):
            environ = {**external(service), **prefixes(service), "ARTIFACTS_KEYRING_INSECURE_HOSTS": allowed}
            assert find(service.replace("https:", "http:"), environ) is None


def test_http_that_is_declared_and_allowed_is_answered() -> None:
    service = SERVER.replace("https:", "http:")
    assert find(service, external(service)) is None
    assert find(service, {**external(service), "ARTIFACTS_KEYRING_INSECURE_HOSTS": "tfs.example"}) == ("u0", "p0")


@pytest.mark.parametrize(
    ("environ", "service", "expected"),
    [
        (external(ORGANISATION, FEED, "https://pkgs.dev.azure.com/"), INDEX, "u1"),
        (external(ORGANISATION, FEED, "https://pkgs.dev.azure.com/"), f"{ORGANISATION}_packaging/x/", "u0"),
        (external(ORGANISATION, FEED, "https://pkgs.dev.azure.com/"), INDEX.replace("org", "x"), "u2"),
        (external(INDEX, UPLOAD), INDEX, "u0"),
        (external(INDEX, UPLOAD), UPLOAD, "u1"),
        (external(UPLOAD, INDEX), INDEX, "u1"),
        (external(f"{FEED}nuget/v3/index.json", INDEX), INDEX, "u1"),
        (external(f"{FEED}nuget/v3/index.json", UPLOAD), INDEX, "u1"),
        (external(f"{FEED}nuget/v3/index.json", ORGANISATION), INDEX, "u0"),
        (external(INDEX, INDEX), INDEX, "u0"),
        (external(INDEX, INDEX.replace("feed", "feed@Local")), INDEX.replace("feed", "feed@local"), "u1"),
        ({**external(INDEX), **prefixes(ORGANISATION)}, INDEX, "u0"),
        ({**external(INDEX), **prefixes(INDEX)}, INDEX, "u0"),
        ({**external(ORGANISATION), **prefixes(INDEX)}, INDEX, "VssSessionToken"),
        ({**external(INDEX), **prefixes(ORGANISATION)}, f"{ORGANISATION}_packaging/x/", "VssSessionToken"),
    ],
)
def test_the_longest_match_wins(environ: dict[str, str], service: str, expected: str) -> None:
    found = find(service, environ)
    assert found is not None
    assert found.username == expected


def test_an_identity_for_the_feed_is_left_to_the_provider() -> None:
    identity = {IDENTITY: listing({"endpoint": INDEX, "clientId": "c"})}
    assert find(INDEX, identity) is None
    assert find(INDEX, {**identity, **prefixes(ORGANISATION)}) is None
    assert find(INDEX, {**identity, **external(ORGANISATION)}) is None
    assert find(INDEX, {**identity, **external(INDEX)}) == ("u0", "p0")
    assert find(f"{ORGANISATION}_packaging/x/", {**identity, **prefixes(ORGANISATION)}) is not None


@pytest.mark.parametrize("service", [INDEX, INDEX[:-1], UPLOAD, f"{INDEX}numpy/"])
def test_the_provider_gets_an_identity_in_its_own_spelling(service: str) -> None:
    others = [{"endpoint": "nonsense"}, {"endpoint": ORGANISATION, "clientId": "far"}]
    near = {"EndPoint": FEED[:-1], "clientId": "near", "clientCertificateFilePath": "a.pem"}
    environ = {IDENTITY: listing(*others, near)}
    feed = feed_of(service, environ)
    assert feed is not None
    changes = declared.for_provider(feed, environ)
    assert list(changes) == [IDENTITY]
    (only,) = json.loads(changes[IDENTITY])["endpointCredentials"]
    assert only == {"endpoint": INDEX, "clientId": "near", "clientCertificateFilePath": "a.pem"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({HOST: "tfs.example"}, "tfs.example"),
        ({HOST: "example"}, "tfs.example"),
        ({HOST: "tfs.example", HOSTS_OF_PROVIDER[0]: "a.example"}, "a.example;tfs.example"),
        ({HOST: "tfs.example", HOSTS_OF_PROVIDER[1]: "a.example"}, "a.example;tfs.example"),
        (external(SERVER), None),
    ],
)
def test_the_provider_learns_of_hosts_that_are_named_to_us(environ: dict[str, str], expected: str | None) -> None:
    feed = feed_of(SERVER, environ)
    assert feed is not None
    assert declared.for_provider(feed, environ).get(HOSTS_OF_PROVIDER[0]) == expected


def test_the_provider_needs_no_help_with_its_own() -> None:
    for service in (INDEX, UPLOAD, "pkgs.dev.azure.com"):
        feed = feed_of(service, {})
        assert feed is not None
        assert declared.for_provider(feed, {HOST: "azure.com", **external(INDEX)}) == {}


@pytest.mark.parametrize(
    "text",
    [
        listing({"Endpoint": INDEX, "USERNAME": "u", "passWord": "p"}),
        json.dumps({"EndpointCredentials": [entry(INDEX)], "more": 1}),
        "\ufeff" + listing(entry(INDEX)),
        f"\n {listing(entry(INDEX))} \n",
        listing(entry(INDEX, clientId="c")),
    ],
)
def test_names_of_fields_in_any_case(text: str) -> None:
    assert find(INDEX, {EXTERNAL: text}) == ("u", "p")


@pytest.mark.parametrize(("username", "expected"), [(None, "VssSessionToken"), ("", ""), ("me@example", "me@example")])
def test_the_user_name_is_the_one_the_provider_would_say(username: str | None, expected: str) -> None:
    assert find(INDEX, {EXTERNAL: listing(entry(INDEX, username))}) == (expected, "p")


def test_white_space_around_a_token_is_not_meant() -> None:
    assert find(INDEX, {PREFIX: f" {ORGANISATION} ; ;", TOKEN: " token\r\n"}) == ("VssSessionToken", "token")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({OLD_EXTERNAL: listing(entry(INDEX, "old"))}, "p"),
        ({OLD_EXTERNAL: listing(entry(INDEX, "old", "o")), EXTERNAL: listing(entry(INDEX))}, "p"),
        ({OLD_EXTERNAL: listing(entry(INDEX)), EXTERNAL: "  "}, "p"),
        ({OLD_EXTERNAL: listing(entry(INDEX)), EXTERNAL: listing(entry(SERVER))}, None),
        ({OLD_PREFIX: ORGANISATION, OLD_TOKEN: "p"}, "p"),
        ({PREFIX: ORGANISATION, OLD_TOKEN: "p"}, "p"),
        ({OLD_PREFIX: ORGANISATION, OLD_TOKEN: "o", TOKEN: "p"}, "p"),
        ({OLD_PREFIX: ORGANISATION, OLD_TOKEN: "p", PREFIX: "", TOKEN: ""}, "p"),
        ({OLD_PREFIX: ORGANISATION, OLD_TOKEN: "p", PREFIX: "https://a.example/"}, None),
        ({}, None),
    ],
)
def test_names_of_old(environ: dict[str, str], expected: str | None) -> None:
    found = find(INDEX, environ)
    assert (found.password if found else None) == expected


def test_a_number_stands_for_its_digits() -> None:
    assert find(INDEX, {EXTERNAL: listing({"endpoint": INDEX, "username": 7, "password": 12345})}) == ("7", "12345")


def test_half_a_character_is_no_user_name() -> None:
    """JSON can write it, and no client could encode it."""
    assert find(INDEX, {EXTERNAL: listing(entry(INDEX, "u\udfff"))}) == ("VssSessionToken", "p")


BROKEN = '{"endpointCredentials": [{"endpoint": "URL", "password": '


@pytest.mark.parametrize("variable", [EXTERNAL, OLD_EXTERNAL, IDENTITY])
@pytest.mark.parametrize(
    "written",
    [
        "https://tfs.example/",
        "HTTPS://me:pw@TFS.Example/x",
        "https://tfs.example",
        "https://tfs.example?",
        "//tfs.example#",
    ],
)
def test_a_server_that_an_unreadable_declaration_spells_out_is_ours(variable: str, written: str) -> None:
    """Else its users would never hear what is wrong."""
    lines: list[str] = []
    assert feed_of(SERVER, {variable: BROKEN.replace("URL", written)}) is not None
    assert find(SERVER, {variable: BROKEN.replace("URL", written)}, lines.append) is None
    assert [line.partition(" (")[0] for line in lines] == [f"{variable} is not valid JSON"]


@pytest.mark.parametrize(
    "written",
    [
        "https://tfs.example.evil/",
        "https://my.tfs.example/",
        "https://tfs.example:8443/",
        "https://tfs-example/",
        "https://evil/tfs.example/",
        "tfs.example",
    ],
)
def test_no_other_server_is(written: str) -> None:
    assert feed_of(SERVER, {EXTERNAL: BROKEN.replace("URL", written)}) is None
    # What can be read means what it says, and nothing beside it.
    assert feed_of(SERVER, {EXTERNAL: json.dumps({"endpointCredentials": [], "see": "https://tfs.example/"})}) is None
    assert feed_of(SERVER, {EXTERNAL: json.dumps({"endpointCredentials": [1], "see": "https://tfs.example/"})}) is None


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("tfs.example", external("https://TFS.Example/")[EXTERNAL]),
        ("tfs.example", external("https://tfs.example/")[EXTERNAL].replace("tfs", "\\u0074fs")),
        ("b\u00fccher.example", external("https://b\u00fccher.example/")[EXTERNAL]),
        ("b\u00fccher.example", external("https://UE/")[EXTERNAL].replace("UE", "b\u00fccher.example")),
    ],
)
@pytest.mark.parametrize("variable", [EXTERNAL, IDENTITY])
def test_a_server_is_ours_however_its_declaration_writes_it(variable: str, host: str, text: str) -> None:
    assert feed_of(f"https://{host}/tfs/Coll/_packaging/feed/pypi/simple/", {variable: text}) is not None


def test_hosts() -> None:
    environ = {
        **external(INDEX, "https://U@TFS.example:8443/x", "https://tfs.example:443/y", "junk"),
        **prefixes("https://prefix.example/", "junk"),
        IDENTITY: listing({"endpoint": "http://identity.example:80/x"}),
    }
    expected = {"pkgs.dev.azure.com", "tfs.example:8443", "tfs.example", "prefix.example", "identity.example"}
    assert declared.hosts(environ) == expected
    assert declared.hosts({}) == frozenset()
    assert declared.hosts({EXTERNAL: "{", IDENTITY: "[]"}) == frozenset()


TEXTS = st.one_of(
    st.text(),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([INDEX, SERVER]),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["endpoint", "password", "username", "x"]), inner)
        ),
    ).map(lambda value: json.dumps({"endpointCredentials": value})),
)


@given(TEXTS, TEXTS, TEXTS, st.sampled_from([INDEX, UPLOAD, SERVER, "pkgs.dev.azure.com", "tfs.example"]))
@example("[" * 9999, "9" * 9999, ";" * 9999, SERVER)
@settings(deadline=None, max_examples=examples(300))
def test_no_declaration_raises(externals: str, identities: str, listed: str, service: str) -> None:
    environ = {EXTERNAL: externals, IDENTITY: identities, PREFIX: listed, TOKEN: "token", HOST: "tfs.example"}
    feed = feed_of(service, environ)
    assert feed is not None
    lines: list[str] = []
    found = declared_environ.look(feed, environ, lines.append)
    declared.for_provider(feed, environ)
    assert declared.hosts(environ) is not None
    assert found is None or found.password
    assert not any("\n" in line or "\r" in line for line in lines)


SEGMENTS = st.sampled_from(["org", "or", "org2", "_packaging", "feed", "fee", "pypi", "simple", "proj", "nuget"])
PATHS = st.lists(SEGMENTS, max_size=6).map("/".join)
ORIGINS = st.sampled_from(
    [
        "https://pkgs.dev.azure.com",
        "https://a.example",
        "https://a.example:444",
        "http://a.example",
        "https://b.a.example",
    ]
)


@given(ORIGINS, PATHS, ORIGINS, PATHS)
@settings(deadline=None, max_examples=examples(500))
def test_no_credential_crosses_an_origin_or_a_segment(origin: str, path: str, asked: str, wanted: str) -> None:
    environ = {HOST: "a.example", "ARTIFACTS_KEYRING_INSECURE_HOSTS": "a.example", **external(f"{origin}/{path}")}
    feed = feed_of(f"{asked}/{wanted}", environ)
    if feed is not None and declared_environ.look(feed, environ, pytest.fail) is not None:
        assert origin == asked
        assert belongs(path.split("/"), wanted.split("/"), names_a_feed=bool(feed.name))


def belongs(declared_for: list[str], wanted: list[str], names_a_feed: bool) -> bool:
    """The rule once more, without code of ours: above a feed segment by segment, within it by its name.

    What names no feed asks for an organisation, or for the only one there is.
    """
    if not names_a_feed:
        return declared_for == [""] or wanted[0] in ("", "_packaging", declared_for[0])
    if "_packaging" not in declared_for:
        return declared_for == [""] or declared_for == wanted[: len(declared_for)]
    end = min(declared_for.index("_packaging") + 2, len(declared_for))
    return declared_for[:end] == wanted[:end]


def test_nothing_secret_shows() -> None:
    environ = {**external(INDEX), IDENTITY: listing({"endpoint": INDEX, "clientSecret": "hunter2"})}
    shown = repr([declared._all(environ, pytest.fail), find(INDEX, environ)])
    assert "p0" not in shown and "hunter2" not in shown


def test_a_token_needs_nothing_but_itself() -> None:
    """No JSON, no process, no socket: what a declared prefix loads is in the library's lightest part."""
    script = (
        "import sys, keyring, os; before = set(sys.modules)\n"
        "from artifacts_keyring import declared, lookup\n"
        f"feed = lookup.feed_of({INDEX!r}, os.environ)\n"
        "assert declared.look(feed, os.environ).best\n"
        "print(*(name for name in set(sys.modules) - before if not name.startswith('artifacts_keyring')))"
    )
    environ = {**os.environ, **prefixes(ORGANISATION)}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"urllib", "urllib.parse"}


def test_the_feed_of_a_host_without_url_is_no_ground_for_an_identity() -> None:
    host = Feed("pkgs.dev.azure.com", None, "org", None, None, "host", "")
    assert declared.for_provider(host, {IDENTITY: listing({"endpoint": ORGANISATION, "clientId": "c"})}) == {}
    assert feeds.is_vendors(host.host)
