"""Build, audit and test this machine's wheels with cibuildwheel: `python scripts/native.py [its options]`.

What [tool.cibuildwheel] in pyproject.toml says, on this machine's own platform and architectures.
"""

from __future__ import annotations

import subprocess
import sys

import environment


def main() -> int:
    """cibuildwheel's exit code."""
    environment.ensure("cibuildwheel")
    command = [sys.executable, "-m", "cibuildwheel", *sys.argv[1:]]
    return subprocess.run(command, cwd=environment.ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
