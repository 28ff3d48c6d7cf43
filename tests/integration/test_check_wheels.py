"""For each rule about wheels there is a wheel that this rule, and no other, refuses."""

from __future__ import annotations

import copy
import zipfile
from pathlib import Path
from typing import Callable

import pytest
from credprovider import hook
from credprovider.verify import wheel_rules
from credprovider.verify.dist import BIN

from artifacts_keyring.provider import layout
from tests.fakes import rewritten_files
from tests.fakes.broken_files import (
    KEY,
    TOKEN,
    WEB_TOKEN,
    Change,
    at,
    bare_metadata,
    extended,
    flipped,
    floor,
    padded,
    refused,
    replaced,
    swapped,
    unsigned,
)
from tests.fakes.rewritten_files import Case

pytestmark = pytest.mark.posix

Wheels = Callable[[str], Path]


def added(name: str, data: bytes) -> Change:
    return lambda case, into: Case(rewritten_files.rewrite(case.path, into, {name: data}), case.reference)


def without(name: str) -> Change:
    return lambda case, into: Case(rewritten_files.rewrite(case.path, into, {name: None}), case.reference)


def renamed(old: str, new: str) -> Change:
    """The wheel with another tag in its name, and WHEEL saying so."""

    def change(case: Case, into: Path) -> Case:
        text = rewritten_files.read(case.path, "dist-info/WHEEL").decode()
        lines = [line for line in text.splitlines() if not line.startswith("Tag: ")]
        python, abi, platforms = new.rsplit("-", 3)[-3:]
        lines += [f"Tag: {python}-{abi}-{platform}" for platform in platforms.split(".")]
        data = "\n".join([*lines, ""]).encode()
        name = case.path.name.replace(old, new)
        return Case(rewritten_files.rewrite(case.path, into, {"dist-info/WHEEL": data}, name=name), case.reference)

    return change


def patched(name: str, change: Callable[[bytes], bytes], key: str = "linux-x64") -> Change:
    """The wheel with one binary changed, as if that had been pinned."""
    return lambda case, into: rewritten_files.repin(
        case, into, key, {BIN + name: change(rewritten_files.read(case.path, BIN + name))}
    )


def further(name: str) -> Change:
    """The wheel with one more file of the payload, as if that had been pinned."""
    return lambda case, into: rewritten_files.repin(case, into, "linux-x64", {BIN + name: b"x\n"})


def elsewhere(folder: str) -> Change:
    """The same bytes, one file of them in another folder: the digest proves the places, too."""

    def change(case: Case, into: Path) -> Case:
        data = rewritten_files.read(case.path, f"{BIN}PowerArgs.dll")
        moved = {f"{BIN}PowerArgs.dll": None, f"{BIN}{folder}PowerArgs.dll": data}
        return Case(rewritten_files.rewrite(case.path, into, moved), case.reference)

    return change


def listed_twice(case: Case, into: Path) -> Case:
    path = rewritten_files.rewrite(case.path, into, {})
    with zipfile.ZipFile(path, "a") as file, pytest.warns(UserWarning, match="Duplicate name"):
        info = file.getinfo("artifacts_keyring/backend.py")
        file.writestr(copy.copy(info), file.read(info))
    return Case(path, case.reference)


def recorded_wrongly(case: Case, into: Path) -> Case:
    rows = rewritten_files.read(case.path, "dist-info/RECORD").replace(b"backend.py,sha256=", b"backend.py,sha256=x", 1)
    return Case(rewritten_files.rewrite(case.path, into, {"dist-info/RECORD": rows}, record=False), case.reference)


def launcher_mode(mode: int) -> Change:
    def change(info: zipfile.ZipInfo) -> None:
        if info.filename == f"{BIN}CredentialProvider.Microsoft":
            info.external_attr = mode << 16

    return lambda case, into: Case(rewritten_files.attributes(case.path, into, change), case.reference)


def executable_module(case: Case, into: Path) -> Case:
    def change(info: zipfile.ZipInfo) -> None:
        if info.filename == "artifacts_keyring/backend.py":
            info.external_attr = 0o100755 << 16

    return Case(rewritten_files.attributes(case.path, into, change), case.reference)


LINUX_TAG = "py3-none-manylinux_2_23_x86_64"
METADATA = "dist-info/METADATA"

WHEELS: list[tuple[str, str, str, Change]] = [
    ("entries", "linux-x64", "a name twice", listed_twice),
    ("record", "linux-x64", "a wrong digest", recorded_wrongly),
    ("tag", "linux-x64", "two platforms", renamed(LINUX_TAG, f"{LINUX_TAG}.manylinux_2_28_x86_64")),
    ("tag", "linux-x64", "one Python's", renamed(LINUX_TAG, LINUX_TAG.replace("py3-none", "cp312-cp312"))),
    ("tag", "linux-x64", "a build number", renamed(LINUX_TAG, f"1-{LINUX_TAG}")),
    ("names", "linux-x64", "another tag in WHEEL", replaced("dist-info/WHEEL", swapped(b"_2_23_", b"_2_17_"))),
    ("names", "linux-x64", "another version in METADATA", replaced(METADATA, swapped(b"\nVersion: ", b"\nVersion: 9"))),
    ("purelib", "linux-x64", "pure", replaced("dist-info/WHEEL", swapped(b"Purelib: false", b"Purelib: true "))),
    ("contents", "linux-x64", "compiled code", added("artifacts_keyring/__pycache__/feeds.cpython-311.pyc", b"x")),
    ("contents", "linux-x64", "a stray file", added("tests/conftest.py", b"x = 1\n")),
    ("contents", "linux-x64", "no module", without("artifacts_keyring/py.typed")),
    ("payload", "linux-x64", "another file", replaced(f"{BIN}CredentialProvider.Microsoft.xml", extended)),
    ("payload-record", "linux-x64", "another version", replaced(hook.RECORD, swapped(b"2.0.5", b"2.0.4"))),
    ("modes", "linux-x64", "not executable", launcher_mode(0o100644)),
    ("modes", "linux-x64", "executable for one", launcher_mode(0o100744)),
    ("modes", "linux-x64", "of no kind, which pip ignores", launcher_mode(0o755)),
    ("modes", "linux-x64", "an executable module", executable_module),
    ("machine", "linux-x64", "ELF for arm64", patched("libclrgc.so", at(18, b"\xb7\x00"))),
    ("glibc", "linux-x64", "a newer symbol", patched("libcoreclr.so", swapped(b"GLIBC_2.16\0", b"GLIBC_2.36\0"))),
    ("glibc", "linux-x64", "a private one", patched("libcoreclr.so", swapped(b"GLIBC_2.16\0", b"GLIBC_PRIV\0"))),
    ("libraries", "linux-x64", "what no system has", patched("libcoreclr.so", swapped(b"libdl.so.2", b"libxx.so.2"))),
    ("authenticode", "linux-x64", "a changed bit", patched("System.Private.CoreLib.dll", flipped)),
    ("paths", "linux-x64", "a deep file", further("x" * (101 - len(BIN)))),
    ("payload", "linux-x64", "a file in the vendor's folder", elsewhere(layout.VENDORS)),
    ("payload", "linux-x64", "a file in its place beside", elsewhere(f"{layout.LEGAL}{layout.VENDORS}")),
    ("secrets", "linux-x64", "a token", replaced("artifacts_keyring/feeds.py", lambda data: data + TOKEN)),
    ("secrets", "linux-x64", "a web token", replaced("artifacts_keyring/feeds.py", lambda data: data + WEB_TOKEN)),
    ("secrets", "linux-x64", "a private key", replaced("artifacts_keyring/feeds.py", lambda data: data + KEY)),
    ("size", "linux-x64", "too large", padded),
    ("description", "linux-x64", "none", replaced(METADATA, bare_metadata)),
    ("requirements", "linux-x64", "an end", replaced(METADATA, swapped(b"Python: >=3.9", b"Python: <3.13"))),
    (
        "requirements",
        "linux-x64",
        "one more",
        replaced(METADATA, swapped(b"Dist: httpx", b"Dist: rich\nRequires-Dist: httpx")),
    ),
    (
        "entry-points",
        "linux-x64",
        "another module",
        replaced("dist-info/entry_points.txt", swapped(b"backend", b"nowhere")),
    ),
    ("licences", "linux-x64", "our own", replaced("dist-info/licenses/LICENSE", swapped(b"MIT", b"TIM"))),
    (
        "licences",
        "linux-x64",
        "the vendor's",
        replaced(f"dist-info/licenses/{hook.LICENSES}/ThirdPartyNotices.txt", lambda data: data + b"!"),
    ),
    (
        "sbom",
        "linux-x64",
        "another provider",
        replaced(f"dist-info/sboms/{hook.SBOM_NAME}", swapped(b"2.0.5", b"2.0.4")),
    ),
    ("machine", "osx-x64", "Mach-O for arm64", patched("libclrgc.dylib", at(4, b"\x0c\0\0\x01"), "osx-x64")),
    ("macos", "osx-x64", "a newer one", patched("libclrgc.dylib", floor(12, 0), "osx-x64")),
    ("macos-needed", "osx-x64", "an older one", patched("msalruntime.dylib", floor(10, 15), "osx-x64")),
    ("code-signatures", "osx-x64", "none", patched("libclrgc.dylib", unsigned, "osx-x64")),
]


@pytest.mark.parametrize(("rule", "key", "what", "change"), WHEELS, ids=[f"{w[0]}-{w[2]}" for w in WHEELS])
def test_this_rule_and_no_other_refuses_the_wheel(
    wheel: Wheels, tmp_path: Path, rule: str, key: str, what: str, change: Change
) -> None:
    assert refused(wheel(key), change, tmp_path) == [rule]


@pytest.mark.parametrize(
    ("rule", "key", "name", "other", "other_name"),
    [
        # Newtonsoft.Json as its own project signs it, where the vendor's own signature is expected
        ("issuers", "linux-x64", "Newtonsoft.Json.dll", "any", "Newtonsoft.Json.dll"),
        # signed by the vendor as well, but for another machine, another system
        ("machine", "win-x64", "msalruntime.dll", "any", "runtimes/win-x86/native/msalruntime_x86.dll"),
        ("machine", "osx-x64", "System.Private.CoreLib.dll", "linux-x64", "System.Private.CoreLib.dll"),
        ("machine", "linux-x64", "System.Private.CoreLib.dll", "win-x64", "System.Private.CoreLib.dll"),
        # the right file for a machine, in another one's folder
        (
            "machine",
            "any",
            "runtimes/osx-arm64/native/msalruntime_arm64.dylib",
            "any",
            "runtimes/osx-x64/native/msalruntime.dylib",
        ),
        ("machine", "any", "NuGet.Common.dll", "any", "runtimes/win-x64/native/msalruntime.dll"),
    ],
)
def test_a_genuine_file_in_the_wrong_place(
    wheel: Wheels, tmp_path: Path, rule: str, key: str, name: str, other: str, other_name: str
) -> None:
    data = rewritten_files.read(wheel(other), BIN + other_name)
    assert refused(wheel(key), patched(name, lambda _: data, key), tmp_path) == [rule]


def test_every_rule_for_wheels_has_a_wheel_that_breaks_it_alone() -> None:
    assert {case[0] for case in WHEELS} | {"issuers"} == {rule.name for rule in wheel_rules.RULES}
