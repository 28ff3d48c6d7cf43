"""The small command line, used as people use it, with the real provider and a whole Azure DevOps on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, NamedTuple

import pytest

from artifacts_keyring.cli import installation, logout
from artifacts_keyring.provider import caches
from artifacts_keyring.variables import Environment
from tests.conftest import NATIVE, ROOT
from tests.fakes.azure import AzureWorld, Feed, empty_home
from tests.fakes.azure.provider import tokens

DIALOG = "ARTIFACTS_CREDENTIALPROVIDER_FORCE_CANSHOWDIALOG_TO"
PATH_VARIABLE = "ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH"


class Desk(NamedTuple):
    """A person's place: a world, a feed in it, a home, and the variables of a shell there."""

    world: AzureWorld
    feed: Feed
    home: Path
    environ: dict[str, str]

    def run(self, *arguments: str, code: int = 0, **more: str) -> subprocess.CompletedProcess[str]:
        environ = {**self.environ, **more}
        command = [sys.executable, "-m", "artifacts_keyring", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    @property
    def caches(self) -> list[Path]:
        return [cache.path for cache in caches.locate(self.environ) if cache.path.exists()]


@pytest.fixture
def desk(tmp_path: Path, payload_tree: Callable[[str], Path]) -> Iterator[Desk]:
    with AzureWorld() as world, empty_home(tmp_path) as home:
        environ = {**world.environ(home), PATH_VARIABLE: str(payload_tree(NATIVE))}
        # Nothing is installed here: no entry point leads keyring to the tree.
        environ["PYTHON_KEYRING_BACKEND"] = "artifacts_keyring.ArtifactsKeyringBackend"
        yield Desk(world, world.feed("org", "feed"), home, environ)


@pytest.mark.provider
def test_login_doctor_logout_doctor(desk: Desk) -> None:
    url = desk.feed.url
    first = desk.run("doctor", url, code=1)
    assert f"✗ look-up: {url}: nothing found" in first.stdout and f"login {url}" in first.stdout.splitlines()[-1]

    login = desk.run("login", url)
    assert "devicelogin" in login.stderr and f"logged in to {url}" in login.stdout
    assert "; the provider keeps the token; a token from a sign-in holds 90 days, with the scopes pack" in login.stdout
    assert len(desk.caches) == 2

    second = desk.run("doctor", url, "--json")
    (look_up,) = [check for check in json.loads(second.stdout) if check["name"] == "look-up"]
    assert look_up["ok"] is True and "VssSessionToken" in look_up["detail"] and "answers 200" in look_up["detail"]
    assert json.loads(second.stdout)[-1] == {"name": "next step", "ok": True, "detail": "everything works", "step": ""}
    (token,) = tokens(desk.home).values()
    assert token not in login.stdout + login.stderr + second.stdout + second.stderr

    dry = desk.run("logout", "--dry-run")
    assert dry.stdout.count("would remove ") == 2 and len(desk.caches) == 2
    wet = desk.run("logout")
    assert wet.stdout.count("removed ") == 2 and desk.caches == []
    assert desk.run("logout").stdout.count("nothing at ") == 2
    desk.run("doctor", url, code=1)


@pytest.mark.provider
def test_the_name_alone_says_what_it_is_and_whether_it_works(desk: Desk) -> None:
    works = desk.run().stdout.splitlines()
    assert works[-1] == "here: everything works" and sum("  artifacts-keyring " in line for line in works) == 4
    broken = desk.run(PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring").stdout.splitlines()
    assert broken[:-1] == works[:-1] and "PYTHON_KEYRING_BACKEND" in broken[-1]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("lgoin",), "login"),
        (("doctr",), "doctor"),
        (("doctor", "--jsn"), "--json"),
        (("logout", "--dry-rum"), "--dry-run"),
    ],
)
def test_a_near_miss_gets_a_suggestion(words: tuple[str, ...], meant: str) -> None:
    command = [sys.executable, "-m", "artifacts_keyring", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and f"eant {meant}" in done.stderr.replace("'", "").replace("did you mean", "meant")


@pytest.mark.parametrize("command", [(), ("login",), ("logout",), ("doctor",)], ids=" ".join)
def test_help_fits_a_terminal(command: tuple[str, ...]) -> None:
    words = [sys.executable, "-m", "artifacts_keyring", *command]
    environ = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}
    done = subprocess.run([*words, "--help"], cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "example:" in done.stdout or command in ((), ("logout",))


CONFIGURED = {
    "pip": ({"PIP_INDEX_URL": "URL"}, "", ""),
    "uv": ({"UV_INDEX": "feed=USER@URL"}, "", ""),
    "uv.toml": ({}, "uv.toml", '[[index]]\nname = "feed"\nurl = "URL"\n'),
    "poetry": ({}, "pyproject.toml", '[[tool.poetry.source]]\nname = "feed"\nurl = "URL"\n'),
    "pdm": ({}, "pyproject.toml", '[[tool.pdm.source]]\nname = "feed"\nurl = "URL"\n'),
}


def in_project(desk: Desk, folder: Path, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """What a command says in the folder of a project."""
    command = [sys.executable, "-m", "artifacts_keyring", *words]
    given = {**desk.environ, **environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False)


@pytest.mark.provider
@pytest.mark.parametrize("where", CONFIGURED)
def test_commands_without_a_url_find_the_feed_that_is_configured(desk: Desk, tmp_path: Path, where: str) -> None:
    if sys.version_info < (3, 11) and CONFIGURED[where][1]:
        pytest.skip("this Python reads no TOML")
    variables, file, text = CONFIGURED[where]
    project, url = tmp_path / "project", desk.feed.url
    project.mkdir()
    if file:
        (project / file).write_text(text.replace("URL", url))
    with_user = url.replace("https://", "https://me@")
    environ = {name: value.replace("USER@URL", with_user).replace("URL", url) for name, value in variables.items()}
    login = in_project(desk, project, "login", **environ)
    assert (login.returncode, login.stdout.splitlines()[0].partition(", as ")[0]) == (0, url), login.stderr
    assert f"logged in to {url}" in login.stdout and (file or next(iter(variables))) in login.stdout.splitlines()[0]
    doctor = in_project(desk, project, "doctor", **environ)
    assert f"· feed: {url}, as " in doctor.stdout and f"✓ look-up: {url}: " in doctor.stdout, doctor.stdout


@pytest.mark.provider
def test_several_configured_feeds_are_listed_and_none_is_said(desk: Desk, tmp_path: Path) -> None:
    none = in_project(desk, tmp_path, "login")
    assert none.returncode == 2 and "is told of a feed here; name one, such as https://" in none.stderr
    two = {"PIP_INDEX_URL": desk.feed.url, "PIP_EXTRA_INDEX_URL": desk.feed.url.replace("/feed/", "/other/")}
    several = in_project(desk, tmp_path, "login", **two)
    assert several.returncode == 2 and [f"login {url}" in several.stderr for url in two.values()] == [True, True]
    doctor = in_project(desk, tmp_path, "doctor", **two)
    assert doctor.stdout.count("· feed: ") == 2 and "look-up" not in doctor.stdout


@pytest.mark.posix
@pytest.mark.provider
@pytest.mark.parametrize("opener", ["exit 3", "exit 0", "exec sleep 20"])
def test_a_window_that_never_opens_is_spoken_of_before_the_wait(desk: Desk, tmp_path: Path, opener: str) -> None:
    """Kind L: fails, does nothing, hangs. The code follows after exactly the time that the line says."""
    begin = time.monotonic()
    said = desk.run("login", desk.feed.url, code=0, **window(tmp_path, opener)).stderr
    assert time.monotonic() - begin > 2
    at = said.index(f"artifacts-keyring: no window? A code follows after 2 s; to get it at once, set {DIALOG}=false ")
    assert said.index("Use the opened dialog") < at < said.index("enter the code")
    assert said.count("no window?") == 1


@pytest.mark.posix
@pytest.mark.provider
def test_the_line_names_what_gets_the_code_at_once(desk: Desk, tmp_path: Path) -> None:
    """Kind L: the variable, and no DISPLAY; without a program that opens windows none is needed."""
    variables = {**window(tmp_path, "exec sleep 20"), "ARTIFACTS_CREDENTIALPROVIDER_DEVICEFLOWTIMEOUTSECONDS": "100"}
    for number, more in enumerate(({DIALOG: "false"}, {"DISPLAY": ""}, {"PATH": "/nowhere"})):
        feed = desk.world.feed(f"org{number}", "feed")
        home = str(tmp_path / str(number))
        (tmp_path / str(number)).mkdir()
        said = desk.run("login", feed.url, code=0, **{**variables, **more, "HOME": home}).stderr
        assert "enter the code" in said and "window" not in said.replace("no window", "")
        assert "no window?" not in said


def window(folder: Path, opener: str) -> dict[str, str]:
    """A screen, and what opens pages on it."""
    (folder / "xdg-open").write_text(f"#!/bin/sh\n{opener}\n")
    (folder / "xdg-open").chmod(0o755)
    timeout = {"ARTIFACTS_CREDENTIALPROVIDER_DEVICEFLOWTIMEOUTSECONDS": "2"}
    return {"DISPLAY": ":9", "PATH": f"{folder}:/usr/bin:/bin", **timeout}


@pytest.mark.slow
@pytest.mark.provider
def test_a_second_login_needs_nobody(desk: Desk) -> None:
    desk.run("login", desk.feed.url)
    desk.world.forget()
    assert "devicelogin" not in desk.run("login", desk.feed.url).stderr
    assert [request.method for request in desk.world.requests] == ["GET", "GET"]


@pytest.mark.posix
@pytest.mark.provider
def test_a_login_that_nothing_is_kept_of_says_where_it_should_be(desk: Desk, tmp_path: Path) -> None:
    no_folder = tmp_path / "file"
    no_folder.touch()
    done = desk.run("login", desk.feed.url, XDG_DATA_HOME=str(no_folder))
    assert "the provider kept no token" in done.stdout and str(no_folder) in done.stdout


@pytest.mark.windows
@pytest.mark.provider
def test_a_declined_login_says_so(desk: Desk) -> None:
    desk.world.identity.refusal = "authorization_declined"
    done = desk.run("login", desk.feed.url, code=1)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("artifacts-keyring: ")]
    assert "declined" in line


@pytest.mark.provider
def test_a_public_feed_needs_no_login(desk: Desk) -> None:
    url = desk.world.feed("org", "open", public=True).url
    assert desk.run("login", url).stdout == f"{url} is public: it needs no login\n"


@pytest.mark.slow
@pytest.mark.parametrize("command", ["login", "doctor"])
@pytest.mark.parametrize("url", ["https://example.com/simple/", "nonsense"])
@pytest.mark.provider
def test_what_is_no_feed_is_refused(desk: Desk, command: str, url: str) -> None:
    done = desk.run(command, url, code=2)
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"artifacts-keyring: {url} is no feed") and "valid: " in line
    assert desk.world.requests == []


@pytest.mark.slow
@pytest.mark.provider
def test_a_password_in_a_url_is_not_repeated(desk: Desk) -> None:
    done = desk.run("login", "https://me:hunter2@example.com/simple/", code=2)
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.provider
def test_doctor_redacts_what_the_environment_declares(desk: Desk) -> None:
    entry = {"endpoint": desk.feed.url, "username": "me", "password": desk.world.token("org")}
    proxy = desk.environ["HTTPS_PROXY"].replace("//", "//me:hunter2@")
    done = desk.run(
        "doctor",
        desk.feed.url,
        ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS=json.dumps({"endpointCredentials": [entry]}),
        HTTPS_PROXY=proxy,
    )
    assert "(declared: ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS)" in done.stdout
    assert not any(secret in done.stdout + done.stderr for secret in ("hunter2", entry["password"]))


@pytest.mark.provider
def test_doctor_says_what_is_missing(desk: Desk, tmp_path: Path) -> None:
    done = desk.run("doctor", code=1, **{PATH_VARIABLE: str(tmp_path)})
    assert "✗ provider: " in done.stdout and "name its folder" in done.stdout


def test_doctor_finds_a_changed_payload(tmp_path: Path, wheel: Callable[[str], Path]) -> None:
    import zipfile

    with zipfile.ZipFile(wheel(NATIVE)) as archive:
        archive.extractall(tmp_path)
    changed = tmp_path / "artifacts_keyring" / "bin" / "legal" / "LICENSE"
    code = "from artifacts_keyring.cli.installation import integrity; print(integrity({}).ok)"
    command = [sys.executable, "-c", code]
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    seen = []
    for text in (changed.read_bytes(), b"changed"):
        changed.write_bytes(text)
        done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
        seen.append(done.stdout.strip())
    assert seen == ["True", "False"]


@pytest.mark.slow
@pytest.mark.provider
def test_marks_and_colours_fit_the_terminal(desk: Desk) -> None:
    plain = desk.run("doctor", PYTHONIOENCODING="ascii").stdout
    assert "ok provider runs: version 2.0.5" in plain and "\033[" not in plain


def test_the_command_line_imports_nothing_heavy_until_used() -> None:
    heavy = {"httpx", "keyring", "subprocess", "ssl"}
    code = f"import sys, artifacts_keyring.cli.main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {"HOME": "h"}, ["h/.local/share/MicrosoftCredentialProvider", "h/.local/.IdentityService"]),
        (
            "linux",
            {"HOME": "h", "XDG_DATA_HOME": "/x"},
            [
                "/x/MicrosoftCredentialProvider",
                "h/.local/share/MicrosoftCredentialProvider",
                "h/.local/.IdentityService",
            ],
        ),
        (
            "linux",
            {"HOME": "h", "XDG_DATA_HOME": "x"},  # .NET passes over a relative one
            ["h/.local/share/MicrosoftCredentialProvider", "h/.local/.IdentityService"],
        ),
        (
            "linux",
            {"HOME": "h", "NUGET_CREDENTIALPROVIDER_MSAL_FILECACHE_LOCATION": "/n/c"},
            ["h/.local/share/MicrosoftCredentialProvider", "/n", "h/.local/.IdentityService"],
        ),
        ("win32", {"LOCALAPPDATA": "l"}, ["l/MicrosoftCredentialProvider", "l/.IdentityService"]),
        (
            "win32",
            {"HOMEDRIVE": "c", "HOMEPATH": "/u"},
            ["c/u/AppData/Local/MicrosoftCredentialProvider", "c/u/AppData/Local/.IdentityService"],
        ),
        ("win32", {}, []),
        (
            "darwin",
            {"HOME": "h"},
            [
                "h/Library/Application Support/MicrosoftCredentialProvider",
                "h/.local/share/MicrosoftCredentialProvider",
                "h/.local/.IdentityService",
            ],
        ),
    ],
)
def test_where_the_caches_are(
    platform: str, environ: dict[str, str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caches, "_known_folder", lambda: None)  # Windows itself would name this user's, too
    assert [cache.path.parent.as_posix() for cache in caches.locate(environ, platform)] == expected


def test_what_cannot_be_removed_is_said(tmp_path: Path) -> None:
    place = tmp_path / ".local" / ".IdentityService" / "msal.cache"
    place.mkdir(parents=True)  # a folder where the file should be: unlink refuses
    outcomes = list(logout.clear({"HOME": str(tmp_path)}, dry_run=False, platform="linux"))
    assert [outcome.gone for outcome in outcomes] == [True, False]
    assert "remove it yourself" in outcomes[1].line


def test_tokens_in_a_secret_service_are_left_and_named(tmp_path: Path) -> None:
    place = tmp_path / ".local" / ".IdentityService" / "msal.cache"
    place.parent.mkdir(parents=True)
    place.touch()
    outcomes = list(logout.clear({"HOME": str(tmp_path)}, dry_run=False, platform="linux"))
    assert any(not outcome.gone and "secret service" in outcome.line for outcome in outcomes)


def test_a_proxy_is_listed_once_where_names_are_case_blind() -> None:
    checks = {check.name: check for check in installation.surroundings(Environment({"HTTPS_PROXY": "p"}, "win32"))}
    assert checks["proxy variables"].detail == "HTTPS_PROXY=p"
    both = {"HTTPS_PROXY": "p", "https_proxy": "q"}
    assert next(installation.surroundings(both)).detail == "HTTPS_PROXY=p, https_proxy=q"


@pytest.mark.posix
@pytest.mark.parametrize("encoding", ["cp1252", "ascii:strict"])
@pytest.mark.parametrize("command", [["logout"], ["doctor"]])
def test_a_path_that_the_console_cannot_show_is_no_traceback(tmp_path: Path, encoding: str, command: list[str]) -> None:
    home = tmp_path / "漢"
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(home), "PYTHONIOENCODING": encoding, PATH_VARIABLE: str(home)}
    words = [sys.executable, "-m", "artifacts_keyring", *command]
    done = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr and f"{tmp_path}/?" in done.stdout, done
