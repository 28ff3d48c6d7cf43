"""`doctor`, as someone in trouble uses it: one thing broken at a time, and only the last line read.

The installed wheel with its real provider, real keyring and real pip, against a whole Azure DevOps on loopback.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artifacts_keyring import lookup
from tests.fakes import user_machine
from tests.fakes.azure import AzureWorld
from tests.fakes.azure.provider import SESSIONS
from tests.fakes.broken_setups import EXTERNAL, IDS, READS_TOML, SECRET, Break, Desk

pytestmark = [pytest.mark.posix, pytest.mark.provider]
UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def programs(wheel: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return user_machine.programs(wheel("linux-x64"), tmp_path_factory.mktemp("doctor"))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has keyring, but not this backend."""
    folder = tmp_path_factory.mktemp("elsewhere") / "venv"
    for words in ("venv -q venv", "pip install -q --python venv/bin/python keyring"):
        subprocess.run([str(UV), *words.split()], cwd=folder.parent, check=True, capture_output=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def world() -> Iterator[AzureWorld]:
    with AzureWorld() as made:
        yield made


@pytest.fixture
def desk(world: AzureWorld, programs: Path, tmp_path: Path) -> Iterator[Desk]:
    """A place where everything works, by a declared token."""
    found = Desk(world, world.feed("org", "feed"), programs, tmp_path)
    found.feed.add("package0")
    found.environ = {
        **world.environ(found.home),
        **found.declare(world.token("org")),
        "PATH": f"{programs}:/usr/bin:/bin",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "ARTIFACTS_KEYRING_TIMEOUT": "60",
    }
    (tmp_path / "work").mkdir()
    yield found
    world.faults.clear()


@pytest.mark.parametrize("broken", IDS.values(), ids=list(IDS))
def test_the_last_line_names_what_is_broken(
    desk: Desk, broken: Break, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    with contextlib.ExitStack() as stack:
        environ, words = broken(desk, stack)
        done = desk.run(desk.feed.url, **environ)
    last = done.stdout.splitlines()[-1]
    with capsys.disabled():
        if request.config.getoption("capture") == "no":
            print(f"\n{request.node.callspec.id}: {last}")
    assert done.returncode == 1 and last.startswith("next step: ")
    assert [word for word in words if word not in last] == [], done.stdout
    assert "artifacts_keyring doctor" not in last


def test_where_nothing_is_broken_everything_works(desk: Desk) -> None:
    done = desk.run(desk.feed.url)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "everything works"), done.stdout
    assert "no public authority" in done.stdout and "WWW-Authenticate: Bearer, Basic" in done.stdout
    assert f"(declared: {EXTERNAL}); the feed answers 200" in done.stdout


def test_a_keyring_of_another_environment_first_on_path(desk: Desk, elsewhere: Path) -> None:
    last = desk.run(desk.feed.url, PATH=f"{elsewhere}:{desk.environ['PATH']}").stdout.splitlines()[-1]
    assert f"{elsewhere / 'keyring'}, first on PATH" in last and str(desk.programs) in last


def test_a_keyring_of_the_current_folder_is_not_run(desk: Desk) -> None:
    desk.write("work/keyring", "#!/bin/sh\ntouch started\n").chmod(0o755)
    desk.run(desk.feed.url, PATH=f".:{desk.environ['PATH']}")
    assert not (desk.folder / "work" / "started").exists()


def test_a_token_of_the_cache_is_told_from_a_sign_in(desk: Desk) -> None:
    desk.environ.pop(EXTERNAL)
    _, token = desk.world.login(desk.feed, desk.package.parent / user_machine.LAUNCHER, desk.home)
    done = desk.run(desk.feed.url)
    assert done.stdout.splitlines()[-1] == "everything works", done.stdout
    assert "provider: the provider's token cache" in done.stdout
    assert f"{desk.home / SESSIONS}, owned by " in done.stdout and " written 0.0 hours ago" in done.stdout
    desk.world.revoke(token)
    renewed = desk.run(desk.feed.url)
    assert "provider: the earlier sign-in, renewed now" in renewed.stdout
    tokens = [token, *json.loads((desk.home / SESSIONS).read_text()).values()]
    assert not any(one in done.stdout + renewed.stdout for one in tokens)


def test_a_public_feed_needs_nothing(desk: Desk) -> None:
    desk.environ.pop(EXTERNAL)
    desk.feed.public = True
    done = desk.run(desk.feed.url)
    assert done.stdout.splitlines()[-1] == "everything works" and "no credential needed (public)" in done.stdout


def test_json_has_the_same_facts_and_the_next_step(desk: Desk) -> None:
    facts = json.loads(desk.run(desk.feed.url, "--json", PIP_NO_INPUT="1").stdout)
    text = desk.run(desk.feed.url, PIP_NO_INPUT="1").stdout
    assert all(set(fact) == {"name", "ok", "detail", "step"} for fact in facts)
    names = [line.split(" ", 1)[1].partition(":")[0] for line in text.splitlines()[:-1] if not line.startswith(" ")]
    assert [fact["name"] for fact in facts[:-1]] == names
    assert facts[-1]["name"] == "next step" and text.endswith(f"next step: {facts[-1]['step']}\n")


def test_the_framework_dependent_wheel_without_dotnet(desk: Desk, wheel: Callable[[str], Path]) -> None:
    desk.environ.pop(EXTERNAL)
    with zipfile.ZipFile(wheel("any")) as archive:
        archive.extractall(desk.folder / "site")
    last = desk.run(desk.feed.url, PYTHONPATH=str(desk.folder / "site")).stdout.splitlines()[-1]
    assert "needs a .NET runtime of version 8 or newer" in last


@pytest.mark.parametrize("no_input", ["", "1"])
@pytest.mark.parametrize("provider", ["", "auto", "import", "subprocess", "disabled"])
def test_what_is_said_of_pip_is_what_pip_does(desk: Desk, provider: str, no_input: str) -> None:
    """With the keyring of pip's own environment alone on PATH, which pip never runs."""
    told = {"PIP_KEYRING_PROVIDER": provider, "PIP_NO_INPUT": no_input}
    environ = {name: value for name, value in told.items() if value}
    command = [str(desk.programs / "python"), *["-m", "pip", "install", "--no-cache-dir", "--target", "installed"]]
    done = subprocess.run(
        [*command, "--index-url", desk.feed.url, "package0"],
        cwd=desk.folder / "work",
        env={**desk.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert desk.facts(**environ)["pip"]["ok"] is (done.returncode == 0)


UV_SETTINGS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("", "{url}", {}),
    ("", "{user}", {}),
    ("", "{url}", {"UV_KEYRING_PROVIDER": "subprocess"}),
    ("", "{user}", {"UV_KEYRING_PROVIDER": "subprocess"}),
    ("", "azure={url}", {"UV_KEYRING_PROVIDER": "subprocess", "UV_INDEX_AZURE_USERNAME": "me"}),
    ('keyring-provider = "subprocess"\n', "{user}", {}),
    ('[pip]\nkeyring-provider = "subprocess"\n', "{user}", {}),
    ('keyring-provider = "subprocess"\n[[index]]\nurl = "{url}"\ndefault = true\nauthenticate = "always"\n', "", {}),
    ('[[index]]\nurl = "{url}"\ndefault = true\nauthenticate = "always"\n', "", {}),
    ('keyring-provider = "subprocess"\n[[index]]\nurl = "{user}"\ndefault = true\nauthenticate = "never"\n', "", {}),
)


@pytest.mark.parametrize(("file", "index", "environ"), UV_SETTINGS)
def test_what_is_said_of_uv_is_what_uv_does(desk: Desk, file: str, index: str, environ: dict[str, str]) -> None:
    urls = {"url": desk.feed.url, "user": desk.feed.with_user("me")}
    if file:
        desk.write("uv.toml", file.format(**urls))
    told = {**environ, **({"UV_DEFAULT_INDEX": index.format(**urls)} if index else {})}
    command = [str(UV), "pip", "install", "--no-cache", "--python", str(desk.programs / "python"), "--target"]
    done = subprocess.run(
        [*command, "installed", "package0"],
        cwd=desk.folder / "work",
        env={**desk.environ, **told},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if READS_TOML or not file:
        said = desk.facts(**told)["uv"]
        assert said["ok"] is (done.returncode == 0), done.stderr
        # What uv does with that is shown in test_readme_runs.py.
        assert ("no download of a lock file" in str(said["detail"])) is (said["ok"] is True and "always" in file)
    else:
        assert f"{desk.folder / 'uv.toml'} is not looked at: it needs Python 3.11" in desk.run(**told).stdout


def test_an_authority_that_browsers_know_is_no_proxys(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The world's own authority stands in for a public one: no other can be had on loopback."""
    import certifi

    from artifacts_keyring.cli import connection

    def tls() -> str:
        checks = {check.name: check for check in connection.examine(desk.feed.url, desk.environ, 30.0)}
        assert checks["TLS"].ok and checks["answer"].ok
        return checks["TLS"].detail

    assert "no public authority" in tls()
    monkeypatch.setattr(certifi, "where", lambda: str(desk.world.ca_file))
    assert "issued by trustme" in tls() and "no public authority" not in tls()


def test_a_certificate_that_openssl_did_not_verify_is_taken_apart(desk: Desk) -> None:
    """As on macOS and Windows, whose own stores decide: Python then has the bytes alone."""
    import httpx

    from artifacts_keyring.cli import connection

    shown = connection._shown("TLS", connection._Attempt(httpx.URL(desk.feed.url), desk.environ, 30.0))
    assert shown.startswith("certificate of ") and "issued by trustme" in shown


def test_no_home_at_all(desk: Desk) -> None:
    """A user without HOME and without an entry: keyring itself fails, and says why."""
    done = desk.run(desk.feed.url, HOME="")
    assert done.returncode in (0, 1) and done.stdout.splitlines()[-1].startswith(("next step: ", "everything works"))


def test_doctor_takes_an_upload_url_and_nothing_that_is_no_feed(desk: Desk) -> None:
    assert desk.run(desk.feed.upload_url).stdout.splitlines()[-1] == "everything works"
    for url in ("https://pkgs.dev.azure.com/", "https://pkgs.dev.azure.com/org/", "nonsense"):
        done = desk.run(url)
        assert done.returncode == 2 and "is no feed" in done.stderr


def test_poetry_and_twine_with_passwords_of_their_own(desk: Desk) -> None:
    desk.write("home/.pypirc", f"[azure]\nrepository = {desk.feed.upload_url}\nusername = me\npassword = {SECRET}\n")
    assert f"[azure] of {desk.home / '.pypirc'}" in desk.run(desk.feed.url).stdout.splitlines()[-1]
    (desk.home / ".pypirc").unlink()
    if READS_TOML:
        desk.write("work/pyproject.toml", f'[[tool.poetry.source]]\nname = "the-feed"\nurl = "{desk.feed.url}"\n')
        variable = "POETRY_HTTP_BASIC_THE_FEED_PASSWORD"
        assert f"{variable} has a password" in desk.run(desk.feed.url, **{variable: SECRET}).stdout.splitlines()[-1]
        off = desk.run(desk.feed.url, POETRY_KEYRING_ENABLED="false").stdout.splitlines()[-1]
        assert "POETRY_KEYRING_ENABLED" in off


@pytest.mark.parametrize("provider", ["import", "subprocess", "disabled"])
def test_a_pip_before_23_1_asks_only_where_a_person_may_answer(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    from artifacts_keyring.cli import pip_and_twine

    monkeypatch.setattr(pip_and_twine, "_version", lambda: (23, 0))
    told = {"keyring-provider": pip_and_twine.Setting(provider, "PIP_KEYRING_PROVIDER")}
    assert pip_and_twine.pip(told, None, desk.environ).ok
    silent = {**told, "no-input": pip_and_twine.Setting("1", "PIP_NO_INPUT")}
    assert "PIP_NO_INPUT: upgrade pip to 23.1" in pip_and_twine.pip(silent, None, desk.environ).step


def test_an_older_pip_runs_keyring_only_for_a_user(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from artifacts_keyring.cli import pip_and_twine

    outside = desk.folder / "outside"
    outside.mkdir()
    (outside / "keyring").symlink_to(desk.programs / "keyring")
    environ = {**desk.environ, "PATH": f"{outside}:/usr/bin:/bin"}
    feed = lookup.feed_of(desk.feed.url, environ)
    told = {"keyring-provider": pip_and_twine.Setting("subprocess", "PIP_KEYRING_PROVIDER")}
    for version, url, asks in (
        ((26, 1), desk.feed.url, False),
        ((26, 1), desk.feed.with_user("me"), True),
        ((26, 2), desk.feed.url, True),
    ):
        monkeypatch.setattr(pip_and_twine, "_version", lambda version=version: version)
        check = pip_and_twine.pip({**told, "index-url": pip_and_twine.Setting(url, "PIP_INDEX_URL")}, feed, environ)
        assert check.ok is asks and ("PIP_INDEX_URL" in check.step) is not asks
