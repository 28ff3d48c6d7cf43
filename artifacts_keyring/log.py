"""The log file that ARTIFACTS_KEYRING_LOG_PATH names. Nothing secret gets into it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import NamedTuple

from .variables import LOG_PATH

HIDDEN = "***"


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    shown: str


_RULES = (
    _Rule(re.compile(r"(?<=://)[^/\s@]+@"), f"{HIDDEN}@"),
    _Rule(
        re.compile(r"""(?i)(["']?(?:password|token|secret)["']?\s*[:=]\s*)(["'])(?:\\.|(?!\2).)*\2"""),
        rf"\1\2{HIDDEN}\2",
    ),
    _Rule(re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/_=.-]{8,}"), rf"\1 {HIDDEN}"),
    _Rule(re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)*"), HIDDEN),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """*text* without the given secrets and without what looks like one."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    for rule in _RULES:
        text = rule.pattern.sub(rule.shown, text)
    return text


def write(environ: Mapping[str, str], text: str, secrets: Iterable[str] = ()) -> None:
    """Append *text*, redacted and with time and process, to the log if one is wanted. Never raises."""
    path = environ.get(LOG_PATH)
    if not path:
        return
    stamp = f"{datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S.%fZ} [{os.getpid()}] "
    lines = "".join(f"{stamp}{line}\n" for line in redact(text, secrets).splitlines())
    with contextlib.suppress(OSError, ValueError):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, lines.encode(errors="replace"))
        finally:
            os.close(descriptor)
