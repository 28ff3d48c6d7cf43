"""The rules about the payload and its binaries, which wheels and sdists share.

Each is one function from an opened file to a finding; the tables that name them are in wheels.py
and sdists.py.
"""

from __future__ import annotations

import re
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import cache_from_source
from pathlib import PurePosixPath

from credprovider.payload.tree import EXECUTABLES, tree_of
from credprovider.targets import Target
from credprovider.verify import binaries
from credprovider.verify.dist import NOT_CONCERNED, Dist, Finding, Member, finding

# Windows gives a path 259 characters; some site-packages take 154 of them (tests/integration/test_layout.py).
LONGEST_PATH = 100

# What PEP 600 lets a manylinux wheel expect of a system, as far as .NET uses it.
_SYSTEM_LIBRARIES = frozenset(
    {
        "ld-linux-aarch64.so.1",
        "ld-linux-x86-64.so.2",
        "libc.so.6",
        "libdl.so.2",
        "libgcc_s.so.1",
        "libm.so.6",
        "libpthread.so.0",
        "librt.so.1",
        "libstdc++.so.6",
        "libz.so.1",
    }
)

# sha256 of the certificates of the authorities that vouch for the vendor's signers, and the first
# part of the targets where they were met in provider 2.0.5. A name alone could be anybody's.
ISSUERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "3dadfaf812dd1bbaef45834ccbd188f3cd97139e2ed1aca69c2dd63082142f8f": (
        "Microsoft Code Signing PCA 2024",
        ("linux", "osx", "win", "any"),
    ),
    "56da8722afd94066ffe1e4595473a4854892b843a0827d53fb7d8f4aeed1e18b": (
        "Microsoft Code Signing PCA 2011",
        ("linux", "osx", "win", "any"),
    ),
    "9cbf22fae0dd53a7395556ce6154aa14a0d03360aa8c51cfea05d1fd8819e043": (
        "Microsoft Code Signing PCA",
        ("linux", "osx", "win", "any"),
    ),
    # .NET's own debugging helpers, which Windows loads into crash dumps.
    "fe229efc927f6d77b738896752a21803a59736baa17bf5be9a50c72e219cbcd2": (
        "Microsoft Windows Code Signing PCA 2024",
        ("win",),
    ),
    # Newtonsoft.Json as its own project publishes it.
    "d60d2d02f83920e89c0063aeca7c4630642c80eb824ffe43d9a11c250e5f51b9": (
        ".NET Foundation Projects Code Signing CA2",
        ("any",),
    ),
}


# --- paths


def paths(dist: Dist) -> Finding:
    """No path, nor one of what an installer compiles, is too long for Windows below a deep site-packages."""
    longest = max(_installed(dist), key=len, default="")
    faults = [f"{path} has {len(path)} characters" for path in _installed(dist) if len(path) > LONGEST_PATH]
    return finding(f"the longest has {len(longest)} characters, {LONGEST_PATH} may be", faults)


def _installed(dist: Dist) -> Iterator[str]:
    for member in dist.members:
        yield member.path
        if member.path.endswith(".py"):
            yield cache_from_source(member.path, optimization=2)


# --- payload


def tree(dist: Dist) -> Finding:
    """The payload is the pinned one, file by file."""
    pinned = dist.tree
    if pinned is None:
        return NOT_CONCERNED
    seen = tree_of((path, member.sha256, member.size) for path, member in dist.payload.items())
    figures = f"{seen.files} files, {seen.bytes} bytes, tree sha256 {seen.sha256}"
    if not dist.payload:
        return finding(figures, ["there is no payload below artifacts_keyring/bin; was it built without its hook?"])
    says = f"the pin says {pinned.sha256} ({pinned.files} files, {pinned.bytes} bytes)"
    return finding(figures, [f"its tree sha256 is {seen.sha256}, {says}"] if seen.sha256 != pinned.sha256 else [])


def modes(dist: Dist) -> Finding:
    """What the provider starts is executable for everybody, and nothing else is."""
    runnable = [path for path in dist.payload if PurePosixPath(path).name in EXECUTABLES]
    allowed = {dist.payload[path].path for path in runnable}
    faults = [fault for member in dist.members if (fault := _mode_fault(member, member.path in allowed))]
    if not runnable and dist.target and dist.payload:
        faults.append(f"there is nothing to start: none of {', '.join(sorted(EXECUTABLES))}")
    return finding(f"executable: {', '.join(sorted(PurePosixPath(path).name for path in runnable))}", faults)


def _mode_fault(member: Member, runnable: bool) -> str:
    # Installers set the bits only where the file says that it is a regular one; hatchling does not
    # say it of what it writes itself.
    if stat.S_IFMT(member.mode) not in (0, stat.S_IFREG):
        return ""  # the rule about entries refuses it
    valid = (0o100755,) if runnable else (0o100644, 0o644)
    return "" if member.mode in valid else f"{member.path} has mode {member.mode:o}, not {valid[0]:o}"


# --- binaries


def machine(dist: Dist) -> Finding:
    """Every binary is for the target's platform, or managed code for all of them.

    The framework-dependent payload serves every platform: what lies below ``runtimes/RID/native``
    is for that RID, everything else for all. Its one launcher, which nothing starts, is for win-x64.
    """
    if dist.target is None:
        return NOT_CONCERNED
    faults = [f"{path} {member.flaw}" for path, member in dist.payload.items() if member.flaw]
    seen: Counter[str] = Counter()
    for path, binary in _binaries(dist):
        wanted = _platforms(dist.target, path)
        seen.update(f"{binary.form} {platform}" for platform in binary.platforms)
        if not binary.platforms & wanted:
            faults.append(f"{path} is for {_list(binary.platforms)}, its place is for {_list(wanted)}")
    return finding(_counts(seen), faults)


def _platforms(target: Target, path: str) -> frozenset[str]:
    if target.self_contained:
        return frozenset({target.key, binaries.ANY})
    native = re.search(r"/runtimes/([^/]+)/native/", path)
    if native:
        return frozenset({native[1]})
    return frozenset({"win-x64"}) if path.endswith("/CredentialProvider.Microsoft.exe") else frozenset({binaries.ANY})


def _binaries(dist: Dist, form: str = "") -> Iterator[tuple[str, binaries.Binary]]:
    for path, member in sorted(dist.payload.items()):
        if member.binary and form in ("", member.binary.form):
            yield path, member.binary


def glibc(dist: Dist) -> Finding:
    """No ELF file needs a newer glibc than the tag promises, nor another libc."""
    floor = _tag_version(dist, r"manylinux_(\d+)_(\d+)_")
    if floor is None:
        return NOT_CONCERNED
    faults, highest = [], (0, 0)
    for path, binary in _binaries(dist, "ELF"):
        numbers = {version: tuple(int(n) for n in version.split(".")[:2]) for version in _numeric(binary.glibc)}
        strange = sorted(set(binary.glibc) - set(numbers))
        needed = max(numbers.values(), default=(0, 0))
        highest = max(highest, (needed[0], needed[-1]))
        if strange or not numbers or needed > floor:
            names = strange or sorted(numbers, key=numbers.__getitem__)[-1:] or ["no version at all"]
            faults.append(f"{path} needs GLIBC_{names[-1]}, the tag promises {floor[0]}.{floor[1]}")
    return finding(f"highest symbol GLIBC_{highest[0]}.{highest[1]}, tag {floor[0]}.{floor[1]}", faults)


def _numeric(versions: Iterable[str]) -> Iterator[str]:
    return (version for version in versions if re.fullmatch(r"\d+(\.\d+)+", version))


def libraries(dist: Dist) -> Finding:
    """What ELF files are linked with is on every system that the tag admits, or beside them."""
    if _tag_version(dist, r"manylinux_(\d+)_(\d+)_") is None:
        return NOT_CONCERNED
    beside = {PurePosixPath(path).name for path in dist.payload}
    needed = {(name, path) for path, binary in _binaries(dist, "ELF") for name in binary.needed}
    outside = sorted({name for name, _ in needed} - beside)
    faults = [f"{path} needs {name}" for name, path in sorted(needed) if name not in beside | _SYSTEM_LIBRARIES]
    return finding(f"from the system: {', '.join(outside)}", faults)


def minos(dist: Dist) -> Finding:
    """No slice of a Mach-O file needs a newer macOS than the tag promises."""
    floor = _tag_version(dist, r"macosx_(\d+)_(\d+)_")
    if floor is None:
        return NOT_CONCERNED
    slices = [(path, part.minos) for path, binary in _binaries(dist, "Mach-O") for part in binary.slices]
    faults = [
        f"{path} needs macOS {_dotted(needed)}, the tag promises {_dotted(floor)}"
        for path, needed in slices
        if needed is None or needed > floor
    ]
    seen = Counter(_dotted(needed) for _, needed in slices)
    return finding(f"macOS {_counts(seen)}; tag {_dotted(floor)}", faults)


def minos_needed(dist: Dist) -> Finding:
    """The tag asks for no newer macOS than some file needs."""
    floor = _tag_version(dist, r"macosx_(\d+)_(\d+)_")
    if floor is None:
        return NOT_CONCERNED
    known = [(part.minos, path) for path, binary in _binaries(dist, "Mach-O") for part in binary.slices if part.minos]
    # No macOS for this machine is older than 11.
    least = (11, 0) if dist.target and dist.target.key == "osx-arm64" else (0, 0)
    needed, path = max(known, default=((0, 0), ""))
    highest = max(needed, least)
    fault = f"the tag promises {_dotted(floor)}, no file needs more than {_dotted(highest)}"
    decider = f"{PurePosixPath(path).name} decides" if needed >= least else "the machine decides"
    return finding(f"needed {_dotted(highest)} ({decider})", [fault] if highest < floor else [])


def _tag_version(dist: Dist, pattern: str) -> tuple[int, int] | None:
    found = re.match(pattern, dist.target.tag) if dist.target else None
    return (int(found[1]), int(found[2])) if found else None


def _dotted(version: tuple[int, int] | None) -> str:
    return "of an unknown version" if version is None else f"{version[0]}.{version[1]}"


def authenticode(dist: Dist) -> Finding:
    """The signature of every PE file verifies. It covers the file's bytes, whatever carried them here."""
    signed = [(path, binary.authenticode) for path, binary in _binaries(dist, "PE") if binary.authenticode]
    faults = [f"{path} {signature.flaw}" for path, signature in signed if signature.flaw]
    return finding(f"{len(signed) - len(faults)} of {len(signed)} PE files verify", faults)


def issuers(dist: Dist) -> Finding:
    """The certificate authorities behind those signatures are the vendor's known ones."""
    if dist.target is None:
        return NOT_CONCERNED
    family = dist.target.key.partition("-")[0]
    faults, seen = [], Counter[str]()
    for path, binary in _binaries(dist, "PE"):
        for issuer in binary.authenticode.issuers if binary.authenticode else ():
            seen[issuer.name] += 1
            if family not in ISSUERS.get(issuer.sha256, ("", ()))[1]:
                faults.append(f"{path} is vouched for by {issuer.name} (sha256 {issuer.sha256}), unexpected here")
    return finding(_counts(seen), faults)


def code_signatures(dist: Dist) -> Finding:
    """Every Mach-O file still has its code signature."""
    parts = [(path, part) for path, binary in _binaries(dist, "Mach-O") for part in binary.slices]
    if not parts:
        return NOT_CONCERNED
    faults = [f"{path} has no code signature for {part.platform}" for path, part in parts if not part.signed]
    return finding(f"{len(parts) - len(faults)} of {len(parts)} Mach-O files are signed", faults)


def _list(names: Iterable[str]) -> str:
    return " and ".join(sorted(names))


def _counts(seen: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(seen.items()))
