"""The place from which code for this package's predecessor imports CredentialProvider."""

from __future__ import annotations

import os
from typing import Optional


class CredentialProvider:
    """What the predecessor of this package offered; kept for those who call it."""

    def get_credentials(self, url: str) -> tuple[Optional[str], Optional[str]]:
        """(user name, password) for a feed's URL, through the provider; (None, None) where there is none.

        Says on stderr what failed; never raises.
        """
        from .lookup import look_up

        found = look_up(url, None, os.environ, declared_too=False)
        return (found.username, found.password) if found else (None, None)
