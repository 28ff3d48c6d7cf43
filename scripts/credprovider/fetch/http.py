"""One GET over HTTP(S): which addresses may be asked, with whose certificates and credentials.

Nothing printed from here may hold a secret: user parts and queries of URLs (signed links) are
taken off before a URL reaches a message or a log, and httpx never sees a user part at all.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from credprovider.errors import DownloadError

if TYPE_CHECKING:
    import httpx

MAX_REDIRECTS = 5
HEALING = frozenset({408, 429, 500, 502, 503, 504})  # asked again, such an answer may be another
_CREDENTIALS_IN_TEXT = re.compile(r"(?<=//)[^/@\s]*@")


class Unavailable(DownloadError):
    """One address could not serve; another source may.

    heals: whether asking again can help. wait: seconds that the server asked for, if it did.
    answered: whether the server was reached at all.
    """

    def __init__(self, reason: str, *, heals: bool = False, wait: float | None = None, answered: bool = False) -> None:
        super().__init__(reason)
        self.heals = heals
        self.wait = wait
        self.answered = answered


@dataclass(frozen=True)
class Access:
    """How servers are reached.

    trusted: ``host`` or ``host:port`` that need no certificate and may speak plain http.
    proxy: replaces the proxy variables of the environment. cert, client_cert: PEM files.
    connect, read: seconds until a silent server counts as gone.
    """

    environ: Mapping[str, str] = field(repr=False)
    trusted: frozenset[str] = frozenset()
    proxy: str | None = field(default=None, repr=False)
    cert: str | None = None
    client_cert: str | None = None
    connect: float = 5.0
    read: float = 30.0


def redact(url: str) -> str:
    """`url` without user part, query and fragment: what may be shown."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{_host_and_port(parts)}{parts.path}" if parts.netloc else scrub(url)
    except ValueError:
        return scrub(url)


def scrub(text: str) -> str:
    """`text` with the user part of every URL in it taken out."""
    return _CREDENTIALS_IN_TEXT.sub("", text)


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _host_and_port(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _is_trusted(parts: SplitResult, trusted: frozenset[str]) -> bool:
    return parts.hostname in trusted or _host_and_port(parts) in trusted


def check_address(url: str, access: Access) -> SplitResult:
    """The parts of `url`. Raises Unavailable when nothing may be fetched from there."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # a port that is no number shows here
    except ValueError:
        raise Unavailable(f"{redact(url)} is not a URL; correct it") from None
    plain = parts.scheme == "http" and (is_loopback(host) or _is_trusted(parts, access.trusted))
    if host and (parts.scheme == "https" or plain):
        return parts
    raise Unavailable(
        f"{redact(url)} is refused: only https is asked (plain http only on this machine, "
        "or of a host that pip's trusted-host names); use an https address"
    )


def _redirected(start: SplitResult, here: str, location: str, access: Access) -> str:
    try:
        target = urljoin(here, location)
    except ValueError:
        raise Unavailable(f"{redact(here)} redirects to something that is not a URL") from None
    parts = check_address(target, access)
    if parts.scheme != "https" and start.scheme != "http":
        raise Unavailable(f"{_host_and_port(start)} redirects from https to {redact(target)}; refused")
    return target


@dataclass(frozen=True)
class _Identity:
    """Who asks: credentials that were written into the first URL, valid for its origin only."""

    scheme: str
    place: str
    user: str
    password: str = field(repr=False)

    @classmethod
    def of(cls, parts: SplitResult) -> _Identity:
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.scheme, _host_and_port(parts), user, password)

    def answers_for(self, parts: SplitResult) -> bool:
        known = bool(self.user or self.password)
        return known and (self.scheme, self.place) == (parts.scheme, _host_and_port(parts))


class Web:
    """Open connections under one Access; a context manager."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._clients: dict[bool, httpx.Client] = {}
        self._netrc: httpx.Auth | None = None

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients.values():
            client.close()

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """The open answer (200) for `url`, after at most MAX_REDIRECTS redirects.

        Raises Unavailable for everything else, also while the body is read.
        """
        start = check_address(url, self.access)
        _need_httpx()
        identity, here = _Identity.of(start), url
        for _ in range(MAX_REDIRECTS + 1):
            with _translated(here), self._open(here, identity, headers) as response:
                location = response.headers.get("location", "")
                if not (response.is_redirect and location):
                    _check_status(response, here)
                    yield response
                    return
            here = _redirected(start, here, location, self.access)
        raise Unavailable(f"{redact(url)} redirects more than {MAX_REDIRECTS} times")

    @contextmanager
    def _open(self, url: str, identity: _Identity, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        parts = check_address(url, self.access)
        bare = parts._replace(netloc=_host_and_port(parts), fragment="").geturl()
        own = _Identity.of(parts)
        client = self._client(_is_trusted(parts, self.access.trusted))
        auth = self._auth(own if own.user or own.password else identity, parts)
        with client.stream("GET", bare, headers=dict(headers), auth=auth) as response:
            yield response

    def _auth(self, identity: _Identity, parts: SplitResult) -> httpx.Auth:
        import httpx

        if identity.answers_for(parts):
            return httpx.BasicAuth(identity.user, identity.password)
        if self._netrc is None:
            self._netrc = _netrc(self.access.environ)
        return self._netrc

    def _client(self, unverified: bool) -> httpx.Client:
        if unverified not in self._clients:
            self._clients[unverified] = _client(self.access, unverified)
        return self._clients[unverified]


def _need_httpx() -> None:
    # Only here: what the cache or a folder serves must work without it.
    if importlib.util.find_spec("httpx") is None:
        raise Unavailable("httpx is not installed in this environment; install it for downloads")


def _client(access: Access, unverified: bool) -> httpx.Client:
    import httpx

    # A proxy that httpx cannot use (socks without its package, a malformed URL) is found here.
    try:
        return httpx.Client(
            verify=_tls(access, unverified),
            proxy=access.proxy,
            timeout=httpx.Timeout(access.read, connect=access.connect),
            headers={"User-Agent": "artifacts-keyring-build", "Accept-Encoding": "identity"},
        )
    except (ImportError, ValueError, httpx.InvalidURL) as error:
        raise Unavailable(f"the proxy cannot be used: {scrub(str(error))}; check HTTPS_PROXY") from None


def _tls(access: Access, unverified: bool) -> ssl.SSLContext:
    from artifacts_keyring.http.trust import TrustError, ssl_context

    try:
        named = {"PIP_CERT": access.cert} if access.cert else {}
        context = ssl_context({**access.environ, **named})
        if unverified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if access.client_cert:
            context.load_cert_chain(access.client_cert)
    except TrustError as error:
        raise Unavailable(str(error)) from None
    except (OSError, ssl.SSLError):
        raise Unavailable(f"client certificate {access.client_cert} cannot be read; check pip's client-cert") from None
    return context


def _netrc(environ: Mapping[str, str]) -> httpx.Auth:
    import netrc

    import httpx

    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or ".")
    named = environ.get("NETRC")
    for path in [Path(named)] if named else [home / ".netrc", home / "_netrc"]:
        try:
            return httpx.NetRCAuth(str(path))
        except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
            continue  # like pip and curl: a netrc that cannot be read is no netrc
    return httpx.Auth()


@contextmanager
def _translated(url: str) -> Iterator[None]:
    import httpx

    try:
        yield
    except httpx.InvalidURL:
        raise Unavailable(f"{redact(url)} is not a URL; correct it") from None
    except httpx.HTTPError as error:
        raise _explain(error, redact(url)) from None


def _explain(error: httpx.HTTPError, where: str) -> Unavailable:
    import httpx

    causes = list(_causes(error))
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return Unavailable(f"the name in {where} (or of the proxy) cannot be resolved")
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return Unavailable(
            f"{where}: its certificate is not trusted here ({scrub(str(error))}); "
            "name your authorities in SSL_CERT_FILE"
        )
    said = scrub(str(error)) or type(error).__name__
    gone = isinstance(error, (httpx.TimeoutException, httpx.NetworkError, httpx.RemoteProtocolError))
    unmet = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))
    return Unavailable(f"{where}: {said}", heals=gone, answered=not unmet)


def _causes(error: BaseException) -> Iterator[BaseException]:
    step: BaseException | None = error
    while step is not None:
        yield step
        step = step.__cause__ or step.__context__


def _check_status(response: httpx.Response, url: str) -> None:
    status = response.status_code
    if status == 200:
        return
    advice = {401: "; name credentials in its URL or in netrc", 407: "; name credentials in the proxy's URL"}
    raise Unavailable(
        f"{redact(url)} answered HTTP {status}{advice.get(status, '')}",
        heals=status in HEALING,
        wait=retry_after(response.headers.get("retry-after", ""), time.time()),
        answered=True,
    )


def retry_after(value: str, now: float) -> float | None:
    """Seconds from `now` (Unix time) that a Retry-After header asks for (RFC 9110, 10.2.3)."""
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError, IndexError):
        return None
