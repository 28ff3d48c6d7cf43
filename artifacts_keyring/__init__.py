"""A keyring backend for Azure Artifacts feeds. Importing it costs nothing; its names load when used."""

from __future__ import annotations

TYPE_CHECKING = False  # typing is not worth importing here
if TYPE_CHECKING:
    from .backend import ArtifactsKeyringBackend
    from .plugin import CredentialProvider

__all__ = ["ArtifactsKeyringBackend", "CredentialProvider", "__version__"]
__version__ = "3.0.0"

_HOMES = {"ArtifactsKeyringBackend": "backend", "CredentialProvider": "plugin"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
