"""Does this feed need a credential, and does this credential work? Bounded in time and bytes, one connection."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Optional
from urllib.request import getproxies, proxy_bypass

import httpx

from .. import __version__
from ..credential import Credential
from ..system.waiting import until
from .trust import TrustError, ssl_context

# Enough of an error page to let the connection be used again; of an index nothing is read on purpose.
BODY_LIMIT = 4 * 1024
# Keeps the kernel from receiving much of an index that is not read.
_RECEIVE_BUFFER = 8 * 1024
# seconds for which the connection is kept between two requests; httpx's own 5 end while a busy provider starts
_IDLE = 60.0
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 2
_HEADERS = {
    "Accept": "application/vnd.pypi.simple.v1+json, text/html;q=0.5",
    "Accept-Encoding": "identity",
    "User-Agent": f"artifacts-keyring/{__version__}",
    # Azure DevOps then answers 401, and leads to no sign-in page (docs/sign-in.md#what-azure-devops-answers).
    "X-TFS-FedAuthRedirect": "Suppress",
}


class Status(NamedTuple):
    """A server's answer: HTTP status code, or 0 and the reason why there is none."""

    code: int
    detail: str = ""

    @property
    def admitted(self) -> bool:
        """The server served the page. (203 is how Azure DevOps serves a sign-in page instead.)"""
        return 200 <= self.code < 300 and self.code != 203

    @property
    def refused(self) -> bool:
        """The server wants a credential, or another one."""
        return self.code in (401, 403, 203)

    @property
    def unreachable(self) -> bool:
        """There was no answer at all."""
        return self.code == 0

    @property
    def broken(self) -> bool:
        """The server is overloaded or has failed."""
        return self.code == 429 or self.code >= 500


class Probe:
    """Requests to one URL, on one connection. Never raises over what a server does."""

    def __init__(self, url: str, environ: Mapping[str, str], timeout: float) -> None:
        """timeout: the most seconds that one request may take as a whole."""
        self._url = httpx.URL(url)
        self._environ = environ
        self._timeout = timeout
        self._client: Optional[httpx.Client] = None
        self._known: Optional[tuple[Credential, Status]] = None

    def anonymous(self, within: float) -> Status:
        """The outcome of a request without a credential, at the latest after *within* seconds."""
        return self._bounded(None, within)

    def check(self, credential: Credential, within: float) -> Status:
        """The outcome of a request with *credential*: sent over https only, to the feed's own host only.

        An answer is remembered: asked again about the same credential, there is no second request.
        """
        if self._url.scheme != "https":
            return Status(0, "a credential is not sent over http")
        if self._known is not None and self._known[0] == credential:
            return self._known[1]
        status = self._bounded(credential, within)
        if not status.unreachable:
            self._known = credential, status
        return status

    def close(self) -> None:
        """Close the connection; a request under way is given up."""
        if self._client is not None:
            self._client.close()

    def _bounded(self, credential: Optional[Credential], within: float) -> Status:
        # A thread, because name resolution and a server that trickles know no deadline; a daemon, because
        # the interpreter must not wait for it at its end.
        answers: list[Status] = []
        thread = threading.Thread(target=lambda: answers.append(self._outcome(credential)), daemon=True)
        thread.start()
        within = min(within, self._timeout)
        until(time.monotonic() + within, lambda seconds: not _runs(thread, seconds))
        return answers[0] if answers else Status(0, f"no answer within {within:.3g} s")

    def _outcome(self, credential: Optional[Credential]) -> Status:
        try:
            return self._follow(credential)
        except (
            httpx.HTTPError,
            httpx.InvalidURL,
            httpx.StreamError,
            TrustError,
            OSError,
            ImportError,
            ValueError,
            RuntimeError,
        ) as error:
            return Status(0, str(error) or type(error).__name__)

    def _follow(self, credential: Optional[Credential]) -> Status:
        if self._client is None:
            self._client = client(self._url, self._environ, self._timeout)
        url = self._url
        for _ in range(_MOST_REDIRECTS + 1):
            status, location = _get(self._client, url, credential)
            if location is None or _origin(location) != _origin(self._url):
                break
            url = location
        return status


def _runs(thread: threading.Thread, seconds: float) -> bool:
    thread.join(seconds)
    return thread.is_alive()


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    """Keep httpx's line about each request of this thread out of the client's output (pip prints it on stdout)."""
    thread, logger = threading.get_ident(), logging.getLogger("httpx")

    def theirs(record: logging.LogRecord) -> bool:
        return record.thread != thread

    logger.addFilter(theirs)
    try:
        yield
    finally:
        logger.removeFilter(theirs)


def _get(client: httpx.Client, url: httpx.URL, credential: Optional[Credential]) -> tuple[Status, Optional[httpx.URL]]:
    auth = httpx.BasicAuth(*credential) if credential else None
    with _unheard(), client.stream("GET", url, auth=auth) as response:
        if not response.is_success:
            _drain(response)
        location = response.headers.get("location") if response.status_code in _REDIRECTS else None
        return Status(response.status_code, response.reason_phrase), url.join(location) if location else None


def _drain(response: httpx.Response) -> None:
    """Read a short body to its end; leave a long one alone."""
    if int(response.headers.get("content-length", "0")) > BODY_LIMIT:
        return
    taken = 0
    for piece in response.iter_raw(1024):
        taken += len(piece)
        if taken >= BODY_LIMIT:
            return


def _origin(url: httpx.URL) -> tuple[str, str, Optional[int]]:
    return url.scheme, url.host.lower(), url.port


def client(
    url: httpx.URL, environ: Mapping[str, str], timeout: float, context: Optional[ssl.SSLContext] = None
) -> httpx.Client:
    """What every request to *url* goes through; context: of `doctor`, to look at certificates. Raises TrustError."""
    context = context or ssl_context(environ)
    transport = httpx.HTTPTransport(
        verify=context,
        proxy=_proxy(url, environ, context),
        limits=httpx.Limits(keepalive_expiry=_IDLE),
        socket_options=[
            (socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER),
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        ],
    )
    return httpx.Client(transport=transport, timeout=timeout, headers=_HEADERS, follow_redirects=False, trust_env=False)


def _proxy(url: httpx.URL, environ: Mapping[str, str], context: ssl.SSLContext) -> Optional[httpx.Proxy]:
    place = proxy_for(url, environ)
    if not place:
        return None
    # A proxy that is itself spoken to over TLS is trusted as the feed is; httpx wants no context for any other.
    return httpx.Proxy(place, ssl_context=context if httpx.URL(place).scheme == "https" else None)


def proxy_for(url: httpx.URL, environ: Mapping[str, str]) -> Optional[str]:
    """The proxy that *environ*, else the system names for *url*, or None."""
    # Sorted, so that of two spellings the lower-case one wins, as everywhere else.
    named = {key.lower().partition("_")[0]: environ[key] for key in sorted(environ) if key.lower().endswith("_proxy")}
    proxies = named or getproxies()
    bypassed = _listed(url, named.get("no", "")) if named else proxy_bypass(url.host)
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or bypassed:
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _listed(url: httpx.URL, no_proxy: str) -> bool:
    """Whether NO_PROXY names the host of *url*: as it is or a domain above it, with or without port."""
    names = (f".{url.host}", f".{url.host}:{url.port}")
    entries = [entry.strip().lstrip("*").lstrip(".").lower() for entry in no_proxy.split(",") if entry.strip()]
    return any(not entry or name.endswith(f".{entry}") for entry in entries for name in names)
