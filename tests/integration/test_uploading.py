"""Uploads to feeds that everybody may read: the provider sees no need to sign in, Azure DevOps does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

import pytest

from artifacts_keyring import feeds, lookup
from artifacts_keyring.session import NoCredential, ask
from tests.conftest import NATIVE
from tests.fakes.azure import AzureWorld, Feed, launcher

pytestmark = [pytest.mark.posix, pytest.mark.provider]

SILENT = ["feed", "session:SelfDescribing"]
OURS = "https://pkgs.dev.azure.com/Org/_packaging/Feed/pypi/simple/"


@pytest.fixture
def world() -> Iterator[AzureWorld]:
    """A new world with nothing in it."""
    with AzureWorld() as made:
        yield made


@pytest.fixture
def public(world: AzureWorld) -> Feed:
    """A public feed, which only projects can have."""
    return world.feed("org", "feed", public=True, project="project")


@pytest.fixture
def environ(world: AzureWorld, payload_tree: Callable[[str], Path], tmp_path: Path) -> dict[str, str]:
    """An environment without any login."""
    provider = str(launcher(payload_tree(NATIVE)))
    return {**world.environ(tmp_path / "home"), "ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH": provider}


def upload(feed: Feed, environ: dict[str, str], interactive: bool) -> tuple[str, str]:
    """The credential that an upload gets."""
    parsed = lookup.feed_of(feed.upload_url, environ)
    assert parsed is not None
    credential = ask(parsed, environ, interactive)
    assert credential is not None
    return credential.username, credential.password


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://pkgs.dev.azure.com/Org/Project/_packaging/Feed/pypi/upload/", OURS),
        ("https://pkgs.dev.azure.com/Org/My%20Project/_packaging/Feed/pypi/simple/", OURS),
        (
            "https://Org.pkgs.visualstudio.com/DefaultCollection/Project/_packaging/Feed/pypi/upload",
            "https://org.pkgs.visualstudio.com/_packaging/Feed/pypi/simple/",
        ),
        ("https://pkgs.dev.azure.com/Org/_packaging/Feed/pypi/upload/", None),
        ("https://pkgs.dev.azure.com/Org/Project/", None),
        ("https://devops.example.test/tfs/Collection/Project/_packaging/Feed/pypi/upload/", None),
    ],
)
def test_the_organisations_own_feed_of_that_name(url: str, expected: Optional[str]) -> None:
    feed = lookup.feed_of(url, {"ARTIFACTS_KEYRING_HOSTS": "devops.example.test"})
    assert feed is not None
    found = feeds.of_organisation(feed)
    assert (found.index_url if found else None) == expected
    if found is not None:
        assert found == lookup.feed_of(found.index_url, {})  # as if somebody had configured it


def test_an_upload_to_a_public_feed_signs_in(world: AzureWorld, public: Feed, environ: dict[str, str]) -> None:
    user, password = upload(public, environ, interactive=True)
    assert (user, password) == ("VssSessionToken", "token-org-1")
    assert world.steps.count("devicecode") == 1
    assert [request.auth for request in world.requests if request.path.startswith("/org/project/")] == ["none"] * 2
    world.forget()
    assert upload(public, environ, interactive=False) == (user, password)
    assert not {"devicecode", "session:SelfDescribing"} & set(world.steps)
    world.forget()
    world.revoke()
    assert upload(public, environ, interactive=False)[1] != password
    assert world.steps.count("session:SelfDescribing") == 1


def test_an_upload_to_a_public_feed_without_anybody_says_where_to_sign_in(
    world: AzureWorld, public: Feed, environ: dict[str, str]
) -> None:
    with pytest.raises(NoCredential, match="python -m artifacts_keyring login (https://\\S+)` once") as failed:
        upload(public, environ, interactive=False)
    (url,) = {word.rstrip("`") for word in str(failed.value).split() if word.startswith("https://")}
    answer = lookup.find(url, environ, interactive=True, fresh=True)
    assert answer.credential is not None
    assert upload(public, environ, interactive=False) == tuple(answer.credential)


def test_installing_from_a_public_feed_still_asks_nobody(
    world: AzureWorld, public: Feed, environ: dict[str, str]
) -> None:
    assert lookup.find(public.url, environ, interactive=True, fresh=True) == (None, "public")
    assert "devicecode" not in world.steps


def test_a_private_feed_costs_one_request_more_before_the_sign_in_only(
    world: AzureWorld, environ: dict[str, str]
) -> None:
    private = world.feed("org", "closed", project="project")
    upload(private, environ, interactive=True)
    assert world.steps.count("devicecode") == 1
    world.forget()
    upload(private, environ, interactive=False)
    assert world.steps == ["feed"]


def test_a_variable_that_declares_others_is_named_at_once(
    world: AzureWorld, public: Feed, environ: dict[str, str]
) -> None:
    declaring = {"ARTIFACTS_CREDENTIALPROVIDER_URI_PREFIXES": "https://pkgs.dev.azure.com/other/"}
    with pytest.raises(NoCredential, match="gives no credential for"):
        upload(public, {**environ, **declaring, "ARTIFACTS_CREDENTIALPROVIDER_ACCESSTOKEN": "t"}, interactive=False)
    assert world.requests == []
