"""The table of environment variables, and how their values are read."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import pytest

from artifacts_keyring import lookup, session, variables
from artifacts_keyring.cli import installation
from artifacts_keyring.credential import Credential
from artifacts_keyring.variables import Environment


@pytest.mark.parametrize("value", ["true", "TRUE", "True", "1", "yes", "Yes", "on", " on "])
def test_a_flag_is_on(value: str) -> None:
    assert variables.flag({"X": value}, "X") is True


@pytest.mark.parametrize("value", ["false", "False", "0", "no", "NO", "off", " off\n"])
def test_a_flag_is_off(value: str) -> None:
    assert variables.flag({"X": value}, "X") is False


@pytest.mark.parametrize("environ", [{}, {"X": ""}, {"X": "2"}, {"X": "maybe"}, {"x": "true"}])
def test_a_flag_says_nothing(environ: dict[str, str]) -> None:
    assert variables.flag(environ, "X") is None


def test_a_list_takes_every_separator() -> None:
    assert variables.words({"X": "a.example;b.example, c.example\td.example;;"}, "X") == [
        "a.example",
        "b.example",
        "c.example",
        "d.example",
    ]
    assert variables.words({}, "X") == []


def test_every_constant_has_its_row_and_every_row_its_meaning() -> None:
    constants = {
        value
        for name, value in vars(variables).items()
        if name.isupper() and str(value).startswith("ARTIFACTS_KEYRING_")
    }
    names = [row.name for row in installation.VARIABLES]
    assert constants == set(names)
    assert len(names) == len(set(names))
    assert all(row.name.startswith("ARTIFACTS_KEYRING_") and row.meaning for row in installation.VARIABLES)
    assert not any("\n" in row.meaning for row in installation.VARIABLES)


def test_a_credential_shows_no_password() -> None:
    credential = Credential("user", "secret-token")
    assert "secret-token" not in f"{credential} {credential!r} {[credential]} {credential!s}"
    assert tuple(credential) == ("user", "secret-token")


def test_an_environment_is_as_case_blind_as_the_system() -> None:
    windows = Environment({"PROGRAMFILES": "p", "Path": "x"}, "win32")
    assert (windows["ProgramFiles"], windows.get("PATH"), "programfiles" in windows) == ("p", "x", True)
    windows.update({"ProgramFiles": "q"})
    assert dict(windows) == {"PROGRAMFILES": "q", "PATH": "x"}
    assert dict(Environment(windows, "win32")) == dict(windows)
    linux = Environment({"https_proxy": "a", "HTTPS_PROXY": "b"}, "linux")
    assert dict(linux) == {"https_proxy": "a", "HTTPS_PROXY": "b"} and "Https_Proxy" not in linux


def test_a_look_up_on_windows_finds_what_is_spelt_in_mixed_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """dotnet below ProgramFiles, of which os.environ there says PROGRAMFILES."""
    seen: list[Mapping[str, str]] = []
    monkeypatch.setattr(session, "Environment", functools.partial(Environment, platform="win32"))
    monkeypatch.setattr(session, "_ask", lambda session: seen.append(session.environ))
    feed = lookup.feed_of("https://pkgs.dev.azure.com/o/_packaging/f/pypi/simple/", {})
    assert feed is not None
    session.ask(feed, {"PROGRAMFILES": "p"}, False)
    assert seen[0]["ProgramFiles"] == "p"
