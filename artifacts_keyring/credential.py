"""A user name and a password that are not shown if they are printed by accident."""

from __future__ import annotations

from typing import NamedTuple

# The name that the provider uses if none is given (docs/provider.md#environment); Azure DevOps ignores it.
DEFAULT_USERNAME = "VssSessionToken"


class Credential(NamedTuple):
    """A pair for HTTP Basic; Azure DevOps looks at the password only. Its repr names the user alone."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credential(username={self.username!r}, password='***')"
