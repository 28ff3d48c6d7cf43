"""Run all tests from nothing: `python scripts/test.py [pytest arguments]`."""

from __future__ import annotations

import subprocess
import sys

import environment


def main() -> int:
    """pytest's exit code."""
    environment.ensure("pytest", "hypothesis", "trustme", "lief", "mypy")
    return subprocess.run([sys.executable, "-m", "pytest", *sys.argv[1:]], cwd=environment.ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
