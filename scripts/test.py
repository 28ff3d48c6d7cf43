"""Run all tests from nothing: `python scripts/test.py`, or some: `python scripts/test.py [pytest arguments]`."""

from __future__ import annotations

import subprocess
import sys

import environment

# All of them take twice as long in one process. Each file stays in one, and with it the wheels that its tests share;
# every process makes its own, so that many would only be in each other's way.
ALL = ("--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile")


def main() -> int:
    """pytest's exit code."""
    environment.ensure("pytest", "xdist", "hypothesis", "trustme", "lief", "mypy")
    pytest = [sys.executable, "-m", "pytest", *(sys.argv[1:] or ALL)]
    return subprocess.run(pytest, cwd=environment.ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
