"""The look-up: from a service string to a checked credential."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Optional

from .credential import Credential


class LookupFailed(Exception):
    """No credential, and why: one line for users, ending in the next step."""


class Answer(NamedTuple):
    """What a look-up found and where: "foreign", "declared", "memory", "public", "provider", "none"."""

    credential: Optional[Credential]
    source: str


def look_up(
    service: str,
    username: Optional[str],
    environ: Mapping[str, str],
    *,
    interactive: Optional[bool] = None,
) -> Optional[Credential]:
    """The credential for *service* or None. Never raises; prints one line on stderr on failure."""
    raise NotImplementedError


def find(
    service: str,
    environ: Mapping[str, str],
    *,
    interactive: Optional[bool] = None,
    fresh: bool = False,
) -> Answer:
    """As look_up, but raises LookupFailed and says where the answer came from.

    interactive: None decides by console.can_prompt(environ). fresh: pass over declared
    credentials and the memory of this process (what `login` wants).
    """
    raise NotImplementedError
