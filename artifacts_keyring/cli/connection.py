"""The way to a feed, step by step: proxy, name, connection, tunnel, TLS, answer; up to the first that fails.

It is the request of a look-up (probe.py), with its proxy, authorities and bounds, so that both come to the same end.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Optional

import httpx

from ..http.probe import Status, client, proxy_for
from ..http.trust import named_authorities
from . import certificates
from .check import Check

_PROXY_TLS = "TLS to the proxy"
_ENDS = ("connect_tcp", "start_tls", "receive_response_headers")  # events of httpcore that end a step


class _Attempt:
    """One request without a credential: (name, milliseconds) of its steps, and the one at which it failed, if it did.

    certificates: step -> what the peer showed there, as DER and as Python takes it apart.
    """

    def __init__(
        self, target: httpx.URL, environ: Mapping[str, str], seconds: float, context: Optional[ssl.SSLContext] = None
    ) -> None:
        self._proxied = proxy_for(target, environ) is not None
        self._through = self._proxied and target.scheme == "https"
        self._begin = time.monotonic()
        self.now, self.steps = "connection", list[tuple[str, float]]()
        self.certificates: dict[str, tuple[bytes, Mapping[str, Any]]] = {}
        self.status, self.challenges = Status(0), list[str]()
        self.error: Optional[httpx.HTTPError] = None
        extensions = {"trace": self._trace}
        try:
            with client(target, environ, seconds, context) as session:  # noqa: SIM117 (Python 3.9)
                with session.stream("GET", target, extensions=extensions) as answer:
                    self.status = Status(answer.status_code, answer.reason_phrase)
                    self.challenges = answer.headers.get_list("www-authenticate")
        except httpx.HTTPError as error:
            self.error = error

    def _trace(self, event: str, facts: Mapping[str, Any]) -> None:
        what, _, outcome = event.rpartition(".")
        name = self._named(what)
        if outcome == "started" and (name != self.now or not self.steps):
            self.now, self._begin = name, time.monotonic()
        if outcome == "complete" and what.endswith(_ENDS):
            self.steps.append((name, self.elapsed()))
            if what.endswith("start_tls"):
                peer = facts["return_value"].get_extra_info("ssl_object")
                self.certificates[name] = (peer.getpeercert(True) or b"", peer.getpeercert() or {})

    def _named(self, what: str) -> str:
        if what.endswith("connect_tcp"):
            return "connection"
        if what.endswith("start_tls"):
            return _PROXY_TLS if self._proxied and what.startswith("connection.") else "TLS"
        return "tunnel" if self._through and "TLS" not in self.certificates else "answer"

    def elapsed(self) -> float:
        """Milliseconds since the present step began."""
        return (time.monotonic() - self._begin) * 1000


def examine(url: str, environ: Mapping[str, str], seconds: float) -> Iterator[Check]:
    """One check for each step towards *url*, with its time; seconds: the most that one step may take.

    Raises trust.TrustError where the authorities cannot be read.
    """
    target = httpx.URL(url)
    proxy = proxy_for(target, environ)
    by = _proxy_variable(target, proxy, environ)
    shown = _without_user(proxy) if proxy else ""
    if proxy and not proxy.startswith("http"):
        step = f"{by} names a proxy that is not for HTTP ({shown}), and this backend uses no other: name one that is"
        yield Check("proxy", False, f"{shown}, from {by}", step)
        return
    yield Check("proxy", None, f"{shown}, from {by}" if proxy else _unproxied(target, environ))
    first = httpx.URL(proxy) if proxy else target
    name = _resolved(first.host, f"the proxy of {by}" if proxy else "the URL", seconds)
    yield name
    if name.ok:
        yield from _requested(target, f"the proxy of {by}, {first.netloc.decode()}," if proxy else "", environ, seconds)


def _requested(target: httpx.URL, proxy: str, environ: Mapping[str, str], seconds: float) -> Iterator[Check]:
    attempt = _Attempt(target, environ, seconds)
    for name, milliseconds in attempt.steps:
        if name != attempt.now:
            yield Check(name, True, f"{_detail(name, attempt, target, environ, seconds)}{milliseconds:.0f} ms")
    took = f"{attempt.elapsed():.0f} ms"
    if attempt.error is None:
        yield _answer(target, attempt, took)
        return
    cause = _cause(attempt.error)
    if attempt.now.startswith("TLS") and isinstance(cause, ssl.SSLCertVerificationError):
        shown = _shown(attempt.now, target, environ, seconds)
        named = next((f"{name}={path}" for name, path in named_authorities(environ)), "")
        host = proxy if attempt.now == _PROXY_TLS else target.host
        yield Check(attempt.now, False, f"{shown}, {took}", certificates.step(host, cause, shown, named))
        return
    reason = _reason(attempt.error, cause)
    yield Check(attempt.now, False, f"{reason}, {took}", _step(attempt.now, reason, target, proxy))


def _answer(target: httpx.URL, attempt: _Attempt, took: str) -> Check:
    status, kinds = attempt.status, dict.fromkeys(text.partition(" ")[0] for text in attempt.challenges)
    wanted = f", WWW-Authenticate: {', '.join(kinds)}" if kinds else ""
    said = f"{status.code} {status.detail}".rstrip()
    step = ""
    if status.code == 404:
        step = f"{target} does not exist ({said}): correct the organisation, the project or the feed in the URL"
    elif status.broken:
        step = f"{target} answers {said}: try again later"
    return Check("answer", not step, f"{said}{wanted}, {took}", step)


def _detail(name: str, attempt: _Attempt, target: httpx.URL, environ: Mapping[str, str], seconds: float) -> str:
    if not name.startswith("TLS"):
        return ""
    public = name in _Attempt(target, environ, seconds, certificates.public()).certificates
    facts = attempt.certificates[name][1]
    shown = certificates.describe(facts) if facts else _shown(name, target, environ, seconds)
    return f"{shown}, {'' if public else certificates.PRIVATE}"


def _shown(name: str, target: httpx.URL, environ: Mapping[str, str], seconds: float) -> str:
    """The certificate at a TLS step that was not verified."""
    seen = _Attempt(target, environ, seconds, certificates.unverified()).certificates
    known = _Attempt(target, environ, seconds, certificates.only([raw for raw, _ in seen.values()])).certificates
    return certificates.describe(known[name][1]) if name in known else "certificate that cannot be read"


def _step(name: str, reason: str, target: httpx.URL, proxy: str) -> str:
    """What to do where a step failed for another reason than a certificate."""
    if name == "connection" and proxy:
        return f"{proxy} cannot be connected to ({reason}): correct the variable, or ask who runs the proxy"
    if name == "connection":
        what = f"{target.host} cannot be connected to ({reason})"
        return f"{what}: check the port, firewall and VPN, or name your proxy in HTTPS_PROXY"
    if name == "tunnel" and reason.startswith("407"):
        return f"{proxy} wants a user and a password ({reason}): write http://USER:PASSWORD@HOST:PORT there"
    if name == "tunnel":
        return (
            f"{proxy} does not lead to {target.host} ({reason}): check the host in the URL, or ask who runs the proxy"
        )
    if name == "answer":
        return f"{target} gives no answer ({reason}): try again later"
    return f"{proxy if name == _PROXY_TLS else target.host} does not speak TLS ({reason}): check scheme and port"


def _resolved(host: str, source: str, seconds: float) -> Check:
    """Whether the name is known; in a thread, because name resolution knows no deadline."""
    results: queue.SimpleQueue[str] = queue.SimpleQueue()

    def work() -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            results.put(", ".join(dict.fromkeys(str(entry[4][0]) for entry in found)))
        except (OSError, UnicodeError) as error:
            results.put(f"!{getattr(error, 'strerror', None) or error}")

    begin = time.monotonic()
    threading.Thread(target=work, daemon=True).start()
    try:
        said = results.get(timeout=seconds)
    except queue.Empty:
        said = "!no answer in time"
    detail = f"{host}: {said.lstrip('!')}, {(time.monotonic() - begin) * 1000:.0f} ms"
    if not said.startswith("!"):
        return Check("name", True, detail)
    remedy = "correct the variable" if "proxy" in source else "check the URL, DNS and VPN, or set HTTPS_PROXY"
    return Check("name", False, detail, f"the name {host}, from {source}, is not known ({said[1:]}): {remedy}")


def _unproxied(target: httpx.URL, environ: Mapping[str, str]) -> str:
    unbound = {name: text for name, text in environ.items() if name.lower() != "no_proxy"}
    return f"none: NO_PROXY excepts {target.host}" if proxy_for(target, unbound) else "none"


def _proxy_variable(target: httpx.URL, proxy: Optional[str], environ: Mapping[str, str]) -> str:
    spelled = (proxy, (proxy or "").partition("://")[2])
    names = [name for name in environ if name.lower() in (f"{target.scheme}_proxy", "all_proxy")]
    return next((name for name in sorted(names, reverse=True) if environ[name] in spelled), "the system")


def _without_user(proxy: str) -> str:
    scheme, _, rest = proxy.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _cause(error: BaseException) -> BaseException:
    """The system's error behind httpx's."""
    while not isinstance(error, OSError) and (error.__cause__ or error.__context__):
        error = error.__cause__ or error.__context__ or error
    return error


def _reason(error: Exception, cause: BaseException) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(cause, ssl.SSLError) and cause.reason:
        return cause.reason.replace("_", " ").lower()
    return (getattr(cause, "strerror", None) or str(error) or type(error).__name__).strip()
