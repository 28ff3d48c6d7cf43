"""scripts/smoke.py on real wheels: each platform's provider run as far as this machine can."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from tests import rewriting
from tests.conftest import ROOT


def smoke(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "smoke.py"), *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("key", ["linux-x64", "linux-arm64", "win-x64", "win-x86", "any"])
def test_the_provider_of_a_wheel_answers(wheel: Callable[[str], Path], key: str) -> None:
    done = smoke(wheel(key))
    if ": needs " in done.stdout and not done.returncode:
        pytest.skip(f"{key}: {done.stdout.partition(': needs ')[2].splitlines()[0]}")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = [line for line in done.stdout.splitlines() if line.startswith(key)]
    assert "credential found" in row and " 2.0.5 " in row


@pytest.mark.parametrize(("key", "form"), [("osx-x64", "Mach-O"), ("osx-arm64", "Mach-O"), ("win-arm64", "PE")])
def test_what_cannot_run_here_is_read_and_said_so(wheel: Callable[[str], Path], key: str, form: str) -> None:
    done = smoke(wheel(key))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{form} for {key}; cannot run on this machine" in done.stdout


def test_a_provider_that_does_not_answer_is_a_failure(wheel: Callable[[str], Path], tmp_path: Path) -> None:
    library = f"{rewriting.PROVIDER}libhostfxr.so"
    path = rewriting.rewrite(wheel("linux-x64"), tmp_path, {library: b"no library"})
    done = smoke(path)
    assert done.returncode == 1
    assert "exit " in done.stdout


def test_bad_input_is_refused() -> None:
    for arguments in ((), ("nowhere.whl",), ("--installed", "x.whl")):
        assert smoke(*arguments).returncode == 2
