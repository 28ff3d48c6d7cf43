"""Take a URL apart in the one way that all clients agree on; what they would read differently is none."""

from __future__ import annotations

from typing import NamedTuple, Optional
from urllib.parse import urlsplit  # loaded with keyring

_PORTS = {"https": 443, "http": 80}
_HOST_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
_ADDRESS_LETTERS = frozenset("0123456789abcdef:.")
_LONGEST_HOST = 253


class Address(NamedTuple):
    """A URL taken apart. host is lower-case ASCII; port None is the scheme's own; path as written."""

    scheme: str
    host: str
    port: Optional[int]
    path: str


def split(text: str, beyond_ascii: bool = True) -> Optional[Address]:
    """Take a URL, or a host with or without port, apart; None for what is none. The user part is dropped.

    beyond_ascii: whether a host may have other letters; the codec for them takes milliseconds to load.
    """
    if text.startswith(" ") or any(map(is_control, text)):
        return None
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
    except ValueError:  # brackets, or what Unicode's compatibility forms turn into a delimiter, as the wide slash
        return None
    user, _, place = parts.netloc.rpartition("@")
    if parts.scheme not in _PORTS or _is_ambiguous(parts.netloc, user) or not (beyond_ascii or place.isascii()):
        return None
    host, port = _host_and_port(place.lower())
    if not _is_host(host):
        return None
    return Address(parts.scheme, host, None if port in (0, _PORTS[parts.scheme]) else port, parts.path)


def is_control(sign: str) -> bool:
    """Whether *sign* is an ASCII control character: some clients drop them, others do not."""
    return sign < " " or sign == "\x7f"


def _is_ambiguous(authority: str, user: str) -> bool:
    # Some clients end the authority at a backslash, drop blanks, or refuse brackets in the user part; others do not.
    return not authority.isprintable() or any(sign in authority for sign in "\\ ") or "[" in user or "]" in user


def _host_and_port(text: str) -> tuple[str, int]:
    """Host and port, 0 for none; ("", 0) for what is neither. Not urlsplit's: old Pythons take more for a port."""
    host, colon, digits = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, digits = text, ""
    if len(host) > _LONGEST_HOST or (digits and not _is_port(digits)):
        return "", 0
    return _ascii(host), int(digits or 0)


def _is_port(digits: str) -> bool:
    return len(digits) <= 5 and digits.isascii() and digits.isdecimal() and 0 < int(digits) < 65536


def _ascii(host: str) -> str:
    """*host* as it stands in the name system; "" where clients would not agree on that."""
    if host.isascii():
        return host
    try:
        coded = host.encode("idna")
        return coded.decode("ascii") if coded.decode("idna") == host else ""
    except UnicodeError:
        return ""


def _is_host(host: str) -> bool:
    if host.startswith("[") and host.endswith("]"):
        return ":" in host and _ADDRESS_LETTERS.issuperset(host[1:-1])
    return _HOST_LETTERS.issuperset(host) and all(host.split("."))
