"""What ELF, Mach-O and PE files say of themselves: platform, floor, signature.

A platform is written as .NET writes it: ``linux-x64``, ``osx-arm64``, ``win-x86``; ``any`` is
managed code that every platform's runtime can run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import lief

from credprovider.errors import BuildError

ANY = "any"

# lief reports what it cannot parse on stderr (among them, timestamp certificates of signatures that verify).
lief.logging.disable()

_ELF_MAGIC = b"\x7fELF"
_PE_MAGIC = b"MZ"
_MACHO_MAGICS = frozenset(
    bytes.fromhex(magic)
    for magic in ("feedface", "cefaedfe", "feedfacf", "cffaedfe", "cafebabe", "bebafeca", "cafebabf", "bfbafeca")
)

_ELF_MACHINES = {
    lief.ELF.ARCH.X86_64: "x64",
    lief.ELF.ARCH.AARCH64: "arm64",
    lief.ELF.ARCH.I386: "x86",
    lief.ELF.ARCH.ARM: "arm",
}
_MACHO_MACHINES = {
    lief.MachO.Header.CPU_TYPE.X86_64: "x64",
    lief.MachO.Header.CPU_TYPE.ARM64: "arm64",
    lief.MachO.Header.CPU_TYPE.X86: "x86",
}
_PE_MACHINES = {0x014C: "x86", 0x8664: "x64", 0xAA64: "arm64", 0x01C4: "arm"}
# Precompiled ("ReadyToRun") assemblies carry their machine XORed with a number for the system they
# were compiled for, none for Windows: IMAGE_FILE_MACHINE_OS_MASK in dotnet/runtime's pedecoder.h.
_READY_TO_RUN_SYSTEMS = {0x0000: "win", 0x7B79: "linux", 0x4644: "osx"}

# IMAGE_COR20_HEADER, ECMA-335 II.25.3.3: where it keeps what is read here, and what the flags mean.
_CLR_HEADER_SIZE = 72
_CLR_FLAGS = slice(16, 20)
_CLR_NATIVE_HEADER = slice(64, 68)
_CLR_IL_ONLY = 0x1
_CLR_32BIT_REQUIRED = 0x2


class BinaryError(BuildError):
    """A file begins like an ELF, Mach-O or PE file but cannot be read as one."""


class Slice(NamedTuple):
    """One machine's code in a file (a universal Mach-O file has several).

    platform: such as ``osx-arm64``, or ``any``.
    minos: oldest macOS (major, minor) it runs on; None where the file says nothing of it.
    signed: whether it has a code signature (Mach-O only; the signature is not verified).
    """

    platform: str
    minos: tuple[int, int] | None = None
    signed: bool = False


class Issuer(NamedTuple):
    """The certificate authority that vouches for a signer: common name, and sha256 of its certificate."""

    name: str
    sha256: str


class Signature(NamedTuple):
    """An Authenticode signature. flaw: why it does not hold; empty when it verifies."""

    flaw: str
    issuers: tuple[Issuer, ...] = ()


@dataclass(frozen=True)
class Binary:
    """What one file says.

    form: ``ELF``, ``Mach-O`` or ``PE``.
    glibc: versions of the GLIBC symbols it needs, such as ``2.17`` or ``PRIVATE`` (ELF only).
    needed: libraries the loader must find for it (ELF only).
    authenticode: its signature; None for what is no PE file.
    """

    form: str
    slices: tuple[Slice, ...]
    glibc: frozenset[str] = frozenset()
    needed: tuple[str, ...] = ()
    authenticode: Signature | None = None

    @cached_property
    def platforms(self) -> frozenset[str]:
        """The platforms of all slices."""
        return frozenset(part.platform for part in self.slices)


def read(data: bytes) -> Binary | None:
    """Read the content of a file; None if it is none of the three. Raises BinaryError for a damaged one."""
    magic = data[:4]
    if magic == _ELF_MAGIC:
        return _elf(data)
    if magic in _MACHO_MAGICS:
        return _macho(data)
    if magic[:2] == _PE_MAGIC:
        return _pe(data)
    return None


def _damaged(form: str) -> BinaryError:
    return BinaryError(f"begins like a file of format {form} but cannot be read as one; take it from its source again")


# --- ELF


def _elf(data: bytes) -> Binary:
    binary = lief.ELF.parse(data)
    if binary is None:
        raise _damaged("ELF")
    machine = binary.header.machine_type
    name = _ELF_MACHINES.get(machine, str(machine).rpartition(".")[2].lower())
    needed = tuple(str(library) for library in binary.libraries)
    return Binary("ELF", (Slice(f"linux-{name}"),), frozenset(_glibc(binary)), needed)


def _glibc(binary: lief.ELF.Binary) -> Iterator[str]:
    for requirement in binary.symbols_version_requirement:
        for symbol in requirement.get_auxiliary_symbols():
            family, _, version = str(symbol.name).partition("_")
            if family == "GLIBC":
                yield version


# --- Mach-O


def _macho(data: bytes) -> Binary:
    binaries = lief.MachO.parse(data)
    if binaries is None or not len(binaries):
        raise _damaged("Mach-O")
    return Binary("Mach-O", tuple(_slice(one) for one in binaries))


def _slice(binary: lief.MachO.Binary) -> Slice:
    cpu = binary.header.cpu_type
    machine = _MACHO_MACHINES.get(cpu, str(cpu).rpartition(".")[2].lower())
    system, minos = _macho_floor(binary)
    return Slice(f"{system}-{machine}", minos, bool(binary.has_code_signature))


def _macho_floor(binary: lief.MachO.Binary) -> tuple[str, tuple[int, int] | None]:
    if (build := binary.build_version) is not None:
        macos = build.platform == lief.MachO.BuildVersion.PLATFORMS.MACOS
        return "osx" if macos else str(build.platform).rpartition(".")[2].lower(), (build.minos[0], build.minos[1])
    if (version := binary.version_min) is not None:
        return "osx", (version.version[0], version.version[1])
    return "osx", None


# --- PE


def _pe(data: bytes) -> Binary:
    binary = lief.PE.parse(data)
    if binary is None:
        raise _damaged("PE")
    return Binary("PE", (Slice(_pe_platform(binary, data)),), authenticode=_authenticode(binary))


def _pe_platform(binary: lief.PE.Binary, data: bytes) -> str:
    clr = _clr_header(binary)
    # From the bytes: lief warns of machine numbers it does not know, and it knows none of ReadyToRun's.
    header = int.from_bytes(data[0x3C:0x40], "little")
    number = int.from_bytes(data[header + 4 : header + 6], "little")
    if clr is not None and _is_portable(clr, number):
        return ANY
    ready_to_run = clr is not None and _number(clr, _CLR_NATIVE_HEADER) != 0
    for mask, system in _READY_TO_RUN_SYSTEMS.items():
        if number ^ mask in _PE_MACHINES and (mask == 0 or ready_to_run):
            return f"{system}-{_PE_MACHINES[number ^ mask]}"
    return f"win-{number:#06x}"


def _clr_header(binary: lief.PE.Binary) -> bytes | None:
    """The header that managed code has, and native code has not."""
    directory = binary.data_directory(lief.PE.DataDirectory.TYPES.CLR_RUNTIME_HEADER)
    if directory is None or not directory.rva:
        return None
    return bytes(binary.get_content_from_virtual_address(directory.rva, _CLR_HEADER_SIZE))


def _is_portable(clr: bytes, machine: int) -> bool:
    """Whether it is intermediate code alone, compiled for no machine (what Visual Studio calls AnyCPU)."""
    flags = _number(clr, _CLR_FLAGS)
    return _PE_MACHINES.get(machine) == "x86" and bool(flags & _CLR_IL_ONLY) and not flags & _CLR_32BIT_REQUIRED


def _number(header: bytes, place: slice) -> int:
    return int.from_bytes(header[place], "little")


def _authenticode(binary: lief.PE.Binary) -> Signature:
    if not binary.signatures:
        return Signature("has no signature")
    # Certificates that have expired since are no flaw: lief asks whether they were valid when it was signed.
    result = binary.verify_signature()
    if result != lief.PE.Signature.VERIFICATION_FLAGS.OK:
        return Signature(f"does not verify ({str(result).rpartition('.')[2]})")
    issuers = [_issuer(signature, signer) for signature in binary.signatures for signer in signature.signers]
    if None in issuers:
        return Signature("carries no certificate of the authority that vouches for its signer")
    return Signature("", tuple(issuer for issuer in issuers if issuer))


def _issuer(signature: lief.PE.Signature, signer: lief.PE.SignerInfo) -> Issuer | None:
    leaf = signer.cert
    for authority in signature.certificates:
        if leaf is not None and authority.subject == leaf.issuer and _vouches(authority, leaf):
            name = str(leaf.issuer).partition("CN=")[2]
            return Issuer(name, hashlib.sha256(bytes(authority.raw)).hexdigest())
    return None


def _vouches(authority: lief.PE.x509, leaf: lief.PE.x509) -> bool:
    """Whether `authority` signed `leaf`. That either has expired since does not matter here."""
    flags = lief.PE.x509.VERIFICATION_FLAGS
    return authority.verify(leaf) in (flags.OK, flags.BADCERT_EXPIRED)
