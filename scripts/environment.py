"""Makes every command of this folder run from nothing but Python and git.

A command calls `ensure()` first. Where the modules it needs are missing, the project's own
virtual environment `.venv` is made (or brought up to date) and the command starts again in it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".venv"
OLDEST = (3, 10)

# The commands share a module or two with the runtime, which is not installed where they run.
sys.path.insert(1, str(ROOT))


def ensure(*modules: str) -> None:
    """Return when all `modules` can be imported here; else start this command again in `.venv`."""
    name = Path(sys.argv[0]).name
    if sys.version_info < OLDEST:
        seen = sys.version.split()[0]
        raise SystemExit(f"{name}: this is Python {seen}; the commands need 3.10 or newer; start it with such a one")
    if all(find_spec(module) for module in modules):
        return
    if Path(sys.prefix).resolve() == HOME.resolve() and _is_current():
        missing = ", ".join(module for module in modules if not find_spec(module))
        raise SystemExit(f"{name}: .venv lacks {missing} though it is up to date; remove .venv and run this again")
    prepare()
    restart([str(python()), *sys.argv])


def python() -> Path:
    """The interpreter of the virtual environment."""
    return HOME / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def prepare() -> None:
    """Make `.venv` with the dependency group ``dev``; again when requirements or interpreter changed."""
    if _is_current():
        return
    print("setting up .venv (once; again when pyproject.toml changes)", file=sys.stderr)
    venv.create(HOME, clear=True, with_pip=True)
    pip = [str(python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        # Dependency groups came with pip 25.1.
        subprocess.run([*pip, "--upgrade", "pip>=25.1"], check=True, cwd=ROOT)
        subprocess.run([*pip, "--group", "dev"], check=True, cwd=ROOT)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"setting up .venv failed with {error.returncode}; see pip above, then run it again") from None
    _stamp().write_text(_wanted())


def restart(command: list[str]) -> NoReturn:
    """Replace this process by `command`; on Windows, where exec does not wait, run it and pass on its exit code."""
    if os.name == "nt":
        raise SystemExit(subprocess.run(command, check=False).returncode)
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


def _is_current() -> bool:
    return _stamp().is_file() and _stamp().read_text() == _wanted()


def _stamp() -> Path:
    return HOME / "requirements.sha256"


def _wanted() -> str:
    base = f"{sys.base_prefix} {sys.version}".encode()
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + base).hexdigest()
