"""The credential provider: find it, build its command, run it, read its answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Optional

from .credential import Credential


class ProviderError(Exception):
    """The provider cannot run or gave no usable answer: one line for users."""


class Program(NamedTuple):
    """How the provider is started: argv prefix, the file itself, its shape."""

    command: tuple[str, ...]
    path: Path
    shape: str  # "self-contained" or "framework-dependent"


def locate(environ: Mapping[str, str]) -> Program:
    """The provider that ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH names, else the bundled one.

    Raises ProviderError (missing, not executable, no usable dotnet).
    """
    raise NotImplementedError


class Query(NamedTuple):
    """One question to the provider. timeout in seconds."""

    url: str
    retry: bool = False
    interactive: bool = False
    timeout: float = 30.0


class Reply(NamedTuple):
    """credential None: exit code 2, nothing found; reason then says why (may be empty)."""

    credential: Optional[Credential]
    reason: str = ""


def run(program: Program, query: Query, environ: Mapping[str, str]) -> Reply:
    """Ask and wait. Raises ProviderError."""
    raise NotImplementedError
