"""What makes a good wheel or sdist break one rule, and the question which rules a file breaks."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Callable

import lief
from credprovider.verify import dist, report
from credprovider.verify.dist import Reference

from tests.conftest import ROOT
from tests.fakes import rewritten_files
from tests.fakes.rewritten_files import Case

Change = Callable[[Case, Path], Case]


@functools.cache
def reference() -> Reference:
    """What this tree's files are held against."""
    return dist.reference(ROOT)


def case_of(path: Path) -> Case:
    """A good file, and what it is to be held against."""
    return Case(path, reference())


def broken(case: Case) -> list[str]:
    """The rules that a file breaks."""
    return [outcome.rule.name for outcome in report.check(case.path, case.reference).broken]


def refused(path: Path, change: Change, folder: Path) -> list[str]:
    """The rules that a changed copy of the file at `path` breaks. The copy is large, and does not stay."""
    case = change(case_of(path), folder)
    try:
        return broken(case)
    finally:
        case.path.unlink()


# --- other bytes


def swapped(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new)

    return change


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def extended(data: bytes) -> bytes:
    return data + b" "


def at(offset: int, new: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:offset] + new + data[offset + len(new) :]


def macho(data: bytes) -> lief.MachO.Binary:
    parsed = lief.MachO.parse(data)
    assert parsed is not None
    binary = parsed.at(0)
    assert binary is not None
    return binary


def floor(major: int, minor: int) -> Callable[[bytes], bytes]:
    """Give a Mach-O file another oldest macOS."""

    def change(data: bytes) -> bytes:
        command = macho(data).build_version
        assert command is not None
        return at(command.command_offset + 12, bytes([0, minor, major, 0]))(data)

    return change


def unsigned(data: bytes) -> bytes:
    """Make another load command of the one that says where the code signature is."""
    command = macho(data).code_signature
    assert command is not None
    return at(command.command_offset, (0x2B).to_bytes(4, "little"))(data)


def bare_metadata(data: bytes) -> bytes:
    return data.partition(b"\n\n")[0] + b"\n"


# Not written out, or the sdist with this file in it would be refused.
TOKEN = b"A" * 76 + b"AZ" + b"DO" + b"1234"
WEB_TOKEN = b"ey" + b"J" * 20 + b".ey" + b"J" * 20 + b"." + b"s" * 43
KEY = b"-----BEGIN " + b"PRIVATE KEY-----\n" + b"M" * 64


# --- other wheels


def replaced(name: str, change: Callable[[bytes], bytes]) -> Change:
    """The wheel with one member changed, and RECORD saying so."""
    return lambda case, into: Case(
        rewritten_files.rewrite(case.path, into, {name: change(rewritten_files.read(case.path, name))}), case.reference
    )


def padded(case: Case, into: Path) -> Case:
    """Larger than the index takes: a hole before the archive, which costs no room on the disk."""
    path = into / case.path.name
    with path.open("wb") as file:
        file.seek(case.reference.limit)
        file.write(case.path.read_bytes())
    return Case(path, case.reference)
