"""A user name and a password that do not show up where they are printed by accident."""

from __future__ import annotations

from typing import NamedTuple


class Credential(NamedTuple):
    """A pair for HTTP Basic; Azure DevOps looks at the password only. Its repr names the user alone."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credential(username={self.username!r}, password='***')"
