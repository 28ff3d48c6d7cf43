"""Programs are found by their names where PATH says, and never in the folder that a client happens to run in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from artifacts_keyring.provider import dotnet
from artifacts_keyring.system import programs
from tests.conftest import ROOT

WINDOWS = sys.platform == "win32"
# What doctor, Python's own library or a client could start by name.
NAMES = ("dotnet", "keyring", "pip", "python", "python3", "security", "xdg-open", "ldconfig", "gcc", "ld", "objdump")


def plant(folder: Path, name: str) -> Path:
    """An executable `name` in `folder` that leaves a file `started-NAME` beside itself."""
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / f"started-{name}"
    path = folder / (f"{name}.bat" if WINDOWS else name)
    path.write_text(f'@echo off\necho x> "{mark}"\n' if WINDOWS else f"#!/bin/sh\n: > '{mark}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("path", ["", ".", "bin", "{here}{sep}.", "{here}{sep}{sep}bin"])
def test_the_current_folder_is_never_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    plant(tmp_path, "keyring")
    plant(tmp_path / "bin", "keyring")
    monkeypatch.chdir(tmp_path)
    assert programs.find("keyring", {"PATH": path.format(here=tmp_path / "none", sep=os.pathsep)}) is None
    assert programs.find("keyring", {}) != tmp_path / "keyring"


def test_the_first_of_several_is_found_by_its_absolute_path(tmp_path: Path) -> None:
    first, second = (plant(tmp_path / name, "keyring") for name in "ab")
    environ = {"PATH": os.pathsep.join(["b", str(tmp_path / "none"), str(first.parent), str(second.parent)])}
    assert programs.find("keyring", environ) == first
    assert list(programs.found("keyring", environ)) == [first, second]


def test_neither_a_folder_nor_a_text_is_a_program(tmp_path: Path) -> None:
    (tmp_path / "a" / "keyring").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "keyring").write_text("")
    paths = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert programs.find("keyring", {"PATH": os.pathsep.join(paths)}) is None


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, "keyring.exe"),
        ({"PATHEXT": ".bat;.EXE"}, "keyring.bat"),
        ({"PATHEXT": ".PY"}, None),
        ({"PATHEXT": ""}, "keyring.exe"),
    ],
)
def test_windows_programs_have_an_extension(tmp_path: Path, environ: dict[str, str], found: str) -> None:
    for name in ("keyring", "keyring.bat", "keyring.exe"):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o755)
    quoted = {"PATH": f'"{tmp_path}"', **environ}
    assert programs.find("keyring", quoted, "win32") == (tmp_path / found if found else None)
    assert programs.find("keyring.exe", {"PATH": str(tmp_path)}, "win32") == tmp_path / "keyring.exe"
    assert programs.find("keyring", {}, "win32") is None


@pytest.mark.parametrize(
    ("variable", "folder"),
    [
        ("DOTNET_ROOT", ""),
        ("USERPROFILE" if sys.platform == "win32" else "HOME", ".dotnet"),
        ("ProgramFiles", "dotnet"),
    ],
)
def test_no_variable_leads_to_a_dotnet_of_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, folder: str
) -> None:
    monkeypatch.setattr(dotnet, "_USUAL", ())
    planted = plant(tmp_path / folder, "dotnet")
    planted.rename(planted.parent / dotnet._NAME)
    monkeypatch.chdir(tmp_path)
    assert dotnet.candidates({"PATH": "", variable: "."}) == []
    assert len(dotnet.candidates({"PATH": "", variable: str(tmp_path)})) == 1


@pytest.mark.parametrize("path", [".", "", "{before}"])
def test_doctor_starts_nothing_of_the_current_folder(tmp_path: Path, path: str) -> None:
    """With PATH leading there, too; pip.py is what `python -m pip` would run. (keyring itself looks for a gcc.)"""
    for name in NAMES:
        plant(tmp_path, name)
    (tmp_path / "pip.py").write_text("open('started-pip.py', 'w')")
    home = tmp_path / "home"
    home.mkdir()
    before = os.pathsep.join([".", os.environ["PATH"]])
    code = """
import os
path = os.environ.pop("PATH")
from keyring import backend
backend.get_all_keyring()
os.environ["PATH"] = path
from artifacts_keyring.cli.main import main
main(["doctor"])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={
            **({"SYSTEMROOT": os.environ["SYSTEMROOT"]} if WINDOWS else {}),
            "PATH": path.format(before=before),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)]),
            "PYTHONUTF8": "1",
            "HOME": str(home),
            "LOCALAPPDATA": str(home),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert "keyring on PATH" in done.stdout
    assert [mark.name for mark in tmp_path.glob("started-*")] == []
