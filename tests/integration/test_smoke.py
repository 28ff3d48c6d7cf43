"""scripts/smoke.py on real wheels: each platform's provider run as far as this machine can."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest
from credprovider import errors
from credprovider.verify import windows
from credprovider.verify.dist import BIN

from tests.conftest import ROOT
from tests.fakes import rewritten_files

pytestmark = pytest.mark.posix


def smoke(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "smoke.py"), *map(str, arguments)]
    full = {**os.environ, **environ}
    return subprocess.run(command, cwd=ROOT, env=full, capture_output=True, text=True, check=False)


LINUX = f"CPython {sys.version_info.major}.{sys.version_info.minor} for Linux"


def test_the_provider_of_a_wheel_answers(wheel: Callable[[str], Path]) -> None:
    """Those that need an emulator are started by `release.py --dry-run --strict`, which .ci/run runs."""
    done = smoke("--strict", wheel("linux-x64"))
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("linux-x64")]
    assert "credential found" in row and " 2.0.5 " in row and f"  {LINUX}  " in row


@pytest.mark.parametrize(("key", "form"), [("osx-x64", "Mach-O"), ("osx-arm64", "Mach-O"), ("win-arm64", "PE")])
def test_what_cannot_run_here_is_read_and_said_so(wheel: Callable[[str], Path], key: str, form: str) -> None:
    done = smoke(wheel(key))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{form} for {key}; cannot run on this machine" in done.stdout
    assert "  none (headers only)  " in done.stdout


def test_a_provider_that_does_not_answer_is_a_failure(wheel: Callable[[str], Path], tmp_path: Path) -> None:
    library = f"{BIN}libhostfxr.so"
    path = rewritten_files.rewrite(wheel("linux-x64"), tmp_path, {library: b"no library"})
    done = smoke(path)
    assert done.returncode == 1
    assert "exit " in done.stdout


def test_an_executable_for_another_platform_is_a_failure(wheel: Callable[[str], Path], tmp_path: Path) -> None:
    other = f"{BIN}CredentialProvider.Microsoft"
    path = rewritten_files.rewrite(
        wheel("osx-arm64"), tmp_path, {other: rewritten_files.read(wheel("linux-x64"), other)}
    )
    done = smoke(path)
    assert done.returncode == 1
    assert "ELF for linux-x64" in done.stdout


def test_a_tool_that_is_missing_is_named_and_one_that_fails_is_a_failure(
    wheel: Callable[[str], Path], tmp_path: Path
) -> None:
    needs = smoke(wheel("linux-arm64"), PATH=str(tmp_path))
    assert (needs.returncode, "needs qemu-aarch64-static (package qemu-user-static)" in needs.stdout) == (0, True)
    assert smoke("--strict", wheel("linux-arm64"), PATH=str(tmp_path)).returncode == 1
    for tool in ("qemu-aarch64-static", "apt-get"):
        (tmp_path / tool).write_text("#!/bin/sh\necho no network >&2; exit 100\n")
        (tmp_path / tool).chmod(0o755)
    broken = smoke(wheel("linux-arm64"), PATH=str(tmp_path))
    assert broken.returncode == 1
    assert "apt-get ended with 100: no network" in broken.stdout


def test_a_python_without_dlls_for_windows_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "VERSION", "3.99")
    with pytest.raises(errors.Lacking, match=r"panda3d==\S+ for Python 3\.99 on Windows"):
        windows._dlls(tmp_path / "tools", windows.BITS_64)
    monkeypatch.setattr(windows, "_DLLS", "no valid requirement")
    with pytest.raises(errors.BrokenTool, match="ended with 1"):
        windows._dlls(tmp_path / "tools", windows.BITS_64)


def test_bad_input_is_refused(tmp_path: Path) -> None:
    for arguments in ((), ("nowhere.whl",), ("--installed", "x.whl")):
        assert smoke(*arguments).returncode == 2
    for name in ("broken.whl", "broken.tar.gz"):
        (tmp_path / name).write_text("nothing")
        refused = smoke(tmp_path / name)
        assert (refused.returncode, "is no wheel or sdist of this project" in refused.stderr) == (1, True)
