"""scripts/build.py: many files from one machine, reproducibly, and nothing half-written."""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

import pytest
from credprovider.build.reproducible import copy_tree

from tests.conftest import ROOT
from tests.fakes import interpreters

pytestmark = pytest.mark.posix

COMMAND = [sys.executable, str(ROOT / "scripts" / "build.py")]


def build(*arguments: object, tree: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(tree / "scripts" / "build.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)


def test_two_builds_in_other_circumstances_are_equal_to_the_byte(tmp_path: Path) -> None:
    newest = interpreters.find(interpreters.NEWEST)
    others = [newest] if newest and newest != sys.executable else []
    pythons = [word for path in others for word in ("--python", path)]
    # A copy of what git tracks: an sdist takes a stray file of the working folder along, the second build has none.
    tree = copy_tree(ROOT, tmp_path / "tree")
    done = build("sdist", "any", "--outdir", tmp_path / "out", "--check-reproducible", *pythons, tree=tree)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reproducible: every digest is equal" in done.stdout
    assert done.stdout.count("\n= ") == 2 * (1 + len(others)) + 1, done.stdout
    for file in (tmp_path / "out").iterdir():
        assert hashlib.sha256(file.read_bytes()).hexdigest() in done.stdout


def test_a_difference_is_found_and_named(tmp_path: Path, wheel: Callable[[str], Path]) -> None:
    from credprovider.build import matrix, reproducible
    from credprovider.errors import ReproducibilityError

    request = matrix.Request(ROOT, ("linux-x64",), tmp_path, 1)
    other = matrix.Built("linux-x64", wheel("linux-x64"), "", 0, "0" * 64, 0.0)
    with pytest.raises(ReproducibilityError, match="manylinux_2_23_x86_64.whl"):
        reproducible.check(request, [other], [], lambda _line: None)


def test_the_smallest_wheel_is_smaller_and_holds_the_same(tmp_path: Path, wheel: Callable[[str], Path]) -> None:
    import zipfile

    from credprovider.build import recompress

    small = Path(shutil.copy(wheel("any"), tmp_path))
    recompress.smallest(small)
    assert small.stat().st_size < 0.99 * wheel("any").stat().st_size
    with zipfile.ZipFile(small) as after, zipfile.ZipFile(wheel("any")) as before:
        assert after.testzip() is None
        for one, other in zip(after.infolist(), before.infolist()):
            assert after.read(one) == before.read(other)
            for name in ("filename", "date_time", "external_attr", "create_system", "CRC", "file_size"):
                assert getattr(one, name) == getattr(other, name), name


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    inside = f'mount -t tmpfs -o size=20m tmpfs "{tmp_path}" && {{ "$@"; code=$?; ls -A "{tmp_path}"; exit $code; }}'
    unshare = ["unshare", "-rm", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("unshare cannot make a mount namespace here, so no disk can be filled")
    command = [*unshare, inside, "sh", *COMMAND, "linux-x64", "--outdir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "No space left" in done.stderr
    assert [line for line in done.stdout.splitlines() if line.endswith((".whl", ".gz")) or "building-" in line] == []


def test_a_temporary_folder_without_room_for_the_second_build_is_one_line(
    tmp_path: Path, wheel: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import tempfile

    from credprovider.build import matrix, reproducible
    from credprovider.errors import OutputError

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    first = matrix.Built("linux-x64", wheel("linux-x64"), "", 0, "0" * 64, 0.0)
    with pytest.raises(OutputError, match="temporary folder .*; free space there, or let TMPDIR"):
        reproducible.check(matrix.Request(ROOT, ("linux-x64",), tmp_path, 1), [first], [], lambda _line: None)


def test_an_interrupted_build_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [*COMMAND, "linux-x64", "any", "--outdir", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".building-*/*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "interrupted; the output folder is as it was" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "seen"), [(["linux-x32"], "linux-x32"), (["--jobs", "0"], "--jobs 0")])
def test_bad_input_is_one_clear_line(arguments: list[str], seen: str) -> None:
    done = build(*arguments)
    assert done.returncode == 2
    assert seen in done.stderr.splitlines()[-1] and "valid: " in done.stderr.splitlines()[-1]


def test_the_oldest_python_resolves_with_its_standard_library_only() -> None:
    python = interpreters.need("3.9")
    scripts = str(ROOT / "scripts")
    code = f"import sys; sys.path.insert(0, {scripts!r}); from credprovider import targets; targets.resolve({{}})"
    done = subprocess.run([python, "-I", "-S", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
