"""Every spelling of a service that clients use, and everything that must stay foreign."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from artifacts_keyring import feeds
from artifacts_keyring.feeds import Feed
from artifacts_keyring.lookup import feed_of
from artifacts_keyring.urls import Address
from tests.conftest import examples
from tests.fakes import declared_environ
from tests.fakes.declared_environ import EXTERNAL, INDEX, UPLOAD, external

SCOPED = "https://pkgs.dev.azure.com/org/proj/_packaging/feed/pypi/simple/"
OLD = "https://org.pkgs.visualstudio.com/_packaging/feed/pypi/simple/"

SPELLINGS = [
    (INDEX, INDEX),
    (INDEX[:-1], INDEX),
    ("https://pkgs.dev.azure.com/org/_packaging/feed", INDEX),
    ("https://pkgs.dev.azure.com/org/_packaging/feed/", INDEX),
    ("https://pkgs.dev.azure.com/org/_packaging/feed/pypi", INDEX),
    (INDEX + "numpy/", INDEX),
    (INDEX + "numpy", INDEX),
    (INDEX + "?format=json#top", INDEX),
    ("https://pkgs.dev.azure.com/org/_packaging/feed/pypi/download/a/1.0/a-1.0-py3-none-any.whl#sha256=ab", INDEX),
    ("https://user@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/", INDEX),
    ("https://user:p%40ss@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/", INDEX),
    ("https://odd@name:x@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/", INDEX),
    ("https://m\u00fcller:\uff50w@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/", INDEX),
    ("HTTPS://PKGS.Dev.Azure.COM/org/_packaging/feed/pypi/simple/", INDEX),
    ("https://pkgs.dev.azure.com:443/org/_packaging/feed/pypi/simple/", INDEX),
    ("https://pkgs.dev.azure.com:/org/_packaging/feed/pypi/simple/", INDEX),
    ("https://pkgs.dev.azure.com//org//_packaging/feed/pypi/simple//", INDEX),
    ("https://pkgs.dev.azure.com/org/_Packaging/feed/PyPI/Simple/", INDEX),
    ("https://pkgs.dev.azure.com/%6Frg/_packaging/f%65ed/pypi/simple/", INDEX),
    ("pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/", INDEX),
    (UPLOAD, UPLOAD),
    (UPLOAD[:-1], UPLOAD),
    ("https://pkgs.dev.azure.com/org/_packaging/feed/PyPI/Upload", UPLOAD),
    (UPLOAD.replace("https://", "https://u:p@"), UPLOAD),
    ("https://pkgs.dev.azure.com:8443/org/_packaging/feed/pypi/simple", INDEX.replace(".com/", ".com:8443/")),
    (SCOPED, SCOPED),
    (OLD, OLD),
    ("https://org.pkgs.visualstudio.com/DefaultCollection/_packaging/feed/pypi/simple", OLD),
    ("https://org.pkgs.visualstudio.com/defaultcollection/proj/_packaging/feed/", OLD.replace("/_p", "/proj/_p")),
    ("https://org.pkgs.visualstudio.com/proj/_packaging/feed/", OLD.replace("/_p", "/proj/_p")),
    ("https://pkgs.dev.azure.com/org/_packaging/feed?format=json", INDEX),
    ("https://pkgs.dev.azure.com/org/_packaging/feed#top", INDEX),
    (INDEX + "?next=https://evil.example/", INDEX),
]


@pytest.mark.parametrize(("service", "url"), SPELLINGS)
def test_every_spelling_of_a_feed_has_one_url(service: str, url: str) -> None:
    feed = feed_of(service, {})
    assert feed is not None
    assert feed.url == url
    assert feed.index_url == url.replace("/upload/", "/simple/")
    assert (feed.organisation, feed.name, feed.scheme) == ("org", "feed", "https")
    assert feed.project == ("proj" if "/proj/" in url else None)
    assert feed.kind == ("upload" if "/upload" in url else "index")


@pytest.mark.parametrize(
    ("written", "name", "url"),
    [
        ("feed@Local", "feed@local", "feed@Local"),
        ("feed%40Local", "feed@local", "feed@Local"),
        ("my feed", "my feed", "my%20feed"),
        ("my%20feed", "my feed", "my%20feed"),
        ("Fütter", "fütter", "F%C3%BCtter"),
        ("F%c3%bctter", "fütter", "F%C3%BCtter"),
        ("100%25", "100%", "100%25"),
        ("a%3Fb", "a?b", "a%3Fb"),
        ("a%23b", "a#b", "a%23b"),
    ],
)
def test_names_are_written_in_one_way(written: str, name: str, url: str) -> None:
    feed = feed_of(f"https://pkgs.dev.azure.com/org/_packaging/{written}/pypi/simple", {})
    assert feed is not None
    assert feed.name == name
    assert feed.url == f"https://pkgs.dev.azure.com/org/_packaging/{url}/pypi/simple/"


@pytest.mark.parametrize("service", ["pkgs.dev.azure.com", "PKGS.dev.azure.com:443", "https://pkgs.dev.azure.com"])
@pytest.mark.parametrize("end", ["", "/"])
def test_a_bare_host_is_known_and_names_nobody(service: str, end: str) -> None:
    expected = Feed("pkgs.dev.azure.com", None, None, None, None, "host", "")
    assert feed_of(service + end, {}) == expected
    assert expected.index_url == ""


@pytest.mark.parametrize(
    ("service", "port", "organisation"),
    [
        ("org.pkgs.visualstudio.com", None, "org"),
        ("user@Org.pkgs.visualstudio.com:8443", 8443, "org"),
        ("https://org.pkgs.vsts.me", None, "org"),
        ("https://pkgs.dev.azure.com/Org/", None, "org"),
        ("https://pkgs.dev.azure.com/org/_packaging/", None, "org"),
        ("pkgs.codedev.ms", None, None),
        ("pkgs.codeapp.ms:80", 80, None),
        ("pkgs.codedev.ms:1", 1, None),
        ("pkgs.codedev.ms:65535", 65535, None),
        ("https://pkgs.dev.azure.com/_packaging/feed/pypi/simple/", None, None),
        ("https://pkgs.dev.azure.com/org/a/b/_packaging/feed/pypi/simple/", None, "org"),
        ("https://org.pkgs.visualstudio.com/a/b/_packaging/feed/pypi/simple/", None, "org"),
    ],
)
def test_what_names_no_feed_is_a_host(service: str, port: int | None, organisation: str | None) -> None:
    feed = feed_of(service, {})
    assert feed is not None
    assert (feed.kind, feed.url, feed.name, feed.index_url) == ("host", "", None, "")
    assert (feed.port, feed.organisation) == (port, organisation)


FOREIGN = [
    "",
    "/",
    "://",
    "https://",
    "https:///org/_packaging/feed",
    "https:///@pkgs.dev.azure.com",
    "https://?@pkgs.dev.azure.com",
    "https://#@pkgs.dev.azure.com",
    "python-poetry-check",
    "poetry-repository-private",
    "pdm-pypi-mirror",
    "system",
    "index.example",
    "https://index.example/simple/",
    "https://evilpkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com.evil.example/org/_packaging/feed/pypi/simple/",
    "https://x.pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://evilpkgs.visualstudio.com/_packaging/feed/pypi/simple/",
    "https://pkgs.visualstudio.com/_packaging/feed/pypi/simple/",
    "https://.pkgs.visualstudio.com/_packaging/feed/pypi/simple/",
    "https://a..pkgs.visualstudio.com/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com@evil.example/org/_packaging/feed/pypi/simple/",
    "https://evil.example/pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://evil.example?@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://evil.example#@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://evil.example\\@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com\\.evil.example/org/_packaging/feed/pypi/simple/",
    "https://evil.example/\\@pkgs.dev.azure.com/org",
    "https://evil.example\t@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com\n.evil.example/org/_packaging/feed/pypi/simple/",
    "https://evil.example%2F.pkgs.visualstudio.com/_packaging/feed/pypi/simple/",
    "https://evil.example\uff0f.pkgs.visualstudio.com/_packaging/feed/pypi/simple/",
    "https://me:\uff0fpw@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://evil.example\uff03@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://\u2100:pw@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://evil.example\u2100.pkgs.visualstudio.com/_packaging/feed/pypi/simple/",
    "https://p\u212ags.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com./org/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com:x/org/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com:0/org/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com:65536/org/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com:٤٤٣/org/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com:000443/org/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com:443:443/org/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/?\x1f",
    "https://pkgs.dev.azure.com/org/_packaging/fe%7fed/pypi/simple/",
    "https://xn--a.pkgs.visualstudio.com/_packaging/feed/pypi/simple/",
    "https://[@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://]@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://us\u2028er@pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://[pkgs.dev.azure.com]/org/_packaging/feed/pypi/simple/",
    "http://pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "ftp://pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "git+https://pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https:pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https:/pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "//pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    " https://pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com/org/../other/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com/org/./_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com/org/%2e%2e/other/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com/org%2Fother/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com/org/_packaging/%ff/pypi/simple/",
    "https://pkgs.dev.azure.com/org/_packaging/\udc80/pypi/simple/",
    "https://dev.azure.com/org/_packaging/feed/pypi/simple/",
    "https://localhost/org/_packaging/feed/pypi/simple/",
    "http://127.0.0.1:8080/org/_packaging/feed/pypi/simple/",
]


@pytest.mark.parametrize("service", FOREIGN)
def test_foreign(service: str) -> None:
    assert feed_of(service, {}) is None


@pytest.mark.parametrize("service", [None, b"https://pkgs.dev.azure.com", 5, ("a", "b")])
def test_what_is_no_string_is_foreign(service: object) -> None:
    assert feed_of(service, {}) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("service", "index"),
    [
        (SCOPED, INDEX),
        (SCOPED.replace("/simple/", "/upload/"), INDEX),
        (
            SCOPED.replace("org", "Org").replace("feed", "My%20Feed@Local"),
            INDEX.replace("org", "Org").replace("feed", "My%20Feed@Local"),
        ),
        (OLD.replace("/_p", "/proj/_p"), OLD),
        (SCOPED.replace(".com/", ".com:8443/"), INDEX.replace(".com/", ".com:8443/")),
        (INDEX, None),
        (OLD, None),
        ("https://pkgs.dev.azure.com/org/proj/", None),
        ("https://tfs.example/tfs/Coll/Proj/_packaging/feed/pypi/simple/", None),
    ],
)
def test_the_feed_of_the_organisation_that_has_the_name_of_a_project_s(service: str, index: str | None) -> None:
    feed = feed_of(service, {"ARTIFACTS_KEYRING_HOSTS": "tfs.example"})
    assert feed is not None
    assert feeds.of_organisation(feed) == (feed_of(index, {}) if index else None)


def test_a_path_without_a_name_is_of_no_feed() -> None:
    for path in ("", "/org/", "/org/_packaging", "/org/pypi/upload/"):
        place = feeds.locate(Address("https", "pkgs.dev.azure.com", None, path))
        assert place is not None and place.kind == "host"


# What clients could be made to disagree on, in all orders.
PIECES = st.sampled_from(
    [
        "https://", "http://", "://", "//", "/", "\\", "?", "#", "@", ":", ":443", ":80", "%2F", "%40", ".", "..",
        "。", "／", "\t", "\n", "\x00", " ", "[", "]", "[::1]", "evil.example", "evil", "xn--", "user:pw", "ſ", "ß",
        "K", "pkgs.dev.azure.com", "org.pkgs.visualstudio.com", ".pkgs.vsts.me", "PKGS.CODEDEV.MS", "tfs.example",
        "/org/", "_packaging", "feed", "/pypi/simple/", "/pypi/upload", "DefaultCollection", "%", "%ff", "ü",
    ]
)  # fmt: skip
SERVICES = st.one_of(st.text(), st.lists(PIECES, max_size=12).map("".join))
ENVIRONS = st.fixed_dictionaries(
    {},
    optional={
        "ARTIFACTS_KEYRING_HOSTS": SERVICES,
        "ARTIFACTS_KEYRING_INSECURE_HOSTS": SERVICES,
        "NUGET_CREDENTIALPROVIDER_HOSTS": SERVICES,
        EXTERNAL: st.one_of(SERVICES, SERVICES.map(lambda endpoint: external(endpoint)[EXTERNAL])),
        "ARTIFACTS_CREDENTIALPROVIDER_URI_PREFIXES": SERVICES,
        "ARTIFACTS_CREDENTIALPROVIDER_ACCESSTOKEN": st.just("token"),
    },
)
OWN = re.compile(r"pkgs\.(dev\.azure\.com|codedev\.ms|codeapp\.ms)|[a-z0-9_.-]+\.pkgs\.(visualstudio\.com|vsts\.me)")


@given(SERVICES, ENVIRONS)
@settings(deadline=None, max_examples=examples(300))
def test_no_input_raises(service: str, environ: dict[str, str]) -> None:
    feed = feed_of(service, environ)
    declared_environ.refusal(service, environ)
    assert feed is None or feed.kind in ("index", "upload", "host")


@given(SERVICES)
@example("https://evil.example\\@pkgs.dev.azure.com/org/_packaging/feed")
@settings(deadline=None, max_examples=examples(1000))
def test_no_foreign_host_is_accepted(service: str) -> None:
    """Whatever is accepted goes to a host of Azure DevOps, by the reading of two other URL libraries too."""
    feed = feed_of(service, {})
    if feed is None:
        return
    assert feed.scheme == "https"
    whole = service if "://" in service else f"https://{service}"
    for host in (feed.host, urlsplit(whole).hostname, httpx.URL(whole).host):
        assert host and OWN.fullmatch(host)


@given(st.lists(PIECES, max_size=6).map("".join), st.sampled_from(["tfs.example", "müller.example", "[::1]"]))
@settings(deadline=None, max_examples=examples(300))
def test_no_foreign_host_is_accepted_where_hosts_are_named(service: str, named: str) -> None:
    feed = feed_of(f"https://{service}", {"ARTIFACTS_KEYRING_HOSTS": named})
    own = {"müller.example": "xn--mller-kva.example"}.get(named, named)
    assert feed is None or feed.host == own or feed.host.endswith(f".{own}") or OWN.fullmatch(feed.host)


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/?#\\@[] ")).map(
        lambda text: f"q7q{text}q7q"
    ),
    st.sampled_from(SPELLINGS),
)
@settings(deadline=None)
def test_no_user_part_survives(user: str, spelling: tuple[str, str]) -> None:
    scheme, _, rest = spelling[0].rpartition("://")
    feed = feed_of(f"{scheme or 'https'}://{user}@{rest}", {})
    assert "q7q" not in repr(feed)
    assert feed is None or feed.url == spelling[1]
    assert feed is not None or not user.isprintable()


@given(SERVICES, ENVIRONS)
@settings(deadline=None, max_examples=examples(300))
def test_a_canonical_url_means_the_same_feed(service: str, environ: dict[str, str]) -> None:
    feed = feed_of(service, environ)
    if feed is not None and feed.url:
        assert feed_of(feed.url, environ) == feed
        index = feed_of(feed.index_url, environ)
        assert index == feed._replace(kind="index", url=feed.index_url)


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1), max_size=3)
)
@settings(deadline=None)
def test_names_survive_the_way_through_a_url(names: list[str]) -> None:
    from urllib.parse import quote

    names = [name for name in names if name not in (".", "..") and name.lower() != "_packaging"]
    path = "/".join(quote(name, safe="") for name in names[1:])
    feed = feed_of(
        f"https://pkgs.dev.azure.com/{path}/_packaging/{quote((names or ['f'])[0], safe='')}/pypi/simple/", {}
    )
    if 2 <= len(names) <= 3:
        assert feed is not None
        assert (feed.name, feed.organisation) == (names[0].lower(), names[1].lower())
        assert feed_of(feed.url, {}) == feed


FOREIGN_LOOKUP = """
import sys, keyring
before = set(sys.modules)
from artifacts_keyring import lookup
for service in ("https://index.example/simple/", "python-poetry-check", "index.example:443", "https://tfs.example/c"):
    assert lookup.feed_of(service, ENVIRON) is None, service
print(sorted(name for name in set(sys.modules) - before))
"""


def loaded(environ: dict[str, str]) -> list[str]:
    script = FOREIGN_LOOKUP.replace("ENVIRON", repr(environ))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return [name for name in json.loads(done.stdout.replace("'", '"')) if not name.startswith("encodings")]


def test_a_foreign_service_imports_nothing() -> None:
    own = [
        "artifacts_keyring",
        *(f"artifacts_keyring.{name}" for name in ("feeds", "lookup", "memory", "urls", "variables")),
    ]
    assert loaded({}) == own
    assert loaded({"ARTIFACTS_KEYRING_HOSTS": "other.example"}) == own


def test_a_foreign_service_reads_no_json_where_something_else_is_declared() -> None:
    names = loaded({**external(INDEX), "VSS_NUGET_URI_PREFIXES": INDEX, "VSS_NUGET_ACCESSTOKEN": "t"})
    assert {name for name in names if not name.startswith("artifacts_keyring")} == set()
