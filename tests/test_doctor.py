"""`doctor`, as someone in trouble uses it: one thing broken at a time, and only the last line read.

The installed wheel with its real provider, real keyring and real pip, against a whole Azure DevOps on loopback.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Optional

import pytest
import trustme

from tests import scenes, servers
from tests.azure import AzureWorld, Feed
from tests.azure.provider import SESSIONS

EXTERNAL = "ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS"
PREFIXES, TOKEN = "ARTIFACTS_CREDENTIALPROVIDER_URI_PREFIXES", "ARTIFACTS_CREDENTIALPROVIDER_ACCESSTOKEN"
pytestmark = [pytest.mark.posix, pytest.mark.provider]
UV = Path(sys.executable).with_name("uv")
READS_TOML = sys.version_info >= (3, 11)
SECRET = "hunter2"  # in every credential that stands somewhere and is not good
NOT_OURS = 65534
# Root passes over every permission; without these two capabilities it is a user as any other.
PLAIN_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


@dataclass
class Desk:
    """A person's place: a world with a feed, the programs, a home, a folder with work in it, a shell's variables."""

    world: AzureWorld
    feed: Feed
    programs: Path
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def package(self) -> Path:
        (site,) = self.programs.parent.glob("lib/python*/site-packages")
        return site / "artifacts_keyring"

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """`doctor` in the folder with work, nothing secret in what it says, and never a traceback."""
        done = subprocess.run(
            [*PLAIN_USER, str(self.programs / "python"), "-m", "artifacts_keyring", "doctor", *arguments],
            cwd=self.folder / "work",
            env={**self.environ, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        said = done.stdout + done.stderr
        assert "Traceback" not in said and SECRET not in said, said
        return done

    def facts(self, **more: str) -> dict[str, dict[str, object]]:
        """name -> check of `doctor URL --json`; of several with one name the last."""
        return {str(one["name"]): one for one in json.loads(self.run(self.feed.url, "--json", **more).stdout)}

    def declare(self, password: str) -> dict[str, str]:
        entry = {"endpoint": self.feed.url, "username": "me", "password": password}
        return {EXTERNAL: json.dumps({"endpointCredentials": [entry]})}

    def write(self, place: str, text: str) -> Path:
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        return path


@pytest.fixture(scope="module")
def programs(wheel: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes.programs(wheel("linux-x64"), tmp_path_factory.mktemp("doctor"))


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


# --- what can be broken: each changes the desk, and gives variables and what the last line must name

Broken = tuple[Mapping[str, str], tuple[str, ...]]
Break = Callable[[Desk, contextlib.ExitStack], Broken]
IDS: dict[str, Break] = {}


def breaks(name: str, toml: bool = False) -> Callable[[Break], Break]:
    """Enter a way to break something into the table; toml: in a file that only Python 3.11 can read."""

    def enter(function: Break) -> Break:
        if READS_TOML or not toml:
            IDS[name] = function
        return function

    return enter


def variables(name: str, words: tuple[str, ...], **values: Optional[str]) -> None:
    """Enter a way that is only a matter of variables; None: unset."""

    def act(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
        for unset in [key for key, value in values.items() if value is None]:
            desk.environ.pop(unset, None)
        return {key: value.format(url=desk.feed.url) for key, value in values.items() if value is not None}, words

    IDS[name] = act


BACKEND = "PYTHON_KEYRING_BACKEND"
variables("backend null by variable", (f"unset {BACKEND}",), PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring")
variables("backend fail by variable", (f"unset {BACKEND}",), PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring")
variables("backend variable empty", (f"unset {BACKEND}",), PYTHON_KEYRING_BACKEND="")
variables("backend that cannot be imported", (f"unset {BACKEND}", "nowhere"), PYTHON_KEYRING_BACKEND="nowhere.Keyring")
variables("token of a build without secrets", (TOKEN,), **{EXTERNAL: None, PREFIXES: "{url}", TOKEN: ""})
variables("token without prefixes", (TOKEN,), **{EXTERNAL: None, TOKEN: SECRET})
variables(
    "macro that was not expanded", (TOKEN,), **{EXTERNAL: None, PREFIXES: "{url}", TOKEN: "$(System.AccessToken)"}
)
variables("JSON cut off", (EXTERNAL,), **{EXTERNAL: '{{"endpointCredentials": [{{"endpoint": "{url}"'})
variables("refused token by prefix", (TOKEN, "401"), **{EXTERNAL: None, PREFIXES: "{url}", TOKEN: SECRET})
variables("PIP_NO_INPUT", ("PIP_NO_INPUT", "PIP_KEYRING_PROVIDER=import"), PIP_NO_INPUT="1")
variables("pip's keyring disabled", ("PIP_KEYRING_PROVIDER", "import"), PIP_KEYRING_PROVIDER="disabled")
variables("pip's keyring of nowhere", ("PIP_KEYRING_PROVIDER", "import"), PIP_KEYRING_PROVIDER="subprocess")
variables("uv without a provider", ("UV_DEFAULT_INDEX", "UV_KEYRING_PROVIDER=subprocess"), UV_DEFAULT_INDEX="{url}")
variables(
    "uv without a user",
    ("https://VssSessionToken@", "UV_INDEX"),
    UV_INDEX="azure={url}",
    UV_KEYRING_PROVIDER="subprocess",
)
variables("twine's old password", ("TWINE_PASSWORD", "401"), TWINE_PASSWORD=SECRET)
variables("proxy that refuses", ("HTTPS_PROXY", "127.0.0.1:9", "refused"), HTTPS_PROXY="http://127.0.0.1:9")
variables("proxy of no name", ("HTTPS_PROXY", "proxy.invalid"), HTTPS_PROXY="http://proxy.invalid:8080")
variables("proxy for SOCKS", ("HTTPS_PROXY", "socks5"), HTTPS_PROXY="socks5://127.0.0.1:9")
variables("authorities missing", ("SSL_CERT_FILE=/nowhere.pem",), SSL_CERT_FILE="/nowhere.pem")
variables("nobody has signed in", ("login https://", "needs a sign-in"), **{EXTERNAL: None})


@breaks("backend fail by file")
def _file(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    text = "[backend]\ndefault-keyring=keyring.backends.fail.Keyring\n"
    return {}, (f"remove {desk.write('home/.config/python_keyring/keyringrc.cfg', text)}",)


@breaks("keyring --disable")
def _disabled(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    subprocess.run([desk.programs / "keyring", "--disable"], env=desk.environ, check=True)
    return {}, (f"remove {desk.home / '.config' / 'python_keyring' / 'keyringrc.cfg'}",)


@breaks("refused token")
def _refused(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    return desk.declare(SECRET), (EXTERNAL, "401", desk.feed.url)


@breaks("uv.toml without a provider", toml=True)
def _uv_toml(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    path = desk.write("uv.toml", f'[[index]]\nname = "azure"\nurl = "{desk.feed.url}"\nauthenticate = "always"\n')
    return {}, (f"azure in {path}", "UV_KEYRING_PROVIDER=subprocess")


@breaks("pyproject.toml that says never", toml=True)
def _never(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    index = f'[[tool.uv.index]]\nname = "azure"\nurl = "{desk.feed.url}"\nauthenticate = "never"\n'
    path = desk.write("work/pyproject.toml", f'[tool.uv]\nkeyring-provider = "subprocess"\n{index}')
    return {}, (f"azure in {path}", "never")


@breaks("netrc with an old password")
def _netrc(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    path = desk.write("home/.netrc", f"machine pkgs.dev.azure.com login me password {SECRET}\n")
    return {}, (str(path), "401")


@breaks("pip.conf with an old password")
def _pip_conf(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    url = desk.feed.url.replace("://", f"://me:{SECRET}@")
    path = desk.write("pip.conf", f"[global]\nextra-index-url =\n    https://127.0.0.1:9/simple/\n    {url}\n")
    return {"PIP_CONFIG_FILE": str(path)}, (f"extra-index-url in {path}", "401")


@breaks("pip.conf without a prompt")
def _no_input(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    path = desk.write("home/.config/pip/pip.conf", "[install]\nno-input = yes\n")
    desk.environ.pop("PIP_CONFIG_FILE")
    return {}, (f"no-input in {path}",)


@breaks("host of no name")
def _host(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    desk.feed.host = "devops.invalid"
    return {"HTTPS_PROXY": "", "ARTIFACTS_KEYRING_HOSTS": desk.feed.host}, ("devops.invalid", "not known")


@breaks("host that the proxy does not know")
def _unknown(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    desk.feed.host = "devops.invalid"
    return {"ARTIFACTS_KEYRING_HOSTS": desk.feed.host}, ("HTTPS_PROXY", "devops.invalid", "502")


@breaks("port without a server")
def _port(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    desk.feed.host = "localhost:9"
    return {"NO_PROXY": "localhost", "ARTIFACTS_KEYRING_HOSTS": "localhost"}, ("localhost", "refused")


class _WantsUser(BaseHTTPRequestHandler):
    def do_CONNECT(self) -> None:
        self.send_error(407)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@breaks("proxy that wants a user")
def _proxy(_desk: Desk, stack: contextlib.ExitStack) -> Broken:
    server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), _WantsUser))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    stack.callback(server.shutdown)
    return {"HTTPS_PROXY": f"http://127.0.0.1:{server.server_port}"}, ("HTTPS_PROXY", "407", "USER:PASSWORD")


@breaks("authority that nobody told of")
def _untrusted(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"):
        desk.environ.pop(name)
    return {}, ("issued by trustme", "not trusted", "SSL_CERT_FILE")


def _served(desk: Desk, stack: contextlib.ExitStack, name: str, expires: timedelta) -> dict[str, str]:
    """The feed on a server of its own, whose certificate is for *name* and ends in *expires*."""
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, not_after=datetime.now(timezone.utc) + expires).configure_cert(tls)
    authority.cert_pem.write_to_path(str(desk.folder / "ca.pem"))
    desk.feed.host = stack.enter_context(servers.serve(tls)).place
    hosts = {"NO_PROXY": "localhost", "ARTIFACTS_KEYRING_HOSTS": "localhost"}
    return {**hosts, **dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"), str(desk.folder / "ca.pem"))}


@breaks("certificate of another name")
def _other_name(desk: Desk, stack: contextlib.ExitStack) -> Broken:
    return _served(desk, stack, "other.example.com", timedelta(days=1)), ("localhost", "another name")


@breaks("certificate that has expired")
def _expired(desk: Desk, stack: contextlib.ExitStack) -> Broken:
    return _served(desk, stack, "localhost", timedelta(days=-1)), ("localhost", "expired")


@breaks("no such organisation")
def _organisation(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    desk.feed.organisation, desk.feed.name = "gro", "elsewhere"
    desk.world._feeds.remove(desk.feed)
    return {}, ("/gro/", "404", "correct the organisation")


@breaks("no such feed")
def _feed(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    token = desk.world.token("org")
    desk.world.feed("org", "other")
    desk.feed.name = "misspelt"
    environ = desk.declare(token)
    desk.world._feeds.remove(desk.feed)
    return environ, ("/misspelt/", "404")


@breaks("feed that is out of order")
def _fault(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    desk.world.faults["feed"] = "500"
    return {}, (desk.feed.url, "500", "later")


@breaks("sign-in of someone else")
def _cache(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    desk.environ.pop(EXTERNAL)
    path = desk.write("home/.local/.IdentityService/msal.cache", "")
    _foreign(path, 0o600)
    return {}, (str(path), "chown")


@breaks("home that cannot be written")
def _home(desk: Desk, _stack: contextlib.ExitStack) -> Broken:
    desk.environ.pop(EXTERNAL)
    shutil.rmtree(desk.home)
    desk.home.mkdir()
    _foreign(desk.home, 0o555)
    return {}, (str(desk.home),)


def _foreign(path: Path, mode: int) -> None:
    """Make it someone else's; who is not root cannot, and takes the rights away instead."""
    if PLAIN_USER:
        path.chmod(mode)
        os.chown(path, NOT_OURS, NOT_OURS)
    else:
        path.chmod(mode if path.is_dir() else 0)


@breaks("provider deleted")
def _deleted(desk: Desk, stack: contextlib.ExitStack) -> Broken:
    desk.environ.pop(EXTERNAL)
    folder, aside = desk.package / "bin", desk.package / "aside"
    folder.rename(aside)
    stack.callback(aside.rename, folder)
    return {}, (str(folder), "reinstall")


@breaks("provider changed")
def _changed(desk: Desk, stack: contextlib.ExitStack) -> Broken:
    path = desk.package / "bin" / "LICENSE"
    content = path.read_bytes()
    path.write_bytes(b"changed")
    stack.callback(path.write_bytes, content)
    return {}, (str(desk.package / "bin"), "reinstall")


@breaks("provider that may not be executed")
def _not_executable(desk: Desk, stack: contextlib.ExitStack) -> Broken:
    path = desk.package.parent / scenes.LAUNCHER
    path.chmod(0o644)
    stack.callback(path.chmod, 0o755)
    return {}, (f"chmod +x {path}",)


# --- the tests


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
    _, token = desk.world.login(desk.feed, desk.package.parent / scenes.LAUNCHER, desk.home)
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
        assert desk.facts(**told)["uv"]["ok"] is (done.returncode == 0), done.stderr
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

    shown = connection._shown("TLS", httpx.URL(desk.feed.url), desk.environ, 30.0)
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


def test_an_older_pip_runs_keyring_only_for_a_user(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from artifacts_keyring import feeds
    from artifacts_keyring.cli import clients

    outside = desk.folder / "outside"
    outside.mkdir()
    (outside / "keyring").symlink_to(desk.programs / "keyring")
    environ = {**desk.environ, "PATH": f"{outside}:/usr/bin:/bin"}
    feed = feeds.parse(desk.feed.url, environ)
    told = {"keyring-provider": clients.Setting("subprocess", "PIP_KEYRING_PROVIDER")}
    for version, url, asks in (
        ((26, 1), desk.feed.url, False),
        ((26, 1), desk.feed.with_user("me"), True),
        ((26, 2), desk.feed.url, True),
    ):
        monkeypatch.setattr(clients, "_version", lambda version=version: version)
        check = clients.pip({**told, "index-url": clients.Setting(url, "PIP_INDEX_URL")}, feed, environ)
        assert check.ok is asks and ("PIP_INDEX_URL" in check.step) is not asks
