"""The connection to a feed, step by step: proxy, name, connection, tunnel, TLS, answer; up to the first that fails.

It sends the request of a look-up (artifacts_keyring/http/probe.py), with its proxy, authorities and bounds, so that
both fail or succeed alike.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

import httpx

from ..http.probe import Status, client, proxy_for
from ..http.trust import named_authorities
from ..provider.provider import without_user
from .check import Check

# What follows an issuer that browsers do not know.
_PRIVATE = "no public authority: a proxy that opens TLS, or a server of your own; "
# OpenSSL's X509_V_FLAG_PARTIAL_CHAIN and …_NO_CHECK_TIME, which have no name in Python 3.9, and its error codes
# for dates (not yet, no longer valid) and for names (host, IP address).
_PARTIAL_CHAIN, _NO_CHECK_TIME = 0x80000, 0x200000
_DATES, _NAMES = (9, 10), (62, 64)
_PROXY_TLS = "TLS to the proxy"
_ENDS = ("connect_tcp", "start_tls", "receive_response_headers")  # events of httpcore that end a step


# Step -> the certificate that the peer showed there, as DER and as Python reads it.
_Certificates = Mapping[str, tuple[bytes, Mapping[str, Any]]]


class _Attempt:
    """One request without a credential: (name, milliseconds) of each step, and the present one, where it may fail."""

    def __init__(
        self, target: httpx.URL, environ: Mapping[str, str], seconds: float, context: Optional[ssl.SSLContext] = None
    ) -> None:
        self.target, self.environ, self._seconds = target, environ, seconds
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

    def again(self, context: ssl.SSLContext) -> _Certificates:
        """The certificates that the same request gets to see with other trust."""
        return _Attempt(self.target, self.environ, self._seconds, context).certificates

    def elapsed(self) -> float:
        """Milliseconds since the present step began."""
        return (time.monotonic() - self._begin) * 1000


def examine(url: str, environ: Mapping[str, str], seconds: float) -> Iterator[Check]:
    """One check for each step towards *url*, with its time; seconds: the most that one step may take.

    Raises trust.TrustError if the authorities cannot be read.
    """
    target = httpx.URL(url)
    proxy = proxy_for(target, environ)
    by = _proxy_variable(target, proxy, environ)
    shown = without_user(proxy) if proxy else ""
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
            yield Check(name, True, f"{_detail(name, attempt)}{milliseconds:.0f} ms")
    took = f"{attempt.elapsed():.0f} ms"
    yield _answer(attempt, took) if attempt.error is None else _failure(attempt, attempt.error, proxy, took)


def _failure(attempt: _Attempt, error: httpx.HTTPError, proxy: str, took: str) -> Check:
    name, cause = attempt.now, _cause(error)
    host = proxy if name == _PROXY_TLS else attempt.target.host
    if name.startswith("TLS") and isinstance(cause, ssl.SSLCertVerificationError):
        shown = _shown(name, attempt)
        named = next((f"{variable}={path}" for variable, path in named_authorities(attempt.environ)), "")
        return Check(name, False, f"{shown}, {took}", _certificate_step(host, cause, shown, named))
    reason = _reason(error, cause)
    return Check(name, False, f"{reason}, {took}", _step(name, reason, attempt.target, proxy))


def _answer(attempt: _Attempt, took: str) -> Check:
    target = attempt.target
    status, kinds = attempt.status, dict.fromkeys(text.partition(" ")[0] for text in attempt.challenges)
    wanted = f", WWW-Authenticate: {', '.join(kinds)}" if kinds else ""
    said = f"{status.code} {status.detail}".rstrip()
    step = ""
    if status.code == 404:
        step = f"{target} does not exist ({said}): correct the organisation, the project or the feed in the URL"
    elif status.broken:
        step = f"{target} answers {said}: try again later"
    return Check("answer", not step, f"{said}{wanted}, {took}", step)


def _detail(name: str, attempt: _Attempt) -> str:
    if not name.startswith("TLS"):
        return ""
    facts = attempt.certificates[name][1]
    shown = _described(facts) if facts else _shown(name, attempt)
    return f"{shown}, {'' if name in attempt.again(_public()) else _PRIVATE}"


def _shown(name: str, attempt: _Attempt) -> str:
    """The certificate at a TLS step that was not verified."""
    seen = attempt.again(_unverified())
    known = attempt.again(_only([raw for raw, _ in seen.values()]))
    return _described(known[name][1]) if name in known else "certificate that cannot be read"


def _step(name: str, reason: str, target: httpx.URL, proxy: str) -> str:
    """What to do if a step failed, and not because of a certificate."""
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
    """Whether the name is known; in a thread, because name resolution has no deadline."""
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


# --- certificates


def _unverified() -> ssl.SSLContext:
    """A context that accepts any certificate: only to read it, and never to send a credential."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _only(trusted: Sequence[bytes]) -> ssl.SSLContext:
    """A context for these certificates (DER) alone, with any dates and names: only verified ones does Python read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if trusted:
        context.load_verify_locations(cadata=b"".join(trusted))
    context.verify_flags |= ssl.VerifyFlags(_PARTIAL_CHAIN | _NO_CHECK_TIME)
    return context


def _public() -> ssl.SSLContext:
    """A context that trusts the authorities that browsers know, and no others."""
    import certifi  # comes with httpx

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=certifi.where())
    return context


def _described(facts: Mapping[str, Any]) -> str:
    """Subject, issuer and end of a certificate as Python takes it apart."""
    subject = _named(facts, "subject", "commonName") or ", ".join(name for _, name in facts["subjectAltName"][:3])
    issuer = dict.fromkeys(_named(facts, "issuer", kind) for kind in ("organizationName", "commonName"))
    shown = f"certificate of {subject}, issued by {', '.join(filter(None, issuer)) or 'no name'}"
    return f"{shown}, valid until {facts.get('notAfter')}"


def _named(facts: Mapping[str, Any], side: str, kind: str) -> str:
    return next((str(text) for group in facts.get(side, ()) for name, text in group if name == kind), "")


def _certificate_step(host: str, error: ssl.SSLCertVerificationError, shown: str, named: str) -> str:
    """What to do about a certificate that failed; named: a variable that names authorities, and its file."""
    code, reason = getattr(error, "verify_code", 0), getattr(error, "verify_message", "") or str(error)
    what = f"TLS: {host} shows a {shown}"
    if code in _DATES:
        return f"{what} ({reason}): have it renewed, or set the clock of this computer"
    if code in _NAMES:
        return f"{what}, for another name ({reason}): check the host in the URL, or ask who runs the proxy"
    place = f"add it to {named}" if named else "name it in SSL_CERT_FILE"
    return f"{what}, which is not trusted ({reason}): if that authority is your company's, {place} as PEM"
