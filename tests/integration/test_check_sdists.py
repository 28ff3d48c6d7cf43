"""For each rule about sdists there is an sdist that this rule, and no other, refuses."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Callable

import pytest
from credprovider import hook
from credprovider.verify import payload_rules, sdist_rules
from credprovider.verify.dist import BIN

from tests.fakes import rewritten_files
from tests.fakes.broken_files import (
    TOKEN,
    Change,
    at,
    bare_metadata,
    broken,
    case_of,
    extended,
    flipped,
    refused,
    swapped,
    unsigned,
)
from tests.fakes.rewritten_files import Case

pytestmark = pytest.mark.posix


def source(name: str, change: Callable[[bytes], bytes]) -> Change:
    """The sdist with one member changed."""
    return lambda case, into: Case(
        rewritten_files.retar(case.path, into, {name: change(rewritten_files.read_sdist(case.path, name))}),
        case.reference,
    )


def gone(name: str) -> Change:
    return lambda case, into: Case(rewritten_files.retar(case.path, into, {name: None}), case.reference)


def extra(name: str, data: bytes = b"x\n") -> Change:
    return lambda case, into: Case(rewritten_files.retar(case.path, into, {name: data}), case.reference)


def told(change: Callable[[tarfile.TarInfo], None]) -> Change:
    """The sdist with other facts about its members."""
    return lambda case, into: Case(rewritten_files.retar(case.path, into, {}, change=change), case.reference)


def owned(info: tarfile.TarInfo) -> None:
    info.uid, info.uname = 1000, "somebody"


def executable(info: tarfile.TarInfo) -> None:
    info.mode = 0o755


def linked(info: tarfile.TarInfo) -> None:
    if info.name.endswith("/CONTRIBUTING.md"):
        info.type, info.linkname, info.size = tarfile.SYMTYPE, "README.md", 0


def repinned(name: str, change: Callable[[bytes], bytes]) -> Change:
    """The sdist with one binary changed, as if that had been pinned."""
    return lambda case, into: rewritten_files.repin_sdist(
        case, into, {BIN + name: change(rewritten_files.read_sdist(case.path, BIN + name))}
    )


def hollow(case: Case, into: Path) -> Case:
    """Larger than the index takes: zeros after the compressed data, which every reader skips."""
    path = into / case.path.name
    path.write_bytes(case.path.read_bytes())
    with path.open("r+b") as file:
        file.truncate(case.reference.limit + 1)
    return Case(path, case.reference)


MAC = "runtimes/osx-x64/native/msalruntime.dylib"

SDISTS: list[tuple[str, str, Change]] = [
    ("entries", "an owner", told(owned)),
    ("entries", "a link", told(linked)),
    ("names", "another version", source("PKG-INFO", swapped(b"\nVersion: ", b"\nVersion: 9"))),
    ("contents", "CI", extra(".github/workflows/release.yml")),
    ("contents", "a cache", extra("tests/__pycache__/conftest.cpython-311.pyc")),
    ("contents", "another payload", extra("tests/payload.zip")),
    ("contents", "no hook", gone("hatch_build.py")),
    ("contents", "no library behind the hook", gone("scripts/credprovider/hook.py")),
    ("payload", "another file", source(f"{BIN}CredentialProvider.Microsoft.xml", extended)),
    ("payload", "none", gone(f"{BIN}CredentialProvider.Microsoft.xml")),
    ("pin", "another provider", source("credprovider.lock.toml", swapped(b'2.0.0rc5"', b'2.0.0rc6"'))),
    ("pin", "none that can be read", source("credprovider.lock.toml", lambda data: data + b"[")),
    ("modes", "all executable", told(executable)),
    ("machine", "another", repinned(MAC, at(4, b"\x0c\0\0\x01"))),
    ("authenticode", "a changed bit", repinned("NuGet.Protocol.dll", flipped)),
    ("code-signatures", "none", repinned(MAC, unsigned)),
    ("licences", "the vendor's", source(f"{hook.LICENSES}/LICENSE", extended)),
    ("secrets", "a token", source("CHANGELOG.md", lambda data: data + TOKEN)),
    ("size", "too large", hollow),
    ("description", "none", source("PKG-INFO", bare_metadata)),
    ("requirements", "an end", source("PKG-INFO", swapped(b"Python: >=3.9", b"Python: <3.13"))),
    ("paths", "a deep module", extra(f"tests/{'x' * 80}.py")),
]


@pytest.mark.parametrize(("rule", "what", "change"), SDISTS, ids=[f"{s[0]}-{s[1]}" for s in SDISTS])
def test_this_rule_and_no_other_refuses_the_sdist(
    sdist: Path, tmp_path: Path, rule: str, what: str, change: Change
) -> None:
    assert refused(sdist, change, tmp_path) == [rule]


def test_an_unknown_authority_is_refused(sdist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = {digest: row for digest, row in payload_rules.ISSUERS.items() if "Foundation" not in row[0]}
    monkeypatch.setattr(payload_rules, "ISSUERS", known)
    assert broken(case_of(sdist)) == ["issuers"]


def test_every_rule_for_sdists_has_an_sdist_that_breaks_it_alone() -> None:
    assert {case[0] for case in SDISTS} | {"issuers"} == {rule.name for rule in sdist_rules.RULES}
