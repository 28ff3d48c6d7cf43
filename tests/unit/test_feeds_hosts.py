"""Hosts that the user names or declares, servers on premises, and what may travel in clear text."""

from __future__ import annotations

import re

import pytest

from artifacts_keyring.lookup import feed_of
from tests.fakes.declared_environ import EXTERNAL, IDENTITY, INDEX, external, refusal


@pytest.mark.parametrize(
    ("variable", "value", "host", "ours"),
    [
        ("ARTIFACTS_KEYRING_HOSTS", "tfs.example", "tfs.example", True),
        ("ARTIFACTS_KEYRING_HOSTS", "TFS.Example", "tfs.EXAMPLE:8080", True),
        ("ARTIFACTS_KEYRING_HOSTS", "a.example;tfs.example", "tfs.example", True),
        ("ARTIFACTS_KEYRING_HOSTS", "a.example, tfs.example", "tfs.example", True),
        ("ARTIFACTS_KEYRING_HOSTS", "example", "tfs.example", True),
        ("ARTIFACTS_KEYRING_HOSTS", ".example", "tfs.example", True),
        ("ARTIFACTS_KEYRING_HOSTS", "*.example", "tfs.example", True),
        ("ARTIFACTS_KEYRING_HOSTS", "https://tfs.example/tfs", "tfs.example", True),
        ("ARTIFACTS_KEYRING_HOSTS", "tfs.example:8080", "tfs.example:8080", True),
        ("ARTIFACTS_KEYRING_HOSTS", "tfs.example:8080", "tfs.example", False),
        ("ARTIFACTS_KEYRING_HOSTS", "s.example", "tfs.example", False),
        ("ARTIFACTS_KEYRING_HOSTS", "tfs.example", "tfs.example.evil", False),
        ("ARTIFACTS_KEYRING_HOSTS", "tfs.example", "eviltfs.example", False),
        ("ARTIFACTS_KEYRING_HOSTS", ".tfs.example", "tfs.example", True),
        ("ARTIFACTS_KEYRING_HOSTS", "XX.example", "tfs.example", False),
        ("ARTIFACTS_KEYRING_HOSTS", " ;, ", "tfs.example", False),
        ("ARTIFACTS_KEYRING_HOSTS", "*", "tfs.example", False),
        ("ARTIFACTS_KEYRING_HOSTS", ".", "tfs.example", False),
        ("ARTIFACTS_KEYRING_HOSTS", "[fe80::1]", "[fe80::1]", True),
        ("ARTIFACTS_KEYRING_HOSTS", "müller.example", "müller.example", True),
        ("ARTIFACTS_KEYRING_HOSTS", "müller.example", "MÜLLER.example:444", True),
        ("ARTIFACTS_KEYRING_HOSTS", "müller.example", "xn--mller-kva.example", True),
        ("ARTIFACTS_KEYRING_HOSTS", "xn--mller-kva.example", "müller.example", True),
        ("ARTIFACTS_KEYRING_HOSTS", "XN--Mller-KVA.example", "müller.example", True),
        ("ARTIFACTS_KEYRING_HOSTS", "fass.example;xn--mller-kva.example", "faß.example", False),
        ("ARTIFACTS_KEYRING_HOSTS", "muller.example;ü.example", "müller.example", False),
        ("ARTIFACTS_CREDENTIALPROVIDER_VSTS_HOSTS", "a.example;tfs.example", "tfs.example", True),
        ("ARTIFACTS_CREDENTIALPROVIDER_VSTS_HOSTS", "example", "tfs.example", False),
        ("ARTIFACTS_CREDENTIALPROVIDER_VSTS_HOSTS", ".example", "tfs.example", True),
        ("ARTIFACTS_CREDENTIALPROVIDER_VSTS_HOSTS", ".tfs.example", "tfs.example", False),
        ("NUGET_CREDENTIALPROVIDER_HOSTS", "tfs.example", "tfs.example", True),
        ("ARTIFACTS_KEYRING_INSECURE_HOSTS", "tfs.example", "tfs.example", True),
        ("SOME_OTHER_HOSTS", "tfs.example", "tfs.example", False),
    ],
)
def test_hosts_of_the_users_own(variable: str, value: str, host: str, ours: bool) -> None:
    feed = feed_of(f"https://{host}/tfs/Coll/_packaging/feed/pypi/simple/", {variable: value})
    assert (feed is not None) is ours
    assert (feed_of(host, {variable: value}) is not None) is ours


@pytest.mark.parametrize(
    ("path", "organisation", "project"),
    [
        ("tfs/Coll/_packaging/feed", "coll", None),
        ("TFS/Coll/Proj/_packaging/feed", "coll", "proj"),
        ("Coll/_packaging/feed", "coll", None),
        ("devops/Coll/_packaging/feed", "devops/coll", None),
        ("devops/Coll/Proj/_packaging/feed", "devops/coll", "proj"),
        ("_packaging/feed", None, None),
        ("DefaultCollection/_packaging/feed", "defaultcollection", None),
        ("DefaultCollection/Proj/_packaging/feed", "defaultcollection/proj", None),
    ],
)
def test_a_server_on_premises(path: str, organisation: str | None, project: str | None) -> None:
    feed = feed_of(f"https://u@server:8443/{path}/pypi/upload", {"ARTIFACTS_KEYRING_HOSTS": "server"})
    assert feed is not None
    assert tuple(feed)[:8] == ("server", 8443, organisation, project, "feed", "upload", feed.url, "https")
    assert feed.url == f"https://server:8443/{path}/pypi/upload/"
    assert feed.index_url == f"https://server:8443/{path}/pypi/simple/"


@pytest.mark.parametrize("host", ["[::1", "::1]", "[]", "[a]", "[::g]", "a..b", ".", "x" * 254, "tfs.example:٤٤٣"])
def test_what_cannot_be_a_host_is_none_even_if_it_is_named(host: str) -> None:
    assert (
        feed_of(
            f"https://{host}/tfs/Coll/_packaging/feed/",
            {"ARTIFACTS_KEYRING_HOSTS": f"{host} tfs.example müller.example"},
        )
        is None
    )


def test_the_longest_name_that_the_name_system_has_is_a_host() -> None:
    host = f"{'x' * 63}." * 3 + "x" * 61
    assert feed_of(host, {"ARTIFACTS_KEYRING_HOSTS": host}) is not None


@pytest.mark.parametrize("above", ["tfs", "tfs/a/b/c", "a/b/c/d"])
def test_no_feed_stands_beside_a_collection_or_below_a_project(above: str) -> None:
    feed = feed_of(f"https://server/{above}/_packaging/feed/pypi/simple/", {"ARTIFACTS_KEYRING_HOSTS": "server"})
    assert feed is not None
    assert feed.kind == "host"


@pytest.mark.parametrize(
    ("host", "allowed", "ours"),
    [
        ("127.0.0.1:8080", "", True),
        ("127.1.2.3", "", True),
        ("localhost:8080", "", True),
        ("[::1]:8080", "", True),
        ("tfs.example", "", False),
        ("127.0.0.1.example", "", False),
        ("127.0.0.256", "", False),
        ("127.0.0.01", "", False),
        ("10.0.0.1", "", False),
        ("127.1", "", False),
        ("127.0.0.0.1", "", False),
        ("localhost.example", "", False),
        ("tfs.example", "tfs.example", True),
        ("tfs.example:8080", "TFS.example", True),
        ("tfs.example:8080", "tfs.example:8080", True),
        ("tfs.example", "tfs.example:8080", False),
        ("below.tfs.example", "tfs.example", False),
        ("below.tfs.example", ".tfs.example", True),
        ("pkgs.dev.azure.com", "tfs.example", False),
    ],
)
def test_plain_http(host: str, allowed: str, ours: bool) -> None:
    bare = re.sub(r":\d+$", "", host)
    environ = {"ARTIFACTS_KEYRING_HOSTS": bare, "ARTIFACTS_KEYRING_INSECURE_HOSTS": allowed}
    service = f"http://{host}/tfs/Coll/_packaging/feed/pypi/simple/"
    feed = feed_of(service, environ)
    assert (feed.url if feed else None) == (service if ours else None)
    assert (refusal(service, environ) == "") is ours
    assert feed is None or feed.scheme == "http"
    https = feed_of(service.replace("http:", "https:"), environ)
    assert https is not None and https.scheme == "https"


def test_a_refusal_names_the_way_out_and_nothing_secret() -> None:
    line = refusal("http://me:secret@tfs.example/c/_packaging/f", {"ARTIFACTS_KEYRING_HOSTS": "tfs.example"})
    assert line is not None
    assert "ARTIFACTS_KEYRING_INSECURE_HOSTS=tfs.example" in line
    assert "secret" not in line and "\n" not in line


@pytest.mark.parametrize("service", ["https://index.example/", "http://index.example/", INDEX, "x", ""])
def test_nothing_else_is_refused_aloud(service: str) -> None:
    assert refusal(service, {}) == ""


@pytest.mark.parametrize(
    ("endpoint", "service", "ours"),
    [
        ("https://tfs.example/tfs/C/_packaging/f/pypi/simple/", "https://tfs.example/tfs/C/_packaging/f", True),
        ("https://tfs.example/tfs/C/_packaging/f/pypi/simple/", "TFS.example:443", True),
        ("https://tfs.example:8443/tfs/C/_packaging/f", "https://tfs.example:8443/tfs/C/_packaging/f", True),
        ("https://tfs.example:8443/tfs/C/_packaging/f", "https://tfs.example/tfs/C/_packaging/f", False),
        ("https://tfs.example/tfs/C/_packaging/f", "https://x.tfs.example/tfs/C/_packaging/f", False),
        ("https://tfs.example/tfs/C/_packaging/f", "https://fs.example/tfs/C/_packaging/f", False),
        ("http://tfs.example/tfs/C/_packaging/f", "http://tfs.example/tfs/C/_packaging/f", False),
        ("http://localhost:81/tfs/C/_packaging/f", "http://localhost:81/tfs/C/_packaging/f", True),
        ("https://müller.example/C/_packaging/f", "https://müller.example/C/_packaging/f", True),
        ("https://TFS.Example/C/_packaging/f", "https://tfs.example/C/_packaging/f", True),
    ],
)
def test_a_declared_endpoint_makes_its_host_ours(endpoint: str, service: str, ours: bool) -> None:
    assert (feed_of(service, external(endpoint)) is not None) is ours
    listed = {"VSS_NUGET_URI_PREFIXES": endpoint, "VSS_NUGET_ACCESSTOKEN": "t"}
    assert (feed_of(service, listed) is not None) is ours


def test_a_declared_prefix_makes_its_host_ours_even_without_its_token() -> None:
    """Else its users would never hear that the token is missing."""
    environ = {"VSS_NUGET_URI_PREFIXES": "https://a.example/;https://tfs.example/tfs/"}
    service = "https://tfs.example/tfs/C/_packaging/f/pypi/simple/"
    assert feed_of(service, environ) is not None
    assert feed_of(service, {**environ, "VSS_NUGET_ACCESSTOKEN": "t"}) is not None


@pytest.mark.parametrize("variable", [EXTERNAL, IDENTITY])
def test_a_host_in_a_variable_that_cannot_be_read_is_ours_so_that_its_user_hears_of_it(variable: str) -> None:
    broken = {variable: '{"endpointCredentials": [{"endpoint": "https://tfs.example/tfs/C/_packaging/f"'}
    assert feed_of("https://tfs.example/tfs/C/_packaging/f/pypi/simple/", broken) is not None
    assert feed_of("https://example/tfs/C/_packaging/f/pypi/simple/", broken) is None
    assert feed_of("https://tfs.example:8443/tfs/C/_packaging/f/pypi/simple/", broken) is None


@pytest.mark.parametrize("variable", [EXTERNAL, IDENTITY])
def test_a_host_beside_what_can_be_read_is_not_ours(variable: str) -> None:
    readable = {variable: '{"endpointCredentials": [], "more": "https://tfs.example/"}'}
    assert feed_of("https://tfs.example/tfs/C/_packaging/f/pypi/simple/", readable) is None
