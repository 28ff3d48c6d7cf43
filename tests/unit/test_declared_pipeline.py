"""What Azure Pipelines sets by itself: the job's own token, and what its task NuGetAuthenticate@1 leaves behind."""

from __future__ import annotations

from typing import Optional

import pytest

from artifacts_keyring import declared, lookup, variables
from artifacts_keyring.variables import in_force
from tests.fakes import declared_environ
from tests.fakes.declared_environ import EXTERNAL, IDENTITY, INDEX, PREFIX, TOKEN, entry, listing, prefixes
from tests.fakes.user_machine import one_line

OLD = "https://org.pkgs.visualstudio.com/_packaging/feed/pypi/simple/"
OTHERS = [
    "https://pkgs.dev.azure.com/other/_packaging/feed/pypi/simple/",
    "https://other.pkgs.visualstudio.com/_packaging/feed/pypi/simple/",
    "https://pkgs.codedev.ms/org/_packaging/feed/pypi/simple/",
    "https://pkgs.dev.azure.com:8443/org/_packaging/feed/pypi/simple/",
    "https://tfs.example/org/_packaging/feed/pypi/simple/",
    "http://pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/",
]


def job(uri: str = "https://dev.azure.com/org/", word: str = "of-the-job") -> dict[str, str]:
    return {"SYSTEM_ACCESSTOKEN": word, "SYSTEM_COLLECTIONURI": uri, "TF_BUILD": "True"}


def found(service: str, environ: dict[str, str]) -> Optional[tuple[str, str]]:
    feed = lookup.feed_of(service, {**environ, "ARTIFACTS_KEYRING_HOSTS": "tfs.example"})
    return None if feed is None else declared_environ.look(feed, environ, pytest.fail)


@pytest.mark.parametrize(
    "uri",
    [
        "https://dev.azure.com/org/",
        "https://dev.azure.com/Org",
        "https://org.visualstudio.com/",
        "https://ORG.VisualStudio.com",
        " https://dev.azure.com:443/org/\n",
    ],
)
def test_a_jobs_token_is_for_its_organisation_in_both_spellings_and_for_no_other(uri: str) -> None:
    mine = ("VssSessionToken", "of-the-job")
    page = "https://pkgs.dev.azure.com/Org/My%20Project/_packaging/feed@Local/pypi/download/p/1/p-1.whl"
    for service in (INDEX, OLD, page, f"{OLD}p/", "org.pkgs.visualstudio.com", "pkgs.dev.azure.com"):
        assert found(service, job(uri)) == mine, service
    for service in (*OTHERS, "other.pkgs.visualstudio.com"):
        assert found(service, job(uri)) is None, service


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "$(System.CollectionUri)",
        "http://dev.azure.com/org/",
        "https://dev.azure.com/",
        "https://dev.azure.com/org/project/",
        "https://dev.azure.com:8443/org/",
        "https://visualstudio.com/",
        "https://a.org.visualstudio.com/",
        "https://org.visualstudio.com.evil.example/",
        "https://evil.example/org/",
        "https://dev.azure.com@evil.example/org/",
        "dev.azure.com/org",
    ],
)
def test_an_address_of_no_organisation_declares_nothing(uri: str) -> None:
    for service in (INDEX, OLD, *OTHERS, "pkgs.dev.azure.com"):
        assert found(service, job(uri)) is None


def test_a_job_that_maps_no_token_declares_nothing() -> None:
    assert found(INDEX, job(word="")) is None
    assert found(INDEX, {"SYSTEM_COLLECTIONURI": "https://dev.azure.com/org/"}) is None
    assert found(INDEX, {"SYSTEM_ACCESSTOKEN": "of-the-job"}) is None


def test_the_explicit_variables_come_first_however_little_they_say() -> None:
    for environ in (prefixes("https://pkgs.dev.azure.com/"), prefixes(INDEX)):
        assert found(INDEX, {**environ, **job()}) == ("VssSessionToken", "token")
    assert found(INDEX, {EXTERNAL: listing(entry("https://pkgs.dev.azure.com/")), **job()}) == ("u", "p")
    assert found(INDEX, {EXTERNAL: listing(entry(OTHERS[0])), **job()}) == ("VssSessionToken", "of-the-job")
    identity = {IDENTITY: listing(entry(INDEX, None, None, clientId="system"))}
    assert found(INDEX, {**identity, **job()}) is None  # the provider's business


def test_of_several_that_may_be_meant_by_an_id_the_jobs_token_is_the_last() -> None:
    environ = {EXTERNAL: listing(entry(INDEX, "a", "1"), entry(INDEX.replace("feed", "next"), "b", "2")), **job()}
    feed = lookup.feed_of(INDEX.replace("feed", "01234567-0123-0123-0123-0123456789ab"), environ)
    assert feed is not None and declared_environ.look(feed, environ, pytest.fail) is None
    assert [one.password for one in declared.candidates(feed, environ)] == ["1", "2", "of-the-job"]


def test_what_is_wrong_with_the_explicit_ones_is_said_and_the_jobs_token_is_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lookup._SAID.clear()
    environ = {PREFIX: INDEX, TOKEN: "", **job()}
    assert lookup.find(INDEX, environ) == (("VssSessionToken", "of-the-job"), "declared")
    assert f"{TOKEN} is empty" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("token", ["$(System.AccessToken)", "$SYSTEM_ACCESSTOKEN", "***"])
def test_a_macro_is_said_and_not_sent(token: str) -> None:
    lines: list[str] = []
    feed = lookup.feed_of(INDEX, {})
    assert feed is not None and declared_environ.look(feed, job(word=token), lines.append) is None
    (line,) = lines
    assert line.startswith("SYSTEM_ACCESSTOKEN is a ")
    other = lookup.feed_of(OTHERS[0], {})
    assert other is not None and declared_environ.look(other, job(word=token), pytest.fail) is None


def test_the_provider_hears_nothing_of_it() -> None:
    feed = lookup.feed_of(OTHERS[0], {})
    assert feed is not None
    assert declared.for_provider(feed, job()) == {}
    assert variables.unsigned(job()) is None  # it may sign in to what is another organisation's


@pytest.mark.parametrize("uri", ["https://dev.azure.com/org/", "https://org.visualstudio.com/"])
def test_what_the_task_sets_is_enough(uri: str) -> None:
    """The variables of NuGetAuthenticate@1, as it writes them: each spelling of the organisation, and a token."""
    spellings = (
        "https://pkgs.dev.azure.com/org/",
        "https://org.pkgs.visualstudio.com/",
        "https://pkgs.dev.azure.com/org/",
        "https://org.pkgs.visualstudio.com/",
        "https://org.pkgs.visualstudio.com/DefaultCollection/",
    )
    task = {
        "NUGET_CREDENTIALPROVIDER_MSAL_ENABLED": "True",
        "NUGET_CREDENTIALPROVIDER_SESSIONTOKENCACHE_ENABLED": "false",
        "VSS_NUGET_URI_PREFIXES": ";".join(spellings),
        "VSS_NUGET_ACCESSTOKEN": "of-the-task",
        "SYSTEM_COLLECTIONURI": uri,
        "TF_BUILD": "True",
    }
    for environ in (task, {**task, **job(uri)}):
        for service in (INDEX, OLD, f"{OLD}p/", "org.pkgs.visualstudio.com", "pkgs.dev.azure.com"):
            assert found(service, environ) == ("VssSessionToken", "of-the-task"), service
        assert not any(found(service, environ) for service in OTHERS)
    assert in_force(task, ("SYSTEM_ACCESSTOKEN",)) is None
