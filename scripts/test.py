"""Run all tests from nothing: `python scripts/test.py`, or some: `python scripts/test.py [pytest arguments]`.

With `--windows` before the arguments, on a Windows Python under wine (scripts/credprovider/verify/windows.py).
Options alone, such as ``--no-skips`` (a skip is an error), are options for all tests.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO

import environment

# All of them take twice as long in one process. Each file stays in one, and with it the wheels that its tests share;
# every process makes its own, so that many would only be in each other's way.
ALL = ("--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile")


# Otherwise Windows reads and writes the code page of its user.
UTF8 = {"PYTHONUTF8": "1"} if os.name == "nt" else {}
# What takes longer there is ended.
WINDOWS_SECONDS = 1500.0


def main() -> int:
    """pytest's exit code."""
    environment.ensure("pytest", "xdist", "hypothesis", "trustme", "lief", "mypy", "uv")
    windows = sys.argv[1:2] == ["--windows"]
    given = sys.argv[2:] if windows else sys.argv[1:]
    arguments = [*ALL, *given] if all(word.startswith("-") for word in given) else given
    if windows:
        return on_windows(arguments)
    if "--help" in given:
        print(__doc__, flush=True)  # pytest's own says nothing of ours
    pytest = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(pytest, cwd=environment.ROOT, env={**os.environ, **UTF8}, check=False).returncode


def on_windows(arguments: list[str]) -> int:
    """pytest's exit code on a Windows Python, whose pip installs from what was downloaded here."""
    from credprovider import lockfile
    from credprovider.build import reproducible
    from credprovider.fetch import cache, sources
    from credprovider.verify import windows

    lock = lockfile.load(environment.ROOT / lockfile.LOCK_NAME)
    for target in lock.targets.values():
        sources.obtain(lock, target, sources.Settings.from_environ(os.environ), print)
    with tempfile.TemporaryDirectory(prefix="windows-") as name, windows.machine(Path(name), print) as system:
        # Without git, which is not there; and nothing is written into the tree from there.
        tree = reproducible.copy_tree(environment.ROOT, Path(name, "tree"))
        (Path(name) / "temp").mkdir()
        environ = {
            **dict.fromkeys(("TEMP", "TMP"), windows.path(Path(name, "temp"))),
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
                return process.wait(WINDOWS_SECONDS)
            except subprocess.TimeoutExpired:
                print(f"test.py: the tests on Windows were ended after {WINDOWS_SECONDS:.0f} s", file=sys.stderr)
                return 1
            finally:
                system.stop()  # nothing there hears of an interrupt
                reader.join()


def _show(output: IO[bytes]) -> None:
    for line in output:
        sys.stdout.buffer.write(line.replace(b"\r\n", b"\n"))
        sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
