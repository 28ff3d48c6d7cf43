"""The log file that ARTIFACTS_KEYRING_LOG_PATH names. Nothing secret gets into it."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .variables import LOG_PATH

HIDDEN = "***"


# What is never shown, each as a pattern and what stands in its place.
_RULES = (
    (r"(?<=://)[^/\s@]+@", f"{HIDDEN}@"),
    (
        # An ellipsis is what hints have in the place of one.
        r"""(?i)(["']?(?:password|token|secret)["']?\s*[:=]\s*)(["'])(?!\u2026\2)(?:\\.|(?!\2).)*\2""",
        rf"\1\2{HIDDEN}\2",
    ),
    (r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/_=.-]{8,}", rf"\1 {HIDDEN}"),
    (r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)*", HIDDEN),
)
# Words of an answer that is none; the names of its fields are no secret.
_WORDS = r"""[^\s\\"'{}()<>\[\],;:=]{4,}"""
_FIELDS = {"Username", "Password"}
_SHORTEST = 4  # letters of what may be a secret
_MOST_OBJECTS = 64
_FAR = 1 << 30  # bytes
_TRIES, _PAUSE = 500, 0.005  # for the log's lock; then a line that may be lost is better than a client that waits


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """*text* without the given secrets and without what looks like one."""
    for spelled in sorted({one for secret in secrets if secret for one in _spellings(secret)}, key=len, reverse=True):
        text = text.replace(spelled, HIDDEN)
    for pattern, shown in _RULES:
        text = re.sub(pattern, shown, text)
    return text


def prepare() -> None:
    """Compile and load what `without_answer` needs, so that it is quick later."""
    without_answer("", b"{}")


def _spellings(secret: str) -> Iterator[str]:
    """*secret* as it stands, in JSON, in a URL, and in base64."""
    import base64
    import json
    from urllib.parse import quote

    raw = secret.encode("utf-8", "surrogatepass")
    yield secret
    yield from (json.dumps(secret, ensure_ascii=only)[1:-1] for only in (True, False))
    yield from (quote(raw, safe=kept) for kept in ("", "/"))
    yield base64.b64encode(raw).decode().rstrip("=")


def without_answer(stderr: str, stdout: bytes) -> str:
    """A provider's *stderr*, redacted, and without what it wrote on stdout.

    That is the password of a usable answer. Of anything else (a provider of one's own may print what it likes) it is
    every word that is long enough to be a secret.
    """
    text = stdout.decode("utf-8-sig", "replace")
    values = list(_objects(text))
    if len(values) == 1 and isinstance(values[0].get("Password"), str):
        password = values[0]["Password"]
        # Both streams need not be in one encoding: what is ASCII in it stays as it is.
        return redact(stderr, [password, *(() if password.isascii() else re.findall(_WORDS, password))])
    said = " ".join((text, *(one for value in values for one in _texts(value))))
    words = {one for word in re.findall(_WORDS, said) for one in _spellings(word)} - _FIELDS
    whole = text.strip()
    secrets = [*_texts(values), whole if len(whole) >= _SHORTEST else ""]
    return re.sub(_WORDS, lambda match: HIDDEN if match[0] in words else match[0], redact(stderr, secrets))


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in *text*, with any text between them."""
    import json

    position = 0
    for _ in range(_MOST_OBJECTS):
        position = text.find("{", position)
        if position < 0:
            return
        try:
            value, position = json.JSONDecoder(strict=False).raw_decode(text, position)
        except (ValueError, RecursionError):
            position += 1
        else:
            yield value


def _texts(value: object) -> Iterator[str]:
    """Every string in a JSON value, but the names of fields."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def write(environ: Mapping[str, str], text: str, secrets: Iterable[str] = ()) -> None:
    """Append *text*, redacted and with time and process, to the log if one is wanted. Never raises."""
    path = environ.get(LOG_PATH)
    if not path:
        return
    from datetime import datetime, timezone

    stamp = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.%fZ} [{os.getpid()}] "
    lines = "".join(f"{stamp}{line}\n" for line in redact(text, secrets).splitlines())
    with contextlib.suppress(OSError, ValueError):
        _append(path, lines.encode(errors="replace"))


def _append(path: str, data: bytes) -> None:
    """Append *data* in one piece, even if other processes append at the same moment. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        _alone(descriptor)
        os.write(descriptor, data)
    finally:
        os.close(descriptor)  # gives up the lock, too


if sys.platform == "win32":
    import msvcrt
    import time

    def _alone(descriptor: int) -> None:
        # O_APPEND is a seek and a write there, and between the two another process writes. The byte that is locked
        # lies far behind the end, where it does not block readers.
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        for _ in range(_TRIES):
            with contextlib.suppress(OSError):
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
                return
            time.sleep(_PAUSE)
else:

    def _alone(_descriptor: int) -> None:
        """Do nothing: O_APPEND makes it one write."""
