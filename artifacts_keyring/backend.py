"""keyring's face: what pip, uv, twine, poetry, pdm and hatch call. Imports nothing beyond keyring."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Optional

from keyring.backend import KeyringBackend
from keyring.credentials import Credential, SimpleCredential

if TYPE_CHECKING:
    from .credential import Credential as Pair


class ArtifactsKeyringBackend(KeyringBackend):
    """Answers for Azure Artifacts feeds, and for nothing else."""

    # Above the platform's own stores (at most 5), below keyring's chainer (10).
    priority = 9.9
    # What the predecessor of this package called the ends of its hosts; feeds.py decides.
    SUPPORTED_NETLOC = (
        "pkgs.dev.azure.com",
        "pkgs.visualstudio.com",
        "pkgs.codedev.ms",
        "pkgs.codeapp.ms",
        "pkgs.vsts.me",
    )

    def __init__(self) -> None:
        """Set nothing up; keyring's own has no annotations, which strict type checkers hold against callers."""
        super().__init__()  # type: ignore[no-untyped-call]

    def get_password(self, service: str, username: Optional[str]) -> Optional[str]:
        """The password for *service*, whatever the user's name; None if there is none. Never raises."""
        found = _found(service, username)
        return found.password if found else None

    def get_credential(self, service: str, username: Optional[str]) -> Optional[Credential]:
        """User name and password for *service*: the name asked for, else the one found. Never raises."""
        found = _found(service, username)
        return SimpleCredential(*found) if found else None

    def set_password(self, service: str, username: str, password: str) -> None:
        """Not offered: NotImplementedError is what makes keyring's chainer ask the next backend."""
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        """Not offered: NotImplementedError is what makes keyring's chainer ask the next backend."""
        raise NotImplementedError


def _found(service: str, username: Optional[str]) -> Optional[Pair]:
    from .lookup import look_up  # keyring's start-up is paid for by everyone

    return look_up(service, username, os.environ)
