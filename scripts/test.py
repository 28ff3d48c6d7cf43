"""Run all tests from nothing: `python scripts/test.py [pytest arguments]`.

Makes a virtual environment in `.venv`, installs the project's test group into it and runs
pytest. Needs a Python 3.10 or newer with venv, and an index that pip can reach.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv"


def python() -> Path:
    """The interpreter of the virtual environment."""
    return HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def prepare(group: str) -> None:
    """Make the environment, or make it again when the requirements or the interpreter changed."""
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + sys.version.encode() + group.encode()).hexdigest()
    stamp = HOME / "requirements.sha256"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    venv.create(HOME, clear=True, with_pip=True)
    pip = [str(python()), "-m", "pip", "install", "--quiet"]
    # Dependency groups came with pip 25.1.
    subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True, cwd=ROOT)
    subprocess.run([*pip, "--group", group], check=True, cwd=ROOT)
    stamp.write_text(wanted)


def main() -> int:
    if sys.version_info < (3, 10):
        print(f"test.py: Python 3.10 or newer runs the tests, this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    try:
        prepare("dev")
    except subprocess.CalledProcessError as error:
        print(f"test.py: {error}; see what pip said above, then run it again", file=sys.stderr)
        return 1
    return subprocess.run([str(python()), "-m", "pytest", *sys.argv[1:]], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
