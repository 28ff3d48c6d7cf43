"""Build, audit and test this machine's wheels with cibuildwheel: `python scripts/native.py [its options]`.

What [tool.cibuildwheel] in pyproject.toml says, on this machine's own platform and architectures.
"""

from __future__ import annotations

import os
import subprocess
import sys

import environment

# What .venv's tools are held to is not for the environments that cibuildwheel makes with its own.
OURS = "PIP_CONSTRAINT"


def main() -> int:
    """cibuildwheel's exit code."""
    environment.ensure("cibuildwheel")
    command = [sys.executable, "-m", "cibuildwheel", *sys.argv[1:]]
    environ = {name: value for name, value in os.environ.items() if name != OURS}
    return subprocess.run(command, cwd=environment.ROOT, env=environ, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
