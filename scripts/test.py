"""Run all tests from nothing: `python scripts/test.py`, or some: `python scripts/test.py [pytest arguments]`.

With `--windows` before the arguments, on a Windows Python under wine (scripts/credprovider/verify/windows.py).
Options alone, such as ``--no-skips`` (a skip is an error), are options for all tests.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING

import environment

if TYPE_CHECKING:
    from credprovider.verify import windows

# All of them take twice as long in one process. Each file stays in one, and with it the wheels that its tests share;
# every process makes its own, so that many would only be in each other's way.
ALL = ("--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile")
SOME = ("--hypothesis-profile=quick",)  # the inner loop: a tenth of the examples

# Otherwise Windows reads and writes the code page of its user.
UTF8 = {"PYTHONUTF8": "1"} if os.name == "nt" else {}
# What takes longer there is ended.
WINDOWS_SECONDS = 1500.0
_TESTS_FAILED, _OUT_OF_TIME = 1, 124  # pytest's code, and that of coreutils' timeout


def main() -> int:
    """pytest's exit code."""
    environment.ensure("pytest", "xdist", "hypothesis", "trustme", "lief", "mypy", "uv")
    windows = sys.argv[1:2] == ["--windows"]
    given = sys.argv[2:] if windows else sys.argv[1:]
    arguments = [*(ALL if all(word.startswith("-") for word in given) else SOME), *given]
    if windows:
        return on_windows(arguments)
    if "--help" in given:
        print(__doc__, flush=True)  # pytest's own says nothing of ours
    pytest = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(pytest, cwd=environment.ROOT, env={**os.environ, **UTF8}, check=False).returncode


def on_windows(arguments: list[str]) -> int:
    """pytest's exit code on a Windows Python, whose pip installs from what was downloaded here.

    wine 8 fails by chance: a program does not start, or wineserver aborts. What failed is run once more on a fresh
    Windows: all tests if wineserver ended before they did, else those that failed.
    """
    from credprovider import lockfile
    from credprovider.build import reproducible
    from credprovider.fetch import sources

    lock = lockfile.load(environment.ROOT / lockfile.LOCK_NAME)
    for target in lock.targets.values():
        sources.obtain(lock, target, sources.Settings.from_environ(os.environ), print)
    with tempfile.TemporaryDirectory(prefix="windows-") as name:
        # Without git, which is not there; and nothing is written into the tree from there.
        tree = reproducible.copy_tree(environment.ROOT, Path(name, "tree"))
        code = _once_on_windows(arguments, tree, Path(name, "first"))
        if code in (None, _TESTS_FAILED):
            print("test.py: once more on a fresh Windows", flush=True)
            code = _once_on_windows([*arguments, "--last-failed"], tree, Path(name, "second"))
    return _TESTS_FAILED if code is None else code


def _once_on_windows(arguments: list[str], tree: Path, scratch: Path) -> int | None:
    """pytest's exit code; None if wineserver ended before it."""
    from credprovider.fetch import cache
    from credprovider.verify import windows

    with windows.machine(scratch, print) as system:
        temp = scratch / "temp"
        temp.mkdir()
        environ = {
            **dict.fromkeys(("TEMP", "TMP"), windows.path(temp)),
            cache.CACHE_VARIABLE: windows.path(cache.locate(os.environ).root),
            "CI": "true",
            "PYTHONUTF8": "1",
            "PYTHONUNBUFFERED": "1",
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": windows.path(system.wheels),
            "UV_OFFLINE": "1",
            "WINEPATH": rf"{windows.HOME};{windows.HOME}\Lib\site-packages\bin",  # uv.exe lies there
        }
        words = ["python.exe", "-m", "pytest", *arguments]
        with system.start(words, environ, tree, subprocess.STDOUT) as process:
            # Not until the end of its output: what a test has left there may hold that open for minutes.
            reader = threading.Thread(target=_show, args=(process.stdout,))
            reader.start()
            try:
                return _wait(process, system)
            finally:
                system.stop()  # nothing there hears of an interrupt
                reader.join()


def _wait(process: subprocess.Popen[bytes], system: windows.Windows) -> int | None:
    until = time.monotonic() + WINDOWS_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = process.wait(5)
            # A program that loses its wineserver may end with any code; a wineserver outlives its last program.
            return code if system.alive() else None
        if not system.alive():
            return None
    print(f"test.py: the tests on Windows were ended after {WINDOWS_SECONDS:.0f} s", file=sys.stderr)
    return _OUT_OF_TIME


def _show(output: IO[bytes]) -> None:
    for line in output:
        sys.stdout.buffer.write(line.replace(b"\r\n", b"\n"))
        sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
