"""The verifier: good files keep every rule, damaged ones are named, and the command says what it found."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Callable, Optional

import pytest
from credprovider import targets
from credprovider.verify import report, sdist_rules, wheel_rules
from credprovider.verify.dist import BIN, UnreadableError

from tests.conftest import ROOT, hatchling_build
from tests.fakes import rewritten_files
from tests.fakes.broken_files import broken, case_of, padded, reference, refused, replaced, swapped
from tests.fakes.rewritten_files import Case

pytestmark = pytest.mark.posix

Wheels = Callable[[str], Path]


@pytest.mark.parametrize("key", targets.KEYS)
def test_every_real_wheel_keeps_every_rule(wheel: Wheels, key: str) -> None:
    assert broken(case_of(wheel(key))) == []


def test_the_real_sdist_keeps_every_rule(sdist: Path) -> None:
    assert broken(case_of(sdist)) == []


def test_a_wheel_built_without_its_hook_is_refused(tmp_path: Path) -> None:
    built = hatchling_build("wheel", tmp_path, {"HATCH_BUILD_NO_HOOKS": "1"})
    assert {"contents", "payload", "payload-record", "sbom"} <= set(broken(case_of(built)))


# --- what is no wheel at all


@pytest.mark.parametrize("name", ["x-1-py3-none-any.whl", "x-1.tar.gz"])
@pytest.mark.parametrize("data", [b"", b"PK\x05\x06", b"\x1f\x8b\x08", b"text" * 1000])
def test_a_damaged_file_is_unreadable(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UnreadableError, match="cannot be read"):
        report.check(tmp_path / name, reference())


def test_a_truncated_member_is_unreadable(wheel: Wheels, tmp_path: Path) -> None:
    path = rewritten_files.rewrite(wheel("linux-x64"), tmp_path, {})
    with zipfile.ZipFile(path) as file:
        info = file.getinfo(f"{BIN}libcoreclr.so")
    with path.open("r+b") as raw:
        raw.seek(info.header_offset + info.compress_size // 2)
        raw.write(b"broken" * 10)
    with pytest.raises(UnreadableError, match="cannot be read"):
        report.check(path, reference())


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "artifacts_keyring-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(4):
            file.writestr(f"{number}", bytes(100_000_000))
    with pytest.raises(UnreadableError, match="unpacks to more than"):
        report.check(path, reference())


@pytest.mark.parametrize("name", ["METADATA", "WHEEL", "RECORD", "entry_points.txt"])
@pytest.mark.parametrize("data", [None, b"\xff\xfe\x00", b"Tag: x-y\n[[\n", b"x" * 200_000])
def test_no_rule_falls_over_a_missing_or_senseless_file(
    wheel: Wheels, tmp_path: Path, name: str, data: Optional[bytes]
) -> None:
    contents = {**dict.fromkeys(rewritten_files.payload_of(wheel("linux-x64"))), f"dist-info/{name}": data}

    def change(case: Case, into: Path) -> Case:
        return case_of(rewritten_files.rewrite(case.path, into, contents, record=False))

    assert refused(wheel("linux-x64"), change, tmp_path)


# --- the command


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "check.py"), *map(str, arguments)]
    environ = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, env=environ)


def test_the_command_says_one_line_a_rule(wheel: Wheels) -> None:
    done = run(wheel("linux-x64"))
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert said[0] == wheel("linux-x64").name
    assert [line.split()[1] for line in said[1:-1]] == [rule.name for rule in wheel_rules.RULES]
    assert any("highest symbol GLIBC_2.17" in line for line in said)
    assert "0 broken" in said[-1]


def test_the_command_ends_with_the_lowest_code_of_all_failures(wheel: Wheels, tmp_path: Path) -> None:
    good = case_of(wheel("linux-x64"))
    size = tmp_path / "size"
    names = tmp_path / "names"
    for folder in (size, names):
        folder.mkdir()
    large = padded(good, size).path
    wrong = replaced("dist-info/WHEEL", swapped(b"_2_23_", b"_2_17_"))(good, names).path
    done = run(large, good.path, wrong)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Tag in WHEEL is py3-none-manylinux_2_17_x86_64, not py3-none-manylinux_2_23_x86_64" in done.stdout
    assert done.stdout.count("0 broken") == 1


def test_the_limit_is_the_index_s_to_choose(wheel: Wheels) -> None:
    assert run("--max-size", "1000", wheel("linux-x64")).returncode == 1


def test_the_command_names_what_it_cannot_read(tmp_path: Path) -> None:
    done = run(tmp_path / "missing-1-py3-none-any.whl", tmp_path / "picture.png")
    assert done.returncode == 1
    assert "cannot be read" in done.stdout
    assert "picture.png is neither a wheel nor an sdist; valid: .whl, .tar.gz" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_the_command_lists_its_rules() -> None:
    said = run("--rules").stdout
    assert all(rule.proves in said for rule in (*wheel_rules.RULES, *sdist_rules.RULES))


def test_the_command_without_a_file_is_a_wrong_use() -> None:
    assert run().returncode == 2


def test_signs_become_words_where_the_terminal_has_no_signs(wheel: Wheels) -> None:
    command = [sys.executable, str(ROOT / "scripts" / "check.py"), str(wheel("linux-x64"))]
    done = subprocess.run(command, capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": "cp1252"})
    assert done.returncode == 0, done.stderr
    assert b"  ok   tag" in done.stdout
