"""What is read out of real binaries, and out of ones that were changed by a few bytes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Callable

import pytest
from credprovider.verify import binaries
from credprovider.verify.binaries import Binary, BinaryError

pytestmark = pytest.mark.posix

Trees = Callable[[str], Path]


@pytest.fixture(scope="module")
def content(payload_tree: Trees) -> Callable[[str, str], bytes]:
    """`content(key, name)`: a file of the provider of a target."""
    return lambda key, name: (payload_tree(key) / name).read_bytes()


def read(data: bytes) -> Binary:
    binary = binaries.read(data)
    assert binary is not None
    return binary


def survey(root: Path) -> list[Binary]:
    found = [binaries.read(path.read_bytes()) for path in sorted(root.rglob("*")) if path.is_file()]
    return [binary for binary in found if binary]


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("linux-x64", {("ELF", "linux-x64"): 14, ("PE", "linux-x64"): 89, ("PE", "any"): 100}),
        ("osx-x64", {("Mach-O", "osx-x64"): 16, ("PE", "osx-x64"): 89, ("PE", "any"): 102}),
        ("win-x64", {("PE", "win-x64"): 104, ("PE", "any"): 103}),
        (
            "any",
            {
                ("ELF", "linux-x64"): 1,
                ("Mach-O", "osx-x64"): 1,
                ("Mach-O", "osx-arm64"): 1,
                ("PE", "win-arm64"): 1,
                ("PE", "win-x64"): 2,
                ("PE", "win-x86"): 1,
                ("PE", "any"): 25,
            },
        ),
    ],
)
def test_a_real_payload(payload_tree: Trees, key: str, wanted: dict[tuple[str, str], int]) -> None:
    found = survey(payload_tree(key))
    assert Counter((binary.form, part.platform) for binary in found for part in binary.slices) == wanted
    assert all((binary.authenticode is not None) == (binary.form == "PE") for binary in found)
    assert not [binary.authenticode for binary in found if binary.authenticode and binary.authenticode.flaw]
    assert all(part.signed == (binary.form == "Mach-O") for binary in found for part in binary.slices)


def test_precompiled_assemblies_name_the_system_they_were_compiled_for(content: Callable[[str, str], bytes]) -> None:
    name = "System.Private.CoreLib.dll"
    seen = {key: read(content(key, name)).platforms for key in ("linux-x64", "osx-x64", "win-x64")}
    assert seen == {key: {key} for key in seen}


def test_what_an_elf_file_needs(content: Callable[[str, str], bytes]) -> None:
    binary = read(content("linux-x64", "libcoreclr.so"))
    assert "2.17" not in binary.glibc
    assert max(binary.glibc, key=lambda version: [int(n) for n in version.split(".")]) == "2.16"
    assert {"libc.so.6", "libstdc++.so.6"} <= set(binary.needed)


def test_macos_floors(content: Callable[[str, str], bytes]) -> None:
    assert read(content("osx-x64", "libcoreclr.dylib")).slices[0].minos == (10, 15)
    assert read(content("osx-x64", "msalruntime.dylib")).slices[0].minos == (11, 0)


def test_the_issuer_is_known_by_its_certificate(content: Callable[[str, str], bytes]) -> None:
    signature = read(content("any", "Newtonsoft.Json.dll")).authenticode
    assert signature is not None
    (issuer,) = signature.issuers
    assert issuer.name == ".NET Foundation Projects Code Signing CA2"
    assert issuer.sha256.startswith("d60d2d02")


def test_a_changed_byte_breaks_the_signature(content: Callable[[str, str], bytes]) -> None:
    data = bytearray(content("linux-x64", "System.Private.CoreLib.dll"))
    data[len(data) // 2] ^= 1
    signature = read(bytes(data)).authenticode
    assert signature is not None
    assert "BAD_DIGEST" in signature.flaw
    assert not signature.issuers


def test_a_file_without_its_signature(content: Callable[[str, str], bytes]) -> None:
    data = bytearray(content("linux-x64", "System.Xml.dll"))
    header = int.from_bytes(data[0x3C:0x40], "little")
    wide = int.from_bytes(data[header + 24 : header + 26], "little") == 0x20B
    # the fifth data directory, which says where the certificates are
    entry = header + 24 + (112 if wide else 96) + 4 * 8
    data[entry : entry + 8] = bytes(8)
    signature = read(bytes(data)).authenticode
    assert signature is not None
    assert signature.flaw == "has no signature"


def test_managed_code_for_32_bit_only_is_not_for_all(content: Callable[[str, str], bytes]) -> None:
    data = bytearray(content("linux-x64", "System.Xml.dll"))
    assert read(bytes(data)).platforms == {"any"}
    # the managed header begins with its own size and the runtime version 2.5; its flags are 16 bytes on
    flags = data.index(bytes.fromhex("48000000 0200 0500")) + 16
    data[flags] |= 0x2
    assert read(bytes(data)).platforms == {"win-x86"}


@pytest.mark.parametrize("data", [b"", b"M", b"text", b'{"json": true}', b"PK\x03\x04"])
def test_other_files_are_none_of_the_three(data: bytes) -> None:
    assert binaries.read(data) is None


@pytest.mark.parametrize("magic", [b"\x7fELF", b"MZ", bytes.fromhex("cffaedfe"), bytes.fromhex("cafebabe")])
def test_a_damaged_file_is_an_error(magic: bytes) -> None:
    with pytest.raises(BinaryError, match="cannot be read as one; take it from its source again"):
        binaries.read(magic + b"\x01\x02\x03")
