"""Feeds that clients name otherwise than their users: by ids in links and lock files, by other protocols, by a host."""

from __future__ import annotations

import json

import pytest

from artifacts_keyring import declared
from artifacts_keyring.credential import Credential
from artifacts_keyring.lookup import feed_of
from tests.fakes import declared_environ
from tests.fakes.declared_environ import (
    CLIENT,
    EXTERNAL,
    IDENTITY,
    INDEX,
    ORGANISATION,
    SERVER,
    UPLOAD,
    entry,
    external,
    listing,
    prefixes,
)

HOST = "https://pkgs.dev.azure.com/"
OLD_HOST = "https://org.pkgs.visualstudio.com/"
PROJECT = "11111111-aaaa-4bbb-8ccc-222222222222"
FEED = "33333333-dddd-4eee-8fff-444444444444"
VIEW = "55555555-aaaa-4bbb-8ccc-666666666666"
OTHER = "77777777-dddd-4eee-8fff-888888888888"
RESTS = (
    "pypi/simple/",
    "pypi/simple/six/",
    "pypi/download/six/1.0/six-1.0-py3-none-any.whl",
    "pypi/upload/",
    "nuget/v3/index.json",
    "npm/registry/",
    "maven/v1",
    "upack/packages",
    "",
)
# In a project by name or id, the feed by name or id, a view of it by name or id.
SCOPED = [
    f"{project}/_packaging/{feed}{view}/"
    for project in ("Proj", PROJECT, PROJECT.upper())
    for feed in ("feed", FEED, FEED.upper())
    for view in ("", "@Local", f"@{VIEW}")
]
SERVERS = (f"{HOST}org/", OLD_HOST, f"{OLD_HOST}DefaultCollection/", "https://tfs.example/tfs/Coll/")
TFS = "https://tfs.example/Coll/"  # where a collection stands alone


def find(service: str, environ: dict[str, str]) -> Credential | None:
    feed = feed_of(service, environ)
    return None if feed is None else declared_environ.look(feed, environ, pytest.fail)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("asked", SCOPED)
def test_every_form_meets_the_feed_declared_in_every_form(server: str, asked: str) -> None:
    for form in SCOPED:
        if "@" in form and form.partition("@")[2] != asked.partition("@")[2]:
            continue  # a view does not stand for its feed, nor for another one
        for number, rest in enumerate(RESTS):
            endpoint = f"{server}{form}{rest}"
            service = f"{server}{asked}{RESTS[-number]}"
            assert find(service, external(endpoint, "https://a.example/x/")) == ("u0", "p0"), (service, endpoint)
            assert find(service, prefixes(endpoint)) == ("VssSessionToken", "token"), (service, endpoint)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("prefix", ["", "Proj/", PROJECT, "_packaging/feed/", f"_packaging/{FEED}/nuget/v3/index.json"])
@pytest.mark.parametrize("scope", ["", f"{PROJECT}/"])
@pytest.mark.parametrize("rest", RESTS)
def test_a_link_by_ids_meets_what_is_declared_for_its_organisation(
    server: str, prefix: str, scope: str, rest: str
) -> None:
    service = f"{server}{scope}_packaging/{FEED}/{rest}"
    assert find(service, prefixes(f"{server}{prefix}")) == ("VssSessionToken", "token")
    assert find(service, external(f"{server}{prefix}", "https://a.example/x/")) == ("u0", "p0")


@pytest.mark.parametrize(
    ("endpoint", "service"),
    [
        # One feed, one credential, whatever protocol the URL ends in.
        *((f"{ORGANISATION}_packaging/feed/{rest}", INDEX) for rest in RESTS),
        *((f"{ORGANISATION}_packaging/feed/{rest}", UPLOAD) for rest in RESTS),
        # A bare host, and a host with nothing but an organisation.
        *((INDEX, service) for service in ("pkgs.dev.azure.com", HOST, "PKGS.dev.azure.com:443", f"{HOST}Org")),
        *((ORGANISATION, service) for service in ("pkgs.dev.azure.com", HOST, f"{HOST}Org/")),
        (f"{HOST}None/", "pkgs.dev.azure.com"),
        *((f"{OLD_HOST}{form}", "org.pkgs.visualstudio.com") for form in ("proj/", f"_packaging/{FEED}", SCOPED[0])),
        (SERVER, "tfs.example"),
        # A collection that no folder is above.
        (f"{TFS}_packaging/feed/", f"{TFS}{PROJECT}/_packaging/{FEED}/pypi/simple/"),
        (f"{TFS}Proj/_packaging/feed/", f"{TFS}{PROJECT}/_packaging/{FEED}/pypi/simple/"),
        (f"{TFS}Proj/", f"{TFS}{PROJECT}/_packaging/{FEED}/pypi/simple/"),
        (f"{TFS}Proj/_packaging/feed/", f"{TFS}_packaging/{FEED}/pypi/simple/"),
        # The same id, with and without its project.
        (f"{ORGANISATION}{PROJECT}/_packaging/{FEED}/", f"{ORGANISATION}_packaging/{FEED}/pypi/simple/"),
        (f"{ORGANISATION}_packaging/{FEED}/", f"{ORGANISATION}proj/_packaging/{FEED}/pypi/simple/"),
        (f"{ORGANISATION}_packaging/feed@Local/", f"{ORGANISATION}_packaging/{FEED}@{VIEW}/pypi/simple/"),
        (f"{ORGANISATION}_packaging/feed@{VIEW}/", f"{ORGANISATION}_packaging/feed@Local/pypi/simple/"),
    ],
)
def test_more_that_is_meant(endpoint: str, service: str) -> None:
    assert find(service, external("https://a.example/x/", endpoint)) == ("u1", "p1")
    assert find(service, prefixes("https://a.example/x/", endpoint)) == ("VssSessionToken", "token")


LINK = f"{ORGANISATION}{PROJECT}/_packaging/{FEED}/pypi/download/six/1.0/six-1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    ("endpoint", "service"),
    [
        # Another organisation.
        (f"{HOST}org2/_packaging/feed/", LINK),
        (f"{HOST}org2/", LINK),
        (f"{HOST}org2/{PROJECT}/_packaging/{FEED}/", LINK),
        (f"{HOST}{PROJECT}/_packaging/{FEED}/", LINK),
        (f"{HOST}or/", LINK),
        (f"https://org2.pkgs.visualstudio.com/{PROJECT}/_packaging/{FEED}/", LINK.replace(ORGANISATION, OLD_HOST)),
        (SERVER, f"https://tfs.example/tfs/Coll2/_packaging/{FEED}/"),
        (f"{TFS}_packaging/feed/", f"https://tfs.example/Coll2/{PROJECT}/_packaging/{FEED}/"),
        ("https://tfs.example/devops/Coll/_packaging/feed/", f"https://tfs.example/devops/Coll2/_packaging/{FEED}/"),
        (f"{TFS}Proj/_packaging/feed/", f"https://tfs.example/Proj/{PROJECT}/_packaging/{FEED}/"),
        (f"{HOST}org2/", f"{HOST}org"),
        # Another host, port or scheme; the two hosts of one organisation are two, until both are declared.
        (LINK.replace("pkgs.dev.azure.com", "pkgs.codedev.ms"), LINK),
        (LINK.replace(ORGANISATION, OLD_HOST), LINK),
        (INDEX, LINK.replace(ORGANISATION, OLD_HOST)),
        (INDEX.replace(".com/", ".com:8443/"), LINK),
        (INDEX, LINK.replace(".com/", ".com:8443/")),
        (INDEX, LINK.replace("https:", "http:")),
        (INDEX.replace("https:", "http:"), LINK),
        (SERVER, LINK.replace("pkgs.dev.azure.com/org", "tfs.example.evil/tfs/Coll")),
        (INDEX, "pkgs.codedev.ms"),
        (INDEX, "org.pkgs.visualstudio.com"),
        (f"{OLD_HOST}_packaging/feed/", "org2.pkgs.visualstudio.com"),
        (f"{OLD_HOST}_packaging/feed/", "pkgs.dev.azure.com"),
        # Another feed, project or view: of two names, or two ids, each says what it says.
        (f"{ORGANISATION}_packaging/{OTHER}/", LINK),
        (f"{ORGANISATION}{OTHER}/", LINK),
        (f"{ORGANISATION}{OTHER}/_packaging/feed/", LINK),
        (f"{ORGANISATION}{PROJECT}/_packaging/{OTHER}/", LINK),
        (f"{ORGANISATION}proj/_packaging/other/", f"{ORGANISATION}{PROJECT}/_packaging/feed/"),
        (f"{ORGANISATION}other/_packaging/feed/", f"{ORGANISATION}proj/_packaging/{FEED}/"),
        (f"{ORGANISATION}other/", f"{ORGANISATION}proj/_packaging/{FEED}/"),
        (f"{ORGANISATION}{PROJECT}/", INDEX),
        (f"{ORGANISATION}{PROJECT}/_packaging/feed/", INDEX),
        (f"{ORGANISATION}_packaging/other/nuget/v3/index.json", INDEX),
        (f"{ORGANISATION}_packaging/other/", INDEX),
        (f"{ORGANISATION}_packaging/{FEED}@Local/", f"{ORGANISATION}_packaging/{FEED}@Release/pypi/simple/"),
        (f"{ORGANISATION}_packaging/feed@Local/", f"{ORGANISATION}_packaging/{FEED}@Release/pypi/simple/"),
        (f"{ORGANISATION}_packaging/feed@{VIEW}/", f"{ORGANISATION}_packaging/feed@{OTHER}/pypi/simple/"),
        (f"{ORGANISATION}_packaging/feed@{VIEW}/", INDEX),
        (f"{ORGANISATION}_packaging/{FEED}@{VIEW}/", f"{ORGANISATION}_packaging/{FEED}/pypi/simple/"),
        # What only looks like an id.
        (INDEX, f"{ORGANISATION}_packaging/{FEED.replace('-', '')}/pypi/simple/"),
        (INDEX, f"{ORGANISATION}_packaging/{FEED[:-1]}/pypi/simple/"),
        (INDEX, f"{ORGANISATION}_packaging/{FEED[:-1]}g/pypi/simple/"),
        (INDEX, f"{ORGANISATION}_packaging/{{{FEED}}}/pypi/simple/"),
    ],
)
def test_what_is_not_meant(endpoint: str, service: str) -> None:
    environ = {"ARTIFACTS_KEYRING_HOSTS": "tfs.example tfs.example.evil"}
    for allowed in ("", "pkgs.dev.azure.com"):
        environ["ARTIFACTS_KEYRING_INSECURE_HOSTS"] = allowed
        for one in (external(endpoint), prefixes(endpoint)):
            assert find(service, {**environ, **one}) is None
            feed = feed_of(service, {**environ, **one})
            assert feed is None or declared.candidates(feed, {**environ, **one}) == []


ELSEWHERE = f"{HOST}org2/_packaging/feed/"
NEIGHBOUR = f"{ORGANISATION}_packaging/neighbour/"


@pytest.mark.parametrize(
    ("environ", "candidates"),
    [
        (external(INDEX, NEIGHBOUR), [("u0", "p0"), ("u1", "p1")]),
        (external(NEIGHBOUR, ELSEWHERE, INDEX), [("u0", "p0"), ("u2", "p2")]),
        (external(f"{ORGANISATION}proj/", f"{ORGANISATION}other/_packaging/feed"), [("u0", "p0"), ("u1", "p1")]),
        ({**external(INDEX), **prefixes(NEIGHBOUR)}, [("u0", "p0"), ("VssSessionToken", "token")]),
        ({EXTERNAL: listing(entry(INDEX)), IDENTITY: listing({"endpoint": NEIGHBOUR, "clientId": "c"})}, [("u", "p")]),
        ({IDENTITY: listing({"endpoint": INDEX, "clientId": "c"}, {"endpoint": NEIGHBOUR, "clientId": "d"})}, []),
    ],
)
def test_of_two_that_disagree_none_is_handed_out_unasked(
    environ: dict[str, str], candidates: list[tuple[str, str]]
) -> None:
    feed = feed_of(LINK, environ)
    assert feed is not None
    assert find(LINK, environ) is None
    assert declared.candidates(feed, environ) == candidates
    assert find("pkgs.dev.azure.com", environ) is None


@pytest.mark.parametrize(
    ("environ", "service", "expected"),
    [
        # Of one credential in several places there is no doubt.
        ({EXTERNAL: listing(entry(INDEX, "a"), entry(NEIGHBOUR, "b"))}, LINK, ("a", "p")),
        ({EXTERNAL: listing(entry(INDEX, "a"), entry(NEIGHBOUR, "b"))}, "pkgs.dev.azure.com", ("a", "p")),
        (prefixes(INDEX, NEIGHBOUR, f"{ORGANISATION}other/"), LINK, ("VssSessionToken", "token")),
        # What is declared for all of the organisation, for the project, or for the id itself is no guess.
        (external(INDEX, ORGANISATION), LINK, ("u1", "p1")),
        (external(INDEX, ORGANISATION), HOST, ("u1", "p1")),
        (external(INDEX, f"{ORGANISATION}{PROJECT}/"), LINK, ("u1", "p1")),
        (external(INDEX, f"{ORGANISATION}{PROJECT}/_packaging/{FEED}/"), LINK, ("u1", "p1")),
        (external(INDEX, HOST), "pkgs.dev.azure.com", ("u1", "p1")),
        # What another id or name speaks against is no candidate.
        (external(INDEX, f"{ORGANISATION}_packaging/{OTHER}/"), LINK, ("u0", "p0")),
        (external(f"{ORGANISATION}{OTHER}/", f"{ORGANISATION}proj/"), LINK, ("u1", "p1")),
    ],
)
def test_where_there_is_no_doubt_nobody_is_asked(
    environ: dict[str, str], service: str, expected: tuple[str, str]
) -> None:
    feed = feed_of(service, environ)
    assert feed is not None
    assert find(service, environ) == expected
    assert declared.candidates(feed, environ) == []


@pytest.mark.parametrize(
    "environ", [external(ORGANISATION, ELSEWHERE), prefixes(ORGANISATION, ELSEWHERE), external(INDEX, ELSEWHERE)]
)
def test_a_bare_host_of_two_organisations_is_no_answer(environ: dict[str, str]) -> None:
    assert find("pkgs.dev.azure.com", environ) is None
    assert find("https://pkgs.dev.azure.com", environ) is None


def test_an_identity_is_meant_by_an_id_too() -> None:
    environ = {IDENTITY: listing({"endpoint": f"{ORGANISATION}proj/_packaging/feed/", "clientId": CLIENT})}
    feed = feed_of(LINK, environ)
    assert feed is not None
    (only,) = json.loads(declared.for_provider(feed, environ)[IDENTITY])["endpointCredentials"]
    assert only == {"endpoint": feed.index_url, "clientId": CLIENT}
