"""What a server's certificate says of itself, and why it was not trusted."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Any

# Said behind an issuer that browsers would not know.
PRIVATE = "no public authority: a proxy that opens TLS, or a server of your own; "
# OpenSSL's X509_V_FLAG_PARTIAL_CHAIN and …_NO_CHECK_TIME, which have no name in Python 3.9, and its error codes
# for dates (not yet, no longer valid) and for names (host, IP address).
_PARTIAL_CHAIN, _NO_CHECK_TIME = 0x80000, 0x200000
_DATES, _NAMES = (9, 10), (62, 64)


def unverified() -> ssl.SSLContext:
    """A context that takes any certificate: to look at it, never to send a credential."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def only(trusted: Sequence[bytes]) -> ssl.SSLContext:
    """A context for these certificates (DER) alone, whatever their dates and names: Python then takes them apart."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if trusted:
        context.load_verify_locations(cadata=b"".join(trusted))
    context.verify_flags |= ssl.VerifyFlags(_PARTIAL_CHAIN | _NO_CHECK_TIME)
    return context


def public() -> ssl.SSLContext:
    """A context that trusts the authorities that browsers know, and no other."""
    import certifi  # comes with httpx

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=certifi.where())
    return context


def describe(facts: Mapping[str, Any]) -> str:
    """Subject, issuer and end of a certificate as Python takes it apart."""
    subject = _named(facts, "subject", "commonName") or ", ".join(name for _, name in facts["subjectAltName"][:3])
    issuer = dict.fromkeys(_named(facts, "issuer", kind) for kind in ("organizationName", "commonName"))
    shown = f"certificate of {subject}, issued by {', '.join(filter(None, issuer)) or 'no name'}"
    return f"{shown}, valid until {facts.get('notAfter')}"


def _named(facts: Mapping[str, Any], side: str, kind: str) -> str:
    return next((str(text) for group in facts.get(side, ()) for name, text in group if name == kind), "")


def step(host: str, error: ssl.SSLCertVerificationError, shown: str, named: str) -> str:
    """What to do about a certificate that did not pass; named: a variable and its file that name authorities."""
    code, reason = getattr(error, "verify_code", 0), getattr(error, "verify_message", "") or str(error)
    what = f"TLS: {host} shows a {shown}"
    if code in _DATES:
        return f"{what} ({reason}): have it renewed, or set the clock of this computer"
    if code in _NAMES:
        return f"{what}, for another name ({reason}): check the host in the URL, or ask who runs the proxy"
    place = f"add it to {named}" if named else "name it in SSL_CERT_FILE"
    return f"{what}, which is not trusted ({reason}): if that authority is your company's, {place} as PEM"
