"""The world: which host answers what, which tokens are good, and the environment that leads a child here."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import ssl
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Optional
from urllib.parse import unquote, urlsplit

import trustme

from tests.fakes.azure import identity, provider
from tests.fakes.azure.feeds import BLOBS, LEGACY, PKGS, SIGNATURE, Feed
from tests.fakes.azure.identity import Identity
from tests.fakes.azure.server import Answer, Request, Server, as_json

SPS = "vssps.dev.azure.com"
_WILD = (LEGACY, ".vssps.visualstudio.com")
_FEED_PATH = re.compile(r"/(?:(?P<scope>.*?)/)?_packaging/(?P<feed>[^/@]+)(?:@(?P<view>[^/]+))?(?P<rest>/.*)", re.I)


class AzureWorld:
    """An Azure DevOps of one tenant; a context manager.

    `latency` is the wait per request in seconds; `hosts` are names beyond Azure's own that hold feeds
    (on-premises servers); `faults` maps a step ("discovery", "session:Compact", …) to one of server.FAULTS;
    `session_status` other than 200 is what the session-token endpoint answers.
    """

    def __init__(self, *, port: int = 0, latency: float = 0.0, hosts: Sequence[str] = ()) -> None:
        self.latency = latency
        self.hosts = (PKGS, "127.0.0.1", *hosts)
        self.identity = Identity()
        self.faults: dict[str, str] = {}
        self.session_status = 200
        self._tokens: dict[str, str] = {}
        self._feeds: list[Feed] = []
        self._numbers = itertools.count(1)
        self._folder = tempfile.TemporaryDirectory(prefix="azure-world-")
        self.ca_file = Path(self._folder.name, "ca.pem")
        self.server = _server(self, port)

    def __enter__(self) -> AzureWorld:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.server.stop()
        self._folder.cleanup()
        if self.server.broken and error is None:
            raise RuntimeError(f"the loopback Azure DevOps itself failed: {self.server.broken!r}")

    @property
    def requests(self) -> list[Request]:
        """All requests since the start or the last `forget()`."""
        return self.server.requests

    @property
    def steps(self) -> list[str]:
        """The steps of `requests`, in order of arrival."""
        return [request.step for request in self.requests]

    @property
    def connections(self) -> int:
        """How many connections carried `requests`."""
        return len({request.connection for request in self.requests})

    def forget(self) -> None:
        """Empty the log."""
        self.requests.clear()
        self.server.refused.clear()

    def feed(
        self,
        organisation: str,
        name: str,
        *,
        public: bool = False,
        project: str = "",
        host: str = "",
        legacy: bool = False,
        on_premises: bool = False,
    ) -> Feed:
        """Make a feed; `legacy` puts it on organisation.pkgs.visualstudio.com, `host` anywhere else.

        on_premises: it stands on a server that knows nothing of Entra ID.
        """
        feed = Feed(organisation, name, public, project, on_premises=on_premises)
        feed.host = host or (feed.legacy_host if legacy else PKGS)
        self._feeds.insert(0, feed)
        return feed

    def token(self, organisation: str) -> str:
        """A new token that opens all feeds of `organisation`: a PAT, or what a session exchange gives."""
        token = f"token-{organisation}-{next(self._numbers)}"
        self._tokens[token] = organisation.lower()
        return token

    def revoke(self, token: Optional[str] = None) -> None:
        """Make one session token or PAT worthless; without an argument, all of them."""
        self._tokens = {} if token is None else {t: org for t, org in self._tokens.items() if t != token}

    def adopt(self, other: AzureWorld) -> None:
        """Honour every token that `other` has given out, so that caches filled there are good here."""
        self._tokens.update(other._tokens)
        self._numbers = other._numbers  # a new token must never be spelt like one of the other's, revoked by now
        self.identity.access_tokens.update(other.identity.access_tokens)

    def environ(self, home: Path) -> dict[str, str]:
        """The complete environment of a child whose only network is this world."""
        home.mkdir(parents=True, exist_ok=True)
        ca = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"), str(self.ca_file))
        proxy = {"HTTPS_PROXY": f"http://127.0.0.1:{self.server.server_port}"}
        return {**provider.BARE, **provider.at_home(home), **ca, **proxy}

    def login(self, feed: Feed, tree: Path, home: Path) -> tuple[str, str]:
        """Fill the real caches below `home` by a device-code login of the real provider; user name and password."""
        outcome = provider.look_up(feed.url, tree, self.environ(home), interactive=True)
        if outcome.credential is None:
            raise RuntimeError(f"the login for {feed.url} ended with {outcome.code}: {outcome.stderr}")
        return outcome.credential

    def answer(self, request: Request) -> Answer:
        """Serve any request to this world."""
        if self.latency:
            time.sleep(self.latency)
        answer, fault = self._route(request)
        fault = fault or self.faults.get(request.step, "")
        return Answer(answer.status, answer.body, answer.headers, fault) if fault else answer

    def _route(self, request: Request) -> tuple[Answer, str]:
        if not request.secure:
            return self.identity.managed(request), ""
        if request.host in identity.HOSTS:
            return self.identity.answer(request), ""
        if request.host == SPS or request.host.endswith(_WILD[1]):
            return self._session(request), ""
        if request.host == BLOBS:
            return self._blob(request), ""
        match = _FEED_PATH.fullmatch(unquote(request.path))
        return self._packaging(request, match) if match else (Answer(404), "")

    def _packaging(self, request: Request, match: re.Match[str]) -> tuple[Answer, str]:
        address = (request.host, match["scope"] or "", match["feed"])
        feed = next((feed for feed in self._feeds if feed.stands_at(*address)), None)
        request.step = _step(match["rest"])
        if feed is None:
            return self._nowhere(request, match["scope"] or ""), ""
        return self._guarded(feed, request, match["rest"], match["view"] or ""), feed.next_fault()

    def _nowhere(self, request: Request, scope: str) -> Answer:
        """A feed that does not exist, which Azure DevOps only tells those who may see the organisation."""
        owner = request.host.partition(".")[0] if request.host.endswith(LEGACY) else scope.partition("/")[0].lower()
        known = next((feed for feed in self._feeds if feed.hosted and feed.organisation.lower() == owner), None)
        if known is None or not (request.host == PKGS or request.host.endswith(LEGACY)):
            return Answer(404)
        return Answer(404) if self._admits(known, request) else _refusal(known, request)

    def _guarded(self, feed: Feed, request: Request, rest: str, view: str) -> Answer:
        uploading = request.step == "upload"
        if uploading and feed.public and request.method != "POST":
            return Answer(405)  # for all that is known: nothing says that a sign-in would help
        if (feed.public and not uploading and not feed.withholds(rest)) or self._admits(feed, request):
            return feed.serve(request, rest, view)
        return _refusal(feed, request)

    def _blob(self, request: Request) -> Answer:
        request.step = "blob"
        if request.auth != "none" or urlsplit(request.target).query != SIGNATURE:
            return Answer(400, b"a signature in the URL is all the authorisation that may come here")
        contents = (content for feed in self._feeds for content in feed.files.values())
        digest = request.path.strip("/")
        found = next((content for content in contents if hashlib.sha256(content).hexdigest() == digest), None)
        return Answer(404) if found is None else Answer(200, found, (("Content-Type", "application/octet-stream"),))

    def _admits(self, feed: Feed, request: Request) -> bool:
        bearer = request.headers.get("Authorization", "").partition(" ")[2] if request.auth == "bearer" else ""
        token = bearer or request.basic[1]
        return token in self.identity.access_tokens or self._tokens.get(token) == feed.organisation.lower()

    def _session(self, request: Request) -> Answer:
        request.step = "session:" + request.target.partition("tokenType=")[2].partition("&")[0]
        organisation = request.host.partition(".")[0] if request.host != SPS else request.path.split("/")[1]
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.session_status != 200 or bearer not in self.identity.access_tokens:
            return as_json({"message": "refused"}, self.session_status if self.session_status != 200 else 401)
        asked = json.loads(request.body)
        return as_json({**asked, "token": self.token(organisation)})


def _step(rest: str) -> str:
    kind = rest.split("/")[2] if rest.count("/") > 1 else ""
    return {"simple": "page" if rest.strip("/").count("/") > 1 else "feed", "download": "file"}.get(kind, kind)


def _refusal(feed: Feed, request: Request) -> Answer:
    body, e2eid = b'{"message": "Access denied"}', ("X-VSS-E2EID", identity.TENANT)
    basic = ("WWW-Authenticate", f'Basic realm="https://{request.host}/"')
    if feed.on_premises:
        kinds = (("WWW-Authenticate", kind) for kind in ("Bearer", "Negotiate", "NTLM"))
        return Answer(401, body, (basic, *kinds, e2eid))
    authority = f"https://{identity.HOSTS[0]}/{identity.TENANT}"
    legacy = request.host.endswith(LEGACY)
    owner = feed.organisation
    endpoint = f"https://{owner}{_WILD[1]}/" if legacy else f"https://{SPS}/{owner}/"
    headers = (
        ("Content-Type", "application/json"),
        ("WWW-Authenticate", f"Bearer authorization_uri={authority}"),
        basic,
        ("WWW-Authenticate", "TFS-Federated"),
        ("X-VSS-ResourceTenant", identity.TENANT),
        ("X-VSS-AuthorizationEndpoint", endpoint),
        e2eid,
    )
    return Answer(401, body, headers)


def _server(world: AzureWorld, port: int) -> Server:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(world.ca_file))
    names = (*identity.HOSTS, SPS, BLOBS, *world.hosts, "localhost", *(f"*{wild}" for wild in _WILD))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*dict.fromkeys(names)).configure_cert(tls)
    served = frozenset(names)
    return Server(world.answer, tls, port, lambda host: host in served or host.endswith(_WILD))
