"""The environment variables that the runtime reads, and how."""

from __future__ import annotations

import math
import os
import sys
from collections import UserDict
from collections.abc import Mapping
from typing import Optional

# How users are told to run one of ours. `uv tool install` leaves a receipt in an environment that no `python` on PATH
# belongs to (https://docs.astral.sh/uv/concepts/tools/).
_OF_UV = os.path.isfile(os.path.join(sys.prefix, "uv-receipt.toml"))  # noqa: PTH113, PTH118 (runs at every start of keyring)
COMMAND = "artifacts-keyring" if _OF_UV else "python -m artifacts_keyring"

HOSTS = "ARTIFACTS_KEYRING_HOSTS"
INSECURE_HOSTS = "ARTIFACTS_KEYRING_INSECURE_HOSTS"
NONINTERACTIVE_MODE = "ARTIFACTS_KEYRING_NONINTERACTIVE_MODE"
TIMEOUT = "ARTIFACTS_KEYRING_TIMEOUT"
LOG_PATH = "ARTIFACTS_KEYRING_LOG_PATH"
VERBOSITY = "ARTIFACTS_KEYRING_VERBOSITY"
CREDENTIALPROVIDER_PATH = "ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH"
TOKEN_COMMAND = "ARTIFACTS_KEYRING_TOKEN_COMMAND"  # noqa: S105 (a name)

# The provider's own variables that matter here too, each with its names: the first that is not blank counts
# (docs/provider.md#environment). EXTERNAL_ENDPOINTS and IDENTITIES are JSON, PREFIXES and HOSTS_OF_PROVIDER are lists.
EXTERNAL_ENDPOINTS = ("ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS", "VSS_NUGET_EXTERNAL_FEED_ENDPOINTS")
IDENTITIES = ("ARTIFACTS_CREDENTIALPROVIDER_FEED_ENDPOINTS",)
PREFIXES = ("ARTIFACTS_CREDENTIALPROVIDER_URI_PREFIXES", "VSS_NUGET_URI_PREFIXES")
ACCESS_TOKEN = ("ARTIFACTS_CREDENTIALPROVIDER_ACCESSTOKEN", "VSS_NUGET_ACCESSTOKEN")
HOSTS_OF_PROVIDER = ("ARTIFACTS_CREDENTIALPROVIDER_VSTS_HOSTS", "NUGET_CREDENTIALPROVIDER_HOSTS")
DEVICE_FLOW = (
    "ARTIFACTS_CREDENTIALPROVIDER_DEVICEFLOWTIMEOUTSECONDS",
    "NUGET_CREDENTIALPROVIDER_VSTS_DEVICEFLOWTIMEOUTSECONDS",
)
BROKER = ("ARTIFACTS_CREDENTIALPROVIDER_MSAL_ALLOW_BROKER", "NUGET_CREDENTIALPROVIDER_MSAL_ALLOW_BROKER")
SHOW_DIALOG = (
    "ARTIFACTS_CREDENTIALPROVIDER_FORCE_CANSHOWDIALOG_TO",
    "NUGET_CREDENTIALPROVIDER_FORCE_CANSHOWDIALOG_TO",
)
SESSION_MINUTES = (
    "ARTIFACTS_CREDENTIALPROVIDER_VSTS_SESSIONTIMEMINUTES",
    "NUGET_CREDENTIALPROVIDER_VSTS_SESSIONTIMEMINUTES",
)
TOKEN_TYPE = ("ARTIFACTS_CREDENTIALPROVIDER_VSTS_TOKENTYPE", "NUGET_CREDENTIALPROVIDER_VSTS_TOKENTYPE")
# What the provider keeps, and where: switches, and the file of sign-ins.
SESSION_CACHE = (
    "ARTIFACTS_CREDENTIALPROVIDER_SESSIONTOKENCACHE_ENABLED",
    "NUGET_CREDENTIALPROVIDER_SESSIONTOKENCACHE_ENABLED",
)
SIGN_IN_CACHE = (
    "ARTIFACTS_CREDENTIALPROVIDER_MSAL_FILECACHE_ENABLED",
    "NUGET_CREDENTIALPROVIDER_MSAL_FILECACHE_ENABLED",
)
SIGN_IN_FILE = (
    "ARTIFACTS_CREDENTIALPROVIDER_MSAL_FILECACHE_LOCATION",
    "NUGET_CREDENTIALPROVIDER_MSAL_FILECACHE_LOCATION",
)
ENTRA_TOKENS = ("ARTIFACTS_CREDENTIALPROVIDER_RETURN_ENTRA_TOKENS",)
# A job of Azure Pipelines: its own token, which it has to be given, and the address of its organisation, which it has.
PIPELINE = ("SYSTEM_ACCESSTOKEN", "SYSTEM_COLLECTIONURI")
# Where one of these is set, credentials are declared, and the provider never starts an interactive login.
DECLARING = (*EXTERNAL_ENDPOINTS, *IDENTITIES, *PREFIXES)


class Environment(UserDict[str, str]):
    """A copy of an environment that can be changed; it ignores the case of names if the system does.

    Windows' os.environ is, but gives its names in upper case alone: in a dict made of it, ProgramFiles is not found.
    """

    def __init__(self, environ: Mapping[str, str], platform: str = sys.platform) -> None:
        self._key = str.upper if platform == "win32" else str
        super().__init__(environ)

    def __getitem__(self, name: str) -> str:
        """The value of *name*. Raises KeyError."""
        return super().__getitem__(self._key(name))

    def __setitem__(self, name: str, value: str) -> None:
        """Set *name*, however it was spelt before."""
        super().__setitem__(self._key(name), value)

    def __contains__(self, name: object) -> bool:
        """Whether *name* is set."""
        return isinstance(name, str) and super().__contains__(self._key(name))


_ON = ("true", "1", "yes", "on")
_OFF = ("false", "0", "no", "off")


def flag(environ: Mapping[str, str], name: str) -> Optional[bool]:
    """What *name* says: true/1/yes/on, false/0/no/off in any case; None when it is unset or says neither."""
    value = environ.get(name, "").strip().lower()
    return True if value in _ON else False if value in _OFF else None


def words(environ: Mapping[str, str], name: str) -> list[str]:
    """The entries of a list variable, separated by semicolons, commas or white space."""
    return environ.get(name, "").replace(";", " ").replace(",", " ").split()


def in_force(environ: Mapping[str, str], names: tuple[str, ...]) -> Optional[str]:
    """Which of several names for one variable counts: the first that is not blank."""
    return next((name for name in names if environ.get(name, "").strip()), None)


def unsigned(environ: Mapping[str, str]) -> Optional[str]:
    """The variable, if any, that keeps the provider from sign-in and caches (docs/provider.md#environment)."""
    return in_force(environ, (*DECLARING, *ACCESS_TOKEN))


def declares(environ: Mapping[str, str]) -> bool:
    """Whether any variable is set that may declare a credential; if not, declared.py is not loaded."""
    return unsigned(environ) is not None or in_force(environ, PIPELINE) is not None


def value(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    """What the name in force says; "" for none."""
    name = in_force(environ, names)
    return environ[name] if name is not None else ""


def seconds(environ: Mapping[str, str], names: tuple[str, ...], default: float) -> float:
    """The seconds that the name in force says; *default* if that is no number above zero."""
    try:
        number = float(value(environ, names))
    except ValueError:
        return default
    return number if 0 < number < math.inf else default


def device_flow(environ: Mapping[str, str]) -> float:
    """Seconds for which the provider waits for each of its ways to sign in."""
    return seconds(environ, DEVICE_FLOW, 90.0)


def switched(environ: Mapping[str, str], names: tuple[str, ...]) -> Optional[bool]:
    """What the provider makes of a switch: true, false in any case, nothing else (docs/provider.md#environment)."""
    return {"true": True, "false": False}.get(value(environ, names).strip().lower())
