"""A desk at which `doctor` is asked, and what can be broken there: one thing at a time."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Optional

import trustme

from tests.fakes import clients, servers, user_machine
from tests.fakes.azure import AzureWorld, Feed

EXTERNAL = "ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS"
PREFIXES, TOKEN = "ARTIFACTS_CREDENTIALPROVIDER_URI_PREFIXES", "ARTIFACTS_CREDENTIALPROVIDER_ACCESSTOKEN"
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
        return clients.site(self.programs.parent) / "artifacts_keyring"

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
    path = desk.package / "bin" / "legal" / "LICENSE"
    content = path.read_bytes()
    path.write_bytes(b"changed")
    stack.callback(path.write_bytes, content)
    return {}, (str(desk.package / "bin"), "reinstall")


@breaks("provider that may not be executed")
def _not_executable(desk: Desk, stack: contextlib.ExitStack) -> Broken:
    path = desk.package.parent / user_machine.LAUNCHER
    path.chmod(0o644)
    stack.callback(path.chmod, 0o755)
    return {}, (f"chmod +x {path}",)
