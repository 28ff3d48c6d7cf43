"""Which platform is being built for: one table, one row per target, and the way to a row.

Platform tags and their floors are measured facts; `scripts/check.py` reads them out of the
binaries again. See "Assets by RID" in the provider's documentation for the RIDs.
"""

from __future__ import annotations

import platform
import re
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from credprovider.errors import TargetError

RID_VARIABLE = "ARTIFACTS_CREDENTIAL_PROVIDER_RID"
NON_SC_VARIABLE = "ARTIFACTS_CREDENTIAL_PROVIDER_NON_SC"
CIBUILDWHEEL_VARIABLE = "CIBUILDWHEEL_BUILD_IDENTIFIER"

NON_SC = "any"
_SHOWN = 80
# An interpreter for both architectures installs what fits the one it runs as, and so does pip.
_UNIVERSAL = re.compile(r"(?<=-)universal2\Z")
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("", "0", "false", "no", "off")


class Keyed(Protocol):
    """A row of the target table, or of the pin."""

    @property
    def key(self) -> str: ...


@dataclass(frozen=True)
class Target:
    """One row of the table.

    key: name of the row; the RID, or ``any`` for the framework-dependent ("non-SC") shape.
    tag: platform tag of its wheel.
    platforms: pattern for what `sysconfig.get_platform()` says where this row is native.
    identifiers: pattern for the platform part of a cibuildwheel build identifier.
    requires: what a person needs there, for the README.
    """

    key: str
    tag: str
    platforms: str
    identifiers: str
    requires: str

    @property
    def self_contained(self) -> bool:
        """Whether the payload brings its own .NET runtime."""
        return self.key != NON_SC

    @property
    def wheel_tag(self) -> str:
        """The whole compatibility tag, such as ``py3-none-win32``."""
        return f"py3-none-{self.tag}"


_MACOS = r"macosx-\d+(\.\d+)?-"
_GLIBC = "glibc 2.23 or newer, libstdc++, OpenSSL"
# CoreCLR runs on Windows 10 / Server 2016 and newer only.
_WINDOWS = "Windows 10, Windows Server 2016 or newer"

TARGETS: tuple[Target, ...] = (
    Target("linux-x64", "manylinux_2_23_x86_64", "linux-x86_64", "manylinux_x86_64", _GLIBC),
    Target("linux-arm64", "manylinux_2_23_aarch64", "linux-aarch64", "manylinux_aarch64", _GLIBC),
    Target("osx-x64", "macosx_11_0_x86_64", _MACOS + "x86_64", "macosx_x86_64", "macOS 11"),
    Target("osx-arm64", "macosx_11_0_arm64", _MACOS + "arm64", "macosx_arm64", "macOS 11"),
    Target("win-x64", "win_amd64", "win-amd64", "win_amd64", _WINDOWS),
    Target("win-x86", "win32", "win32", "win32", _WINDOWS),
    Target("win-arm64", "win_arm64", "win-arm64", "win_arm64", _WINDOWS),
    Target(NON_SC, "any", "(?!)", "(?!)", ".NET runtime 8 or newer"),
)

KEYS = tuple(target.key for target in TARGETS)
RIDS = tuple(target.key for target in TARGETS if target.self_contained)


class Resolved(NamedTuple):
    """A target and, in a few words, why it is this one."""

    target: Target
    reason: str


def by_key(key: str) -> Target:
    """The row called `key`; TargetError lists the known ones if there is none."""
    for target in TARGETS:
        if target.key == key:
            return target
    raise TargetError(f"no target is called {key!r}; known: {', '.join(KEYS)}; name one of these")


class Host(NamedTuple):
    """What is known of an interpreter.

    platform: what `sysconfig.get_platform()` says. libc: ``glibc`` or ``musl``, on Linux.
    machine: what its process runs as, on macOS. bits: size of its pointers.
    """

    platform: str
    libc: str = "glibc"
    machine: str = ""
    bits: int = 64


def this_host() -> Host:
    """The interpreter that runs this."""
    bits = 64 if sys.maxsize > 2**32 else 32
    return Host(sysconfig.get_platform(), _libc(), platform.mac_ver()[2], bits)


def resolve(environ: Mapping[str, str], host: Host | None = None) -> Resolved:
    """Tell which target is being built.

    environ: the build's environment variables.
    host: the interpreter that builds; the running one when None.
    Raises TargetError for an unknown RID, a contradiction or a value that means nothing.
    """
    rid = environ.get(RID_VARIABLE, "").strip()
    non_sc = _flag(environ, NON_SC_VARIABLE)
    if rid and non_sc:
        raise TargetError(
            f"{RID_VARIABLE}={_shown(rid)} and {NON_SC_VARIABLE}={environ[NON_SC_VARIABLE].strip()} contradict "
            "each other (one asks for a self-contained payload, one for none); unset one of them"
        )
    if rid:
        return Resolved(_by_rid(rid), f"{RID_VARIABLE}={rid}")
    if non_sc:
        return Resolved(by_key(NON_SC), f"{NON_SC_VARIABLE}={environ[NON_SC_VARIABLE].strip()}")
    identifier = environ.get(CIBUILDWHEEL_VARIABLE, "").strip()
    return _by_identifier(identifier) if identifier else _by_host(host or this_host())


def _by_rid(rid: str) -> Target:
    if rid in RIDS:
        return by_key(rid)
    raise TargetError(f"{RID_VARIABLE}={_shown(rid)} is no known RID; known: {', '.join(RIDS)}; set one of these")


def _by_identifier(identifier: str) -> Resolved:
    python, _, seen = identifier.partition("-")
    if not python or not seen:
        raise TargetError(
            f"{CIBUILDWHEEL_VARIABLE}={_shown(identifier)} is no build identifier; valid are such as "
            f"cp313-manylinux_x86_64; unset it or set {RID_VARIABLE}"
        )
    return _native("identifiers", seen, CIBUILDWHEEL_VARIABLE)


def _by_host(host: Host) -> Resolved:
    if host.platform.startswith("linux") and host.libc == "musl":
        return _portable(host.platform, "musl libc")
    if host.platform.startswith("linux") and host.bits == 32:
        # A 32-bit Python under a 64-bit kernel says linux-x86_64 or linux-aarch64 all the same.
        return _portable(host.platform, "a 32-bit interpreter")
    return _native("platforms", _UNIVERSAL.sub(host.machine, host.platform), "this interpreter")


def _native(column: str, seen: str, origin: str) -> Resolved:
    for target in TARGETS:
        if re.fullmatch(getattr(target, column), seen):
            return Resolved(target, f"{origin} is {seen}")
    return _portable(seen, origin)


def _portable(seen: str, why: str) -> Resolved:
    reason = (
        f"no self-contained provider exists for {_shown(seen)} ({why}), so the framework-dependent one "
        "is taken; it needs a .NET runtime 8 or newer where it runs"
    )
    return Resolved(by_key(NON_SC), reason)


def _flag(environ: Mapping[str, str], name: str) -> bool:
    value = environ.get(name, "").strip().lower()
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise TargetError(
        f"{name}={_shown(value)} is neither true nor false; "
        f"valid: {', '.join((*_TRUE, *filter(None, _FALSE)))}; set one of these or unset it"
    )


def _shown(value: str) -> str:
    """`value` fit for a message of one line."""
    text = value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"
    return text if text.isprintable() else ascii(text)


def _libc() -> str:
    # The build triplet is what the interpreter was compiled for, hence what it runs on:
    # Alpine's says x86_64-linux-musl. platform.libc_ver() guesses from strings instead.
    triplet = str(sysconfig.get_config_var("HOST_GNU_TYPE") or sysconfig.get_config_var("MULTIARCH") or "")
    return "musl" if "musl" in triplet else "glibc"
