"""The release page's API: what it answers, what it refuses, and who gets to see a token."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from credprovider.errors import ReleaseError
from credprovider.fetch.download import Patience
from credprovider.fetch.http import Unavailable
from credprovider.maintain import vendor_releases
from credprovider.maintain.vendor_releases import Release
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import examples
from tests.fakes.release_page import PROJECT, ReleasePage, release_page, slow_down, spent
from tests.fakes.servers import Answer, content, in_turn, redirect, status

pytestmark = pytest.mark.posix

QUICK = Patience(attempts=3, first_contact=1, pause=0.01, longest_pause=5.0, total=60.0)
ASSETS = {
    "Microsoft.Net8.NuGet.CredentialProvider.tar.gz": b"one",
    "Microsoft.osx-x64.NuGet.CredentialProvider.zip": b"two",
}


@pytest.fixture
def page() -> Iterator[ReleasePage]:
    with release_page() as made:
        yield made


def ask(page: ReleasePage, **environ: str) -> Release:
    return vendor_releases.ask(page.api.url, PROJECT, "2.0.5", environ, QUICK)


def test_a_release_is_its_assets(page: ReleasePage) -> None:
    page.publish("2.0.5", ASSETS)
    found = ask(page)
    assert found.version == "2.0.5" and set(found.assets) == set(ASSETS)
    zipped = found.assets["Microsoft.osx-x64.NuGet.CredentialProvider.zip"]
    assert zipped.size == 3 and zipped.sha256 == "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
    assert zipped.url == f"{page.api.url}/{PROJECT}/releases/download/v2.0.5/{zipped.name}"
    (seen,) = page.api.seen
    assert seen.headers["accept"] == "application/vnd.github+json"
    assert seen.headers["x-github-api-version"] == "2022-11-28"


def test_a_slash_at_the_end_of_the_base_does_not_matter(page: ReleasePage) -> None:
    page.publish("2.0.5", {})
    assert vendor_releases.ask(f"{page.api.url}/", PROJECT, "2.0.5", {}, QUICK) == Release("2.0.5", {})


SOON = int(time.time()) + 1_000_000
REFUSALS: list[tuple[Answer, type[Exception], str, int]] = [
    (status(404), ReleaseError, "there is no such release", 1),
    (spent(403, SOON), Unavailable, "its rate limit is used up until ", 1),
    (spent(429, SOON), Unavailable, "GH_TOKEN", 1),
    (spent(403, 10**20), Unavailable, "its rate limit is used up; ", 1),
    (slow_down(3600), Unavailable, "asks to wait 3600 s", 1),
    (slow_down(0), Unavailable, "answered HTTP 429", 3),
    (
        status(403, {"X-RateLimit-Remaining": "59", "X-RateLimit-Reset": str(SOON)}),
        Unavailable,
        "refuses this request",
        1,
    ),
    (status(401), Unavailable, "renew the token in GH_TOKEN or GITHUB_TOKEN", 1),
    (status(500), Unavailable, "answered HTTP 500", 3),
    (status(418), Unavailable, "answered HTTP 418", 1),
    (
        redirect("https://example.test/elsewhere?token=SECRET", 301),
        ReleaseError,
        "has moved to https://example.test/elsewhere;",
        1,
    ),
    (content(b"<html>", "text/html"), ReleaseError, "is no JSON", 1),
    (content(b"[" * 100_000), ReleaseError, "is no JSON", 1),
    (content(b"[]"), ReleaseError, "the release.tag_name: 'NoneType'", 1),
    (content(b'{"tag_name": "v2.0.6", "assets": []}'), ReleaseError, "answered with 'v2.0.6'", 1),
    (content(b'{"tag_name": "v2.0.5", "assets": {}}'), ReleaseError, "the release.assets: 'dict'", 1),
    (content(b'{"tag_name": "v2.0.5", "assets": [7]}'), ReleaseError, "asset 0.name", 1),
    (content(b" " * (17 << 20)), ReleaseError, "larger than", 1),
]


@pytest.mark.parametrize(("answer", "kind", "said", "times"), REFUSALS, ids=[said for _, _, said, _ in REFUSALS])
def test_a_refusal_says_what_to_do(
    page: ReleasePage, answer: Answer, kind: type[Exception], said: str, times: int
) -> None:
    page.answer("2.0.5", answer)
    with pytest.raises(kind) as caught:
        ask(page)
    assert said in str(caught.value)
    assert str(caught.value).isprintable() and "SECRET" not in str(caught.value)
    assert len(page.api.seen) == times


def test_a_short_wait_is_waited(page: ReleasePage) -> None:
    page.publish("2.0.5", ASSETS)
    real = page.api.answers[f"/repos/{PROJECT}/releases/tags/v2.0.5"]
    page.answer("2.0.5", in_turn(slow_down(0), spent(403, int(time.time())), real))
    assert set(ask(page).assets) == set(ASSETS)


def test_nobody_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        vendor_releases.ask("http://127.0.0.1:9", PROJECT, "2.0.5", {}, QUICK)


@pytest.mark.parametrize("api", ["http://example.test", "ftp://127.0.0.1", "example.test", "http://127.0.0.1:x"])
def test_only_https_and_this_machine_are_asked(api: str) -> None:
    with pytest.raises(Unavailable) as caught:
        vendor_releases.ask(api, PROJECT, "2.0.5", {}, QUICK)
    assert "refused" in str(caught.value) or "is not a URL" in str(caught.value)


def test_an_asset_that_is_listed_twice_is_refused(page: ReleasePage) -> None:
    answer = page.publish("2.0.5", ASSETS)
    answer["assets"] *= 2
    with pytest.raises(ReleaseError, match="twice"):
        vendor_releases.parse(json.dumps(answer), "2.0.5")


@pytest.mark.parametrize("name", vendor_releases.TOKEN_VARIABLES)
def test_a_token_goes_to_its_own_api_only(page: ReleasePage, name: str) -> None:
    page.publish("2.0.5", ASSETS)
    ask(page, **{name: "SECRET"})
    assert "authorization" not in page.api.seen[0].headers
    own = f"{vendor_releases.API}/repos/x"
    assert vendor_releases.headers(own, {name: "SECRET"})["Authorization"] == "Bearer SECRET"
    assert "Authorization" not in vendor_releases.headers(own, {})
    for other in (
        own.replace("https", "http"),
        own.replace(".com", ".com.example.test"),
        own.replace(".com", ".com:8443"),
    ):
        assert "Authorization" not in vendor_releases.headers(other, {name: "SECRET"})


def test_the_project_is_read_out_of_the_pinned_folder() -> None:
    assert vendor_releases.repository(f"https://github.com/{PROJECT}/releases/download/v2.0.5") == PROJECT
    with pytest.raises(ReleaseError, match="correct release-url"):
        vendor_releases.repository("https://example.test/releases/download/v2.0.5")


answers = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "size", "digest", "state", "browser_download_url"]), inner, max_size=5
        )
    ),
    max_leaves=8,
)


@settings(max_examples=examples(200), deadline=None)
@given(
    st.fixed_dictionaries({"tag_name": st.just("v2.0.5") | answers, "assets": st.lists(answers, max_size=2) | answers})
)
def test_any_answer_is_a_release_or_one_line(answer: dict[str, Any]) -> None:
    try:
        found = vendor_releases.parse(json.dumps(answer), "2.0.5")
    except ReleaseError as error:
        assert str(error).isprintable() and len(str(error)) < 400
    else:
        assert all(asset.size > 0 for asset in found.assets.values())
