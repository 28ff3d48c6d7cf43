"""Rules about what stands around the payload, fault by fault and word by word, on files of a few bytes."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import io
import json
import stat
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Optional

import pytest
from credprovider import hook
from credprovider.lockfile import render
from credprovider.targets import TARGETS, by_key
from credprovider.verify import dist, sdist_rules, wheel_rules
from credprovider.verify.dist import NOT_CONCERNED, Dist, Finding, UnreadableError

from tests.fakes.archives import patch_zip
from tests.fakes.broken_files import reference

pytestmark = pytest.mark.posix

INFO = "artifacts_keyring-1-py3-none-manylinux_2_23_x86_64.whl"
FOLDER = "artifacts_keyring-1.dist-info"
Members = Mapping[str, bytes]
FILE, LINK, FOLDER_MODE = 0o100644, 0o120777, 0o040755


def wheel(
    tmp_path: Path, members: Members, name: str = INFO, mode: int = FILE, method: int = zipfile.ZIP_STORED
) -> Dist:
    with zipfile.ZipFile(tmp_path / name, "w") as made:
        for path, data in members.items():
            info = zipfile.ZipInfo("name")
            info.filename, info.external_attr, info.compress_type = path, mode << 16, method
            made.writestr(info, data)
    return wheel_rules.open_wheel(tmp_path / name, reference())


def metadata(**fields: str) -> bytes:
    told = {"Metadata-Version": "2.4", "Name": "artifacts-keyring", "Version": "1", **fields}
    return "".join(f"{name}: {text}\n" for name, text in told.items()).encode()


# --- what cannot be read


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (6, b"\x01\x00", "encrypted"),
        (8, b"\x63\x00", "compression method"),
        (8, b"\x08\x00", "Error -3"),
    ],
    ids=["encrypted", "compressed by an unknown method", "no deflated data"],
)
def test_a_member_that_cannot_be_read_makes_the_file_unreadable(
    tmp_path: Path, offset: int, value: bytes, reason: str
) -> None:
    wheel(tmp_path, {"a": b"\xff" * 40})
    patch_zip(tmp_path / INFO, offset, offset + 2, value)
    with pytest.raises(UnreadableError, match=f"{INFO} cannot be read: .*{reason}"):
        wheel_rules.open_wheel(tmp_path / INFO, reference())


def test_an_end_too_early_has_its_reason_too(tmp_path: Path) -> None:
    wheel(tmp_path, {"a": b"a" * 40})
    for local, central, value in ((18, 20, 400), (22, 24, 400)):
        patch_zip(tmp_path / INFO, local, central, value.to_bytes(4, "little"))
    with pytest.raises(UnreadableError, match="cannot be read: [^;]{8,}; build it again"):
        wheel_rules.open_wheel(tmp_path / INFO, reference())


def test_without_our_licence_there_is_nothing_to_hold_a_file_against(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="LICENSE of .* cannot be read: No such file .*; restore it from git"):
        dist.reference(tmp_path)


def test_a_rule_that_does_not_concern_a_file_neither_holds_nor_is_broken() -> None:
    assert (NOT_CONCERNED.applies, NOT_CONCERNED.faults) == (False, ())
    assert Finding("figures").applies


# --- names of a wheel's members


def test_plain_files_are_taken_whether_stored_or_deflated(tmp_path: Path) -> None:
    names = {"a.py": b"", "b/c d.py": b"1", "b/..c": b"", "b/é": b""}
    for mode in (FILE, 0o644, 0):
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            assert wheel_rules.entries(wheel(tmp_path, names, mode=mode, method=method)) == Finding("4 files")


@pytest.mark.parametrize(
    "path", ["/a", "a//b", "./a", "a/./b", "../a", "a/..", "a\\b", "c:a", "a*", "a?", 'a"', "a<", "a>", "a|", "a\nb"]
)
def test_a_path_that_could_mean_something_else_is_no_plain_one(tmp_path: Path, path: str) -> None:
    assert wheel_rules.entries(wheel(tmp_path, {path: b"", "b": b""})).faults == (
        f"{path!r} is no plain relative path",
    )


@pytest.mark.parametrize(("mode", "path"), [(LINK, "a"), (FOLDER_MODE, "a"), (stat.S_IFIFO, "a")])
def test_a_member_that_is_no_regular_file_is_named(tmp_path: Path, mode: int, path: str) -> None:
    assert wheel_rules.entries(wheel(tmp_path, {path: b""}, mode=mode)).faults == (f"{path} is no regular file",)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    found = wheel_rules.entries(wheel(tmp_path, {"a/": b""}))
    assert found.faults == ("'a/' is no plain relative path", "a/ is no regular file")


def test_a_method_that_not_every_installer_has_is_refused(tmp_path: Path) -> None:
    found = wheel_rules.entries(wheel(tmp_path, {"a": b"x"}, method=zipfile.ZIP_BZIP2))
    assert found.faults == ("a is neither stored nor deflated, or encrypted",)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    made = wheel(tmp_path, {"a": b"x"})
    patch_zip(made.path, 6, 8, b"\x01\x00")
    assert wheel_rules.entries(made).faults == ("a is neither stored nor deflated, or encrypted",)


def test_a_name_that_is_there_twice_is_counted(tmp_path: Path) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(tmp_path / INFO, "w") as made:
        warnings.simplefilter("ignore", UserWarning)
        for name in ("a", "b", "a", "a"):
            made.writestr(name, b"")
    assert wheel_rules.entries(wheel_rules.open_wheel(tmp_path / INFO, reference())).faults == ("a is there 3 times",)


# --- RECORD


def row(path: str, data: bytes) -> str:
    return f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}"


def recorded(tmp_path: Path, *lines: str) -> Finding:
    members = {"a.py": b"x = 1\n", "b, c.py": b"", f"{FOLDER}/RECORD": "\n".join([*lines, ""]).encode()}
    return wheel_rules.record(wheel(tmp_path, members))


A, B, OWN = row("a.py", b"x = 1\n"), '"b, c.py",' + row("", b"")[1:], f"{FOLDER}/RECORD,,"


def test_a_record_that_is_right(tmp_path: Path) -> None:
    assert recorded(tmp_path, A, B, OWN) == Finding("3 rows")
    assert recorded(tmp_path, OWN, B, A) == Finding("3 rows")


def test_each_way_in_which_a_record_is_wrong(tmp_path: Path) -> None:
    said = B.replace('"', "")
    assert recorded(tmp_path, A, OWN).faults == (f"RECORD does not say {said}",)
    assert recorded(tmp_path, A, B).faults == (f"RECORD does not say {OWN}",)
    assert recorded(tmp_path, A, B, OWN, B).faults == (f"RECORD says {said} 2 times",)
    assert recorded(tmp_path, A, B, OWN, "z,,").faults == ("RECORD says z,,, which is not so",)
    faults = recorded(tmp_path, A.replace(",6", ",7"), B, OWN).faults
    assert faults == (f"RECORD says {A[:-1]}7, which is not so", f"RECORD does not say {A}")
    assert recorded(tmp_path, A.replace("sha256", "sha384"), B, OWN).faults


def test_no_record_is_missed_where_it_should_be(tmp_path: Path) -> None:
    assert wheel_rules.record(wheel(tmp_path, {"a": b""})) == Finding("", (f"{FOLDER}/RECORD is missing",))
    other = {"a-2.dist-info/WHEEL": b"", "b": b""}
    assert wheel_rules.record(wheel(tmp_path, other)).faults == ("a-2.dist-info/RECORD is missing",)
    unreadable = wheel(tmp_path, {f"{FOLDER}/RECORD": b"\xff,,\n"})
    assert len(wheel_rules.record(unreadable).faults) == 2


# --- names and tags


@pytest.mark.parametrize(
    ("name", "figures", "faults"),
    [
        *((f"artifacts_keyring-1-{each.wheel_tag}.whl", each.wheel_tag, ()) for each in TARGETS),
        ("artifacts_keyring-1-7-py3-none-any.whl", "py3-none-any", ("it has the build number (7, '')",)),
    ],
)
def test_the_tags_of_the_targets_and_no_build_number(
    tmp_path: Path, name: str, figures: str, faults: tuple[str, ...]
) -> None:
    assert wheel_rules.tag(wheel(tmp_path, {}, name)) == Finding(figures, faults)


def test_other_tags_are_refused_with_the_valid_ones(tmp_path: Path) -> None:
    valid = ", ".join(target.wheel_tag for target in TARGETS)
    for tag, seen in (("py2.py3-none-any", "py2-none-any, py3-none-any"), ("cp39-none-any", "cp39-none-any")):
        (fault,) = wheel_rules.tag(wheel(tmp_path, {}, f"artifacts_keyring-1-{tag}.whl")).faults
        assert fault == f"its tag is {seen}; valid: {valid}"
    (fault,) = wheel_rules.tag(wheel(tmp_path, {}, "x.whl")).faults
    assert fault.endswith("; an artifacts_keyring-VERSION-py3-none-PLATFORM.whl is wanted")
    assert wheel_rules.names(wheel(tmp_path, {}, "x.whl")) == NOT_CONCERNED


def test_a_name_with_two_platforms_is_looked_into_as_the_first_that_is_a_target(tmp_path: Path) -> None:
    name = INFO.replace("manylinux_2_23_x86_64", "linux_x86_64.manylinux_2_23_x86_64.win32")
    assert wheel(tmp_path, {}, name).target == by_key("linux-x64")
    assert wheel(tmp_path, {}, INFO.replace("manylinux", "musllinux")).target is None


WHEEL = b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-manylinux_2_23_x86_64\n"


def told(tmp_path: Path, folder: str = FOLDER, about: bytes = WHEEL, meta: Optional[bytes] = None) -> Dist:
    return wheel(tmp_path, {f"{folder}/WHEEL": about, f"{folder}/METADATA": metadata() if meta is None else meta})


def test_names_that_agree(tmp_path: Path) -> None:
    assert wheel_rules.names(told(tmp_path)) == Finding("artifacts-keyring 1")
    assert wheel_rules.purelib(told(tmp_path)) == Finding("Root-Is-Purelib: false")


def test_each_name_that_differs_is_named(tmp_path: Path) -> None:
    tag = "py3-none-manylinux_2_23_x86_64"
    for made, fault in (
        (told(tmp_path, "x-1.dist-info"), f"the metadata folder is x-1.dist-info, not {FOLDER}"),
        (told(tmp_path, meta=metadata(Name="x")), "Name in METADATA is x, not artifacts-keyring"),
        (told(tmp_path, meta=metadata(Version="2")), "Version in METADATA is 2, not 1"),
        (told(tmp_path, about=b"Tag: py3-none-any\n"), f"Tag in WHEEL is py3-none-any, not {tag}"),
        (told(tmp_path, about=WHEEL + b"Tag: py2-none-any\n"), f"Tag in WHEEL is py2-none-any, {tag}, not {tag}"),
        (told(tmp_path, about=b"Tag: x\nTag: a-b\n"), f"Tag in WHEEL is , not {tag}"),
    ):
        assert wheel_rules.names(made).faults == (fault,)
    assert len(wheel_rules.names(told(tmp_path, meta=b"")).faults) == 2
    other = wheel(tmp_path, {}, INFO.replace("artifacts_keyring", "other"))
    assert wheel_rules.names(other).faults[0] == "its name is other, not artifacts-keyring"


def test_purity_is_said_once_and_truly(tmp_path: Path) -> None:
    said = "a wheel for manylinux_2_23_x86_64 says false"
    for about, seen in ((b"", "nothing"), (b"Root-Is-Purelib: true\n", "true"), (WHEEL + WHEEL, "false, false")):
        assert wheel_rules.purelib(told(tmp_path, about=about)).faults == (
            f"WHEEL says Root-Is-Purelib: {seen}; {said}",
        )
    portable = wheel(tmp_path, {f"{FOLDER}/WHEEL": b"Root-Is-Purelib: true\n"}, "artifacts_keyring-1-py3-none-any.whl")
    assert wheel_rules.purelib(portable) == Finding("Root-Is-Purelib: true")


@pytest.mark.parametrize(
    "rule", [wheel_rules.purelib, wheel_rules.payload_record, wheel_rules.sbom], ids=lambda rule: rule.__name__
)
def test_a_wheel_for_no_target_is_not_concerned(tmp_path: Path, rule: Callable[[Dist], Finding]) -> None:
    assert rule(wheel(tmp_path, {}, "artifacts_keyring-1-py3-none-musllinux_1_2_x86_64.whl")) == NOT_CONCERNED


# --- contents


def whole(left_out: str = "", extra: str = "") -> dict[str, bytes]:
    inside = ["METADATA", "RECORD", "WHEEL", "entry_points.txt", *wheel_rules._papers()]
    paths = [f"artifacts_keyring/{name}" for name in (*wheel_rules.MODULES, "payload.json")]
    paths += [f"{FOLDER}/{name}" for name in inside] + ["artifacts_keyring/bin/any/thing", extra]
    return {path: b"" for path in paths if path and path != left_out}


def test_nothing_is_missing_and_nothing_extra_outside_the_payload(tmp_path: Path) -> None:
    hint = "check.py holds a file against the tree that check.py itself stands in"
    assert wheel_rules.contents(wheel(tmp_path, whole())) == Finding(f"{len(whole()) - 1} files outside the payload")
    for path in (f"{FOLDER}/licenses/LICENSE", "artifacts_keyring/payload.json", f"{FOLDER}/sboms/{hook.SBOM_NAME}"):
        assert wheel_rules.contents(wheel(tmp_path, whole(left_out=path))).faults == (f"{path} is missing", hint)
    found = wheel_rules.contents(wheel(tmp_path, whole(extra="x.pth")))
    assert found.faults == ("x.pth does not belong there", hint)


def test_the_payload_s_record_is_what_the_pin_gives(tmp_path: Path) -> None:
    wanted = hook.describe(reference().pin, by_key("linux-x64")).encode()
    said = f"{hook.RECORD} is missing or not what the pin gives"
    figures = f"provider {reference().pin.version}, linux-x64"
    assert wheel_rules.payload_record(wheel(tmp_path, {hook.RECORD: wanted})) == Finding(figures)
    for members in ({}, {hook.RECORD: wanted + b" "}):
        assert wheel_rules.payload_record(wheel(tmp_path, members)) == Finding(figures, (said,))


def bill(tmp_path: Path, document: object) -> Finding:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return wheel_rules.sbom(wheel(tmp_path, {f"{FOLDER}/sboms/{hook.SBOM_NAME}": text}))


def test_the_bill_of_materials_names_provider_and_tree(tmp_path: Path) -> None:
    pin = reference().pin
    tree, path = pin.targets["linux-x64"].tree.sha256, f"{FOLDER}/sboms/{hook.SBOM_NAME}"
    figures = f"2 components, provider {pin.version}"
    whole = {"format": "CycloneDX", "components": [{"version": pin.version}, {"hashes": [{"content": tree}]}]}
    assert bill(tmp_path, whole) == Finding(figures)
    assert bill(tmp_path, ["CycloneDX", pin.version, tree]) == Finding(f"0 components, provider {pin.version}")
    without = {**whole, "components": [{"name": pin.version + "x"}]}
    assert bill(tmp_path, without).faults == (
        f"{path} does not name the provider {pin.version}",
        f"{path} does not name the tree sha256 {tree}",
    )
    assert bill(tmp_path, {**whole, "format": 1}).faults == (f"{path} does not name the format CycloneDX",)
    for broken in (b"", b"{", b"\xff"):
        assert bill(tmp_path, broken) == Finding("", (f"{path} is missing or no JSON",))


POINTS = (
    b"[keyring.backends]\nartifacts_keyring = artifacts_keyring.backend\n\n"
    b"[console_scripts]\nartifacts-keyring = artifacts_keyring.cli.main:main\n"
)


def points(tmp_path: Path, text: bytes) -> Finding:
    return wheel_rules.entry_points(wheel(tmp_path, {f"{FOLDER}/entry_points.txt": text}))


def test_entry_points_are_exactly_ours(tmp_path: Path) -> None:
    assert points(tmp_path, POINTS) == Finding("console_scripts, keyring.backends")
    assert points(tmp_path, POINTS.replace(b"artifacts-k", b"Artifacts-k")).faults
    assert points(tmp_path, POINTS + b"more = x:y\n").faults
    assert points(tmp_path, POINTS.replace(b" = ", b": ")).faults[0].startswith("entry_points.txt cannot be read: ")
    for text in (b"\xff", b"no section\n", POINTS + POINTS):
        (fault,) = points(tmp_path, text).faults
        assert fault.startswith("entry_points.txt cannot be read: ") and fault.isprintable()
    (fault,) = wheel_rules.entry_points(wheel(tmp_path, {})).faults
    assert fault.startswith("entry_points.txt says {}, not {'keyring.backends': ")


# --- sdists

TOP = "artifacts_keyring-1"


def sdist(
    tmp_path: Path,
    members: Members,
    name: str = f"{TOP}.tar.gz",
    change: Optional[Callable[[tarfile.TarInfo], None]] = None,
) -> Dist:
    with gzip.open(tmp_path / name, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as made:
        for path, data in members.items():
            info = tarfile.TarInfo(path if path.startswith("/") else f"{name.removesuffix('.tar.gz')}/{path}")
            info.size = len(data)
            if change:
                change(info)
            made.addfile(info, io.BytesIO(data))
    return sdist_rules.open_sdist(tmp_path / name, reference())


def of_type(kind: bytes) -> Callable[[tarfile.TarInfo], None]:
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = kind, "x"

    return change


def owner(**facts: object) -> Callable[[tarfile.TarInfo], None]:
    def change(info: tarfile.TarInfo) -> None:
        for name, fact in facts.items():
            setattr(info, name, fact)

    return change


def test_an_sdist_of_plain_files(tmp_path: Path) -> None:
    made = sdist(tmp_path, {"a": b"x", "b/c": b""})
    assert sdist_rules.entries(made) == Finding("2 files")
    assert [(member.path, member.size, member.mode) for member in made.members] == [("a", 1, FILE), ("b/c", 0, FILE)]
    assert made.target == by_key("any") and made.data("a") == b"x"


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_an_sdist_holds_regular_files_only(tmp_path: Path, kind: bytes) -> None:
    made = sdist(tmp_path, {"a": b""}, change=of_type(kind))
    assert sdist_rules.entries(made).faults == ("a is no regular file",)
    assert (stat.S_ISDIR(made.members[0].mode), stat.S_ISLNK(made.members[0].mode)) == (
        kind == tarfile.DIRTYPE,
        kind != tarfile.DIRTYPE,
    )


@pytest.mark.parametrize("path", ["/a", "a//b", "./a", "a/../b", "..", "a\\b"])
def test_a_path_in_an_sdist_that_is_not_plain(tmp_path: Path, path: str) -> None:
    assert sdist_rules.entries(sdist(tmp_path, {path: b""})).faults == (
        f"{path!r} is no plain path below the top folder",
    )


@pytest.mark.parametrize(
    ("facts", "seen"),
    [
        ({"uid": 1}, (1, 0, "", "")),
        ({"gid": 2}, (0, 2, "", "")),
        ({"uname": "me"}, (0, 0, "me", "")),
        ({"gname": "us"}, (0, 0, "", "us")),
    ],
)
def test_an_sdist_belongs_to_nobody(tmp_path: Path, facts: Mapping[str, object], seen: object) -> None:
    assert sdist_rules.entries(sdist(tmp_path, {"a": b""}, change=owner(**facts))).faults == (f"a belongs to {seen}",)


def test_a_member_of_an_sdist_that_is_there_twice(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / f"{TOP}.tar.gz", "w:gz") as made:
        for name in ("a", "b", "a"):
            made.addfile(tarfile.TarInfo(f"{TOP}/{name}"))
    found = sdist_rules.entries(sdist_rules.open_sdist(tmp_path / f"{TOP}.tar.gz", reference()))
    assert found == Finding("3 files", ("a is there 2 times",))


def test_the_names_of_an_sdist(tmp_path: Path) -> None:
    assert sdist_rules.names(sdist(tmp_path, {"PKG-INFO": metadata()})) == Finding("artifacts-keyring 1")
    for about, fault in (
        (metadata(Name="x"), "Name in PKG-INFO is x, not artifacts-keyring"),
        (metadata(Version="2"), "Version in PKG-INFO is 2, not 1"),
    ):
        assert sdist_rules.names(sdist(tmp_path, {"PKG-INFO": about})).faults == (fault,)
    other = sdist(tmp_path, {"PKG-INFO": metadata()}, "Artifacts.Keyring-1.0.tar.gz")
    assert (
        sdist_rules.names(other).faults[0]
        == "its name is Artifacts.Keyring-1.0.tar.gz, not artifacts_keyring-1.0.tar.gz"
    )
    (fault,) = sdist_rules.names(sdist(tmp_path, {}, "x.tar.gz")).faults
    assert fault.endswith("; an artifacts_keyring-VERSION.tar.gz is wanted")
    assert len(sdist_rules.names(sdist(tmp_path, {})).faults) == 2


def test_what_an_sdist_needs_and_what_it_may_hold(tmp_path: Path) -> None:
    whole = dict.fromkeys(sdist_rules._REQUIRED, b"")
    allowed = (
        ".gitignore", "NOTES.md", f"{hook.LICENSES}/X y.docx", "scripts/a_b.py", "scripts/x/y.json", "scripts/z.toml",
        "tests/a/b/C-1.x.txt", "tests/x.csv", "benchmarks/a.svg", "tests/x.cdx.json", "benchmarks/r.md", "tests/t.toml",
    )  # fmt: skip
    made = sdist(tmp_path, {**whole, **dict.fromkeys(allowed, b""), "artifacts_keyring/bin/x": b""})
    assert sdist_rules.contents(made) == Finding(f"{len(whole) + len(allowed)} files outside the payload")
    for path in sdist_rules._REQUIRED:
        found = sdist_rules.contents(sdist(tmp_path, {name: b"" for name in whole if name != path}))
        assert found.faults == (f"{path} is missing",)
    for path in (
        ".github/x.yml", "notes.md", "x/.gitignore", f"{hook.LICENSES}/a/b", "scripts/a.pyc", "scripts/.x.py",
        "tests/x.whl", "scripts/A.py", "tests/x.so", "artifacts_keyring/extra.py", "credprovider.lock.toml.bak",
        "tests/.hidden/x.py",
    ):  # fmt: skip
        assert sdist_rules.contents(sdist(tmp_path, {**whole, path: b""})).faults == (f"{path} does not belong there",)


def test_the_pin_of_an_sdist(tmp_path: Path) -> None:
    pin, name = reference().pin, "credprovider.lock.toml"
    assert sdist_rules.pinned(sdist(tmp_path, {name: render(pin).encode()})) == Finding(f"provider {pin.version}")
    row = dataclasses.replace(pin.targets["any"], tree=dataclasses.replace(pin.targets["any"].tree, files=1))
    other = render(dataclasses.replace(pin, targets={**pin.targets, "any": row})).encode()
    said = (f"{name} is not the pin that it is held against",)
    assert sdist_rules.pinned(sdist(tmp_path, {name: other})) == Finding(f"provider {pin.version}", said)
    for broken in (b"[", b"\xff", b"lock-version = 2\n"):
        (fault,) = sdist_rules.pinned(sdist(tmp_path, {name: broken})).faults
        assert fault.startswith(f"{name} is no pin: ")
    assert sdist_rules.pinned(sdist(tmp_path, {})).faults[0].startswith(f"{name} is no pin: ")
