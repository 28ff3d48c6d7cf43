"""What the rules about the payload say of it, word by word, at their borders; on made-up facts, so that it is quick."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Optional

import pytest
from credprovider.lockfile import Tree
from credprovider.targets import by_key
from credprovider.verify import payload_rules
from credprovider.verify.binaries import Binary, Issuer, Signature, Slice
from credprovider.verify.dist import BIN, NOT_CONCERNED, Dist, Finding, Member

from artifacts_keyring.provider import layout
from tests.fakes.broken_files import reference

pytestmark = pytest.mark.posix

LAUNCHER = "plugins/netcore/CredentialProvider.Microsoft/CredentialProvider.Microsoft"
PCA = next(digest for digest, (name, _) in payload_rules.ISSUERS.items() if name == "Microsoft Code Signing PCA 2011")
WINDOWS_PCA = next(digest for digest, (_, families) in payload_rules.ISSUERS.items() if families == ("win",))
Check = Callable[[Dist], Finding]


def member(path: str, binary: Optional[Binary] = None, mode: int = 0o100644, flaw: str = "") -> Member:
    """A file of the payload, by the vendor's path, or with a leading slash one beside it; its digest is its path's."""
    full = path[1:] if path.startswith("/") else BIN + layout.placed(path)
    return Member(full, mode, 1, hashlib.sha256(path.encode("utf-8", "replace")).hexdigest(), binary=binary, flaw=flaw)


def dist(key: Optional[str], members: Iterable[Member], tree: Optional[Tree] = None) -> Dist:
    target, held = by_key(key) if key else None, reference()
    if tree is not None and key:
        row = dataclasses.replace(held.pin.targets[key], tree=tree)
        held = dataclasses.replace(held, pin=dataclasses.replace(held.pin, targets={**held.pin.targets, key: row}))
    return Dist(Path("a-1-py3-none-any.whl"), target, tuple(members), held)


def elf(*glibc: str, platform: str = "linux-x64", needed: tuple[str, ...] = ()) -> Binary:
    return Binary("ELF", (Slice(platform),), frozenset(glibc), needed)


def macho(*minos: Optional[tuple[int, int]], signed: bool = True, platform: str = "osx-x64") -> Binary:
    return Binary("Mach-O", tuple(Slice(platform, each, signed) for each in minos))


def pe(platform: str = "any", flaw: str = "", issuers: tuple[Issuer, ...] = ()) -> Binary:
    return Binary("PE", (Slice(platform),), authenticode=Signature(flaw, issuers))


ALL = (
    payload_rules.tree,
    payload_rules.machine,
    payload_rules.glibc,
    payload_rules.libraries,
    payload_rules.minos,
    payload_rules.minos_needed,
    payload_rules.issuers,
)


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: str(rule.__name__))
def test_a_file_without_a_target_is_not_concerned(rule: Check) -> None:
    assert rule(dist(None, [member("a", elf("9.9"), flaw="is broken")])) == NOT_CONCERNED


# --- payload


def test_the_payload_is_the_pinned_one_or_the_pin_is_told() -> None:
    members = [member("b"), member("a"), member("/beside.py")]
    digests = [hashlib.sha256(name).hexdigest() for name in (b"a", b"b")]
    seen = hashlib.sha256(f"{digests[0]}  a\n{digests[1]}  b\n".encode()).hexdigest()
    figures = f"2 files, 2 bytes, tree sha256 {seen}"
    assert payload_rules.tree(dist("linux-x64", members, Tree(seen, 2, 2))) == Finding(figures)
    fault = f"its tree sha256 is {seen}, the pin says {'0' * 64} (3 files, 4 bytes)"
    assert payload_rules.tree(dist("linux-x64", members, Tree("0" * 64, 3, 4))) == Finding(figures, (fault,))


def test_a_name_that_is_no_text_has_a_digest_too() -> None:
    assert payload_rules.tree(dist("linux-x64", [member("a\udcff")])).faults


def test_no_payload_at_all_is_said_as_such() -> None:
    said = "there is no payload below artifacts_keyring/bin; was it built without its hook?"
    assert payload_rules.tree(dist("linux-x64", [member("/beside.py")])).faults == (said,)


EXECUTABLE = member(LAUNCHER, mode=0o100755)


@pytest.mark.parametrize(
    ("members", "faults"),
    [
        ([EXECUTABLE, member("a"), member("/b.py", mode=0o644)], ()),
        ([EXECUTABLE, member(LAUNCHER.replace("Cred", "X/Cred", 1), mode=0o100755)], ()),
        ([EXECUTABLE, member("a", mode=0o120777), member("/b", mode=0o040755)], ()),  # another rule refuses these
        ([EXECUTABLE, member("a", mode=0o100755)], (f"{BIN}legal/a has mode 100755, not 100644",)),
        ([EXECUTABLE, member("/b.py", mode=0o755)], ("b.py has mode 755, not 100644",)),
        ([EXECUTABLE, member("/createdump", mode=0o100755)], ("createdump has mode 100755, not 100644",)),
        ([member(LAUNCHER, mode=0o644)], (f"{BIN}CredentialProvider.Microsoft has mode 644, not 100755",)),
        (
            [member("a")],
            (
                "there is nothing to start: none of CredentialProvider.Microsoft, CredentialProvider.Microsoft.exe, "
                "createdump, createdump.exe",
            ),
        ),
        ([member("/b.py")], ()),
    ],
)
def test_what_is_started_is_executable_and_nothing_else(members: list[Member], faults: tuple[str, ...]) -> None:
    assert payload_rules.modes(dist("linux-x64", members)).faults == faults


def test_a_file_without_a_target_need_not_start() -> None:
    assert payload_rules.modes(dist(None, [member("a")])).faults == ()
    members = [member("createdump", mode=0o100755), EXECUTABLE]
    assert (
        payload_rules.modes(dist("linux-x64", members)).figures
        == "executable: CredentialProvider.Microsoft, createdump"
    )


# --- machine


NATIVE = "plugins/runtimes/osx-arm64/native/a.dylib"


@pytest.mark.parametrize(
    ("key", "members", "figures", "faults"),
    [
        (
            "linux-x64",
            [member("a", elf()), member("b", pe()), member("c")],
            "1 ELF linux-x64, 1 PE any",
            (),
        ),
        (
            "linux-x64",
            [member("b", pe("win-x64")), member("a", elf(platform="linux-arm64"))],
            "1 ELF linux-arm64, 1 PE win-x64",
            (
                "a is for linux-arm64, its place is for any and linux-x64",
                "b is for win-x64, its place is for any and linux-x64",
            ),
        ),
        ("linux-x64", [member("a", flaw="is no ELF file")], "", ("a is no ELF file",)),
        ("osx-x64", [member("a", Binary("Mach-O", (Slice("osx-arm64"), Slice("osx-x64"))))], None, ()),
        ("any", [member("a", pe()), member(NATIVE, macho(None, platform="osx-arm64"))], None, ()),
        ("any", [member(NATIVE, pe())], None, (f"{NATIVE} is for any, its place is for osx-arm64",)),
        ("any", [member("a", elf())], None, ("a is for linux-x64, its place is for any",)),
        ("any", [member(f"{LAUNCHER}.exe", pe("win-x64"))], None, ()),
        ("any", [member(f"{LAUNCHER}.exe", pe())], None, (f"{LAUNCHER}.exe is for any, its place is for win-x64",)),
        ("any", [member("xCredentialProvider.Microsoft.exe", pe())], None, ()),
    ],
)
def test_every_binary_is_for_its_place(
    key: str, members: list[Member], figures: Optional[str], faults: tuple[str, ...]
) -> None:
    found = payload_rules.machine(dist(key, members))
    assert found.faults == faults
    assert figures in (None, found.figures)


# --- floors (the tags say glibc 2.23 and macOS 11.0)


@pytest.mark.parametrize(
    ("binary", "figures", "faults"),
    [
        (elf("2.2.5", "2.17", "2.3"), "highest symbol GLIBC_2.17, tag 2.23", ()),
        (elf("2.2.5"), "highest symbol GLIBC_2.2, tag 2.23", ()),
        (elf("2.17x", "2.3"), "highest symbol GLIBC_2.3, tag 2.23", ("a needs GLIBC_2.17x, the tag promises 2.23",)),
        (elf("2.23"), "highest symbol GLIBC_2.23, tag 2.23", ()),
        (elf("2.9", "2.24"), "highest symbol GLIBC_2.24, tag 2.23", ("a needs GLIBC_2.24, the tag promises 2.23",)),
        (elf("3.0"), "highest symbol GLIBC_3.0, tag 2.23", ("a needs GLIBC_3.0, the tag promises 2.23",)),
        (
            elf("PRIVATE", "2.17"),
            "highest symbol GLIBC_2.17, tag 2.23",
            ("a needs GLIBC_PRIVATE, the tag promises 2.23",),
        ),
        (elf(), "highest symbol GLIBC_0.0, tag 2.23", ("a needs GLIBC_no version at all, the tag promises 2.23",)),
        (pe(), "highest symbol GLIBC_0.0, tag 2.23", ()),
    ],
)
def test_the_floor_of_glibc(binary: Binary, figures: str, faults: tuple[str, ...]) -> None:
    assert payload_rules.glibc(dist("linux-x64", [member("a", binary)])) == Finding(figures, faults)
    assert payload_rules.glibc(dist("osx-x64", [member("a", binary)])) == NOT_CONCERNED


def test_the_highest_symbol_is_that_of_all_files() -> None:
    members = [member("a", elf("2.4")), member("b", elf("2.17")), member("c", elf("2.3"))]
    assert payload_rules.glibc(dist("linux-x64", members)).figures == "highest symbol GLIBC_2.17, tag 2.23"


def test_libraries_come_from_the_system_or_stand_beside() -> None:
    members = [
        member("b", elf(needed=("libc.so.6", "libx.so", "liblost.so"))),
        member("a", elf(needed=("liblost.so", "libz.so.1"))),
        member("lib/libx.so", elf()),
    ]
    wanted = Finding("from the system: libc.so.6, liblost.so, libz.so.1", ("a needs liblost.so", "b needs liblost.so"))
    assert payload_rules.libraries(dist("linux-x64", members)) == wanted
    assert payload_rules.libraries(dist("osx-x64", members)) == NOT_CONCERNED


@pytest.mark.parametrize(
    ("key", "minos", "faults", "needed", "needless"),
    [
        ("osx-x64", (11, 0), (), "11.0 (a decides)", ()),
        ("osx-x64", (11, 1), ("a needs macOS 11.1, the tag promises 11.0",), "11.1 (a decides)", ()),
        ("osx-x64", (12, 0), ("a needs macOS 12.0, the tag promises 11.0",), "12.0 (a decides)", ()),
        ("osx-x64", None, ("a needs macOS of an unknown version, the tag promises 11.0",), None, None),
        (
            "osx-x64",
            (10, 15),
            (),
            "10.15 (a decides)",
            ("the tag promises 11.0, no file needs more than 10.15",),
        ),
        ("osx-arm64", (10, 15), (), "11.0 (the machine decides)", ()),
        ("osx-arm64", (11, 0), (), "11.0 (a decides)", ()),
    ],
)
def test_the_floor_of_macos(
    key: str,
    minos: Optional[tuple[int, int]],
    faults: tuple[str, ...],
    needed: str,
    needless: Optional[tuple[str, ...]],
) -> None:
    made = dist(key, [member("lib/a", macho(minos)) if minos else member("a", macho(None))])
    assert tuple(fault.replace("lib/a", "a") for fault in payload_rules.minos(made).faults) == faults
    found = payload_rules.minos_needed(made)
    assert needed is None or found.figures == f"needed {needed}"
    assert needless in (None, found.faults)
    assert payload_rules.minos(dist("linux-x64", made.members)) == payload_rules.minos_needed(
        dist("linux-x64", made.members)
    )
    assert payload_rules.minos(dist("linux-x64", made.members)) == NOT_CONCERNED


def test_all_slices_of_all_files_are_counted() -> None:
    made = dist("osx-x64", [member("a", macho((11, 0), (10, 15))), member("b", macho((10, 15))), member("c", pe())])
    assert payload_rules.minos(made) == Finding("macOS 2 10.15, 1 11.0; tag 11.0")
    assert payload_rules.minos_needed(made) == Finding("needed 11.0 (a decides)")


# --- signatures


def test_signatures_that_do_not_verify_are_named() -> None:
    members = [member("a", pe()), member("b", pe(flaw="has a broken signature")), member("c", elf()), member("d")]
    unsigned = Binary("PE", (Slice("any"),))
    found = payload_rules.authenticode(dist(None, [*members, member("e", unsigned)]))
    assert found == Finding("1 of 2 PE files verify", ("b has a broken signature",))


def test_authorities_are_known_by_their_certificate_and_expected_by_system() -> None:
    known, windows = Issuer("A", PCA), Issuer("W", WINDOWS_PCA)
    members = [member("a", pe(issuers=(known, windows))), member("b", pe(issuers=(known,))), member("c", elf())]
    members.append(member("d", Binary("PE", (Slice("any"),))))
    figures = "2 A, 1 W"
    assert payload_rules.issuers(dist("win-x86", members)) == Finding(figures)
    fault = f"a is vouched for by W (sha256 {WINDOWS_PCA}), unexpected here"
    for key in ("linux-x64", "osx-arm64", "any"):
        assert payload_rules.issuers(dist(key, members)) == Finding(figures, (fault,))
    stranger = dist("win-x64", [member("a", pe(issuers=(Issuer("Microsoft Code Signing PCA 2011", "f" * 64),)))])
    said = f"a is vouched for by Microsoft Code Signing PCA 2011 (sha256 {'f' * 64}), unexpected here"
    assert payload_rules.issuers(stranger).faults == (said,)


def test_code_signatures_are_wanted_of_each_slice_and_only_of_macho_files() -> None:
    assert payload_rules.code_signatures(dist("any", [member("a", pe())])) == NOT_CONCERNED
    members = [member("a", macho(None, (11, 0))), member("b", macho(None, signed=False))]
    found = payload_rules.code_signatures(dist(None, members))
    assert found == Finding("2 of 3 Mach-O files are signed", ("b has no code signature for osx-x64",))
