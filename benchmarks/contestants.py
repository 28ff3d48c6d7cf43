"""Who is measured: each in a virtual environment of its own, as its users have it."""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Optional

from benchmarks.results import BARE, BEFORE, NOFUSS, OURS, PREDECESSOR, BenchmarkError

PREDECESSOR_REQUIREMENT = "artifacts-keyring==2.0.0rc5"
NOFUSS_REQUIREMENT = "artifacts-keyring-nofuss"
_MINUTES = 10 * 60


@dataclass(frozen=True)
class Contestant:
    """An environment with keyring in it, and the wheel of the backend; None: there is no backend."""

    name: str
    folder: Path
    wheel: Optional[Path]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def keyring(self) -> Path:
        """Its keyring command."""
        return self.folder / "bin" / "keyring"

    @property
    def site(self) -> Path:
        """Its site-packages."""
        (site,) = (self.folder / "lib").glob("python*/site-packages")
        return site

    def versions(self) -> dict[str, str]:
        """Everything installed in it."""
        found = {each.metadata["Name"]: each.version for each in distributions(path=[str(self.site)])}
        return dict(sorted(found.items()))


def install_all(ours: Path, into: Path, before: Optional[Path] = None) -> dict[str, Contestant]:
    """All contestants; `ours` is our wheel, `before` one of an earlier commit, the others come from the user's index.

    Raises BenchmarkError.
    """
    wheels = {
        OURS: ours,
        PREDECESSOR: _download(PREDECESSOR_REQUIREMENT, into / "wheels" / PREDECESSOR),
        NOFUSS: _download(NOFUSS_REQUIREMENT, into / "wheels" / NOFUSS),
        **({BEFORE: before} if before else {}),
        BARE: None,
    }
    return {name: _installed(name, wheel, into) for name, wheel in wheels.items()}


def build(revision: str, root: Path, into: Path) -> Path:
    """This platform's wheel of another commit of the repository `root`. Raises BenchmarkError."""
    tree = into / "tree"
    tree.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", revision], cwd=root, capture_output=True, check=False)
    if archive.returncode:
        raise BenchmarkError(f"{revision} is no commit of this repository: name one with --before")
    subprocess.run(["tar", "-x", "-C", str(tree)], input=archive.stdout, check=True)
    _pip(["wheel", "--no-deps", "--wheel-dir", str(into / "dist"), str(tree)])
    (wheel,) = (into / "dist").iterdir()
    return wheel


def install_file(wheel: Path, prefix: Path) -> None:
    """Install the file alone, without an index, below the new folder `prefix`. Raises BenchmarkError."""
    _pip(["install", "--no-index", "--no-deps", "--ignore-installed", "--prefix", str(prefix), str(wheel)])


def _installed(name: str, wheel: Optional[Path], into: Path) -> Contestant:
    folder = into / name.replace(" ", "-")
    # Without pip: no keyring has to look through more distributions than its own.
    venv.create(folder, with_pip=False, symlinks=True)
    made = Contestant(name, folder, wheel)
    _pip(["install", str(wheel) if wheel else "keyring"], ["--python", str(made.python)])
    return made


def _download(requirement: str, into: Path) -> Path:
    _pip(["download", "--no-deps", "--only-binary", ":all:", "--dest", str(into), requirement])
    (wheel,) = into.iterdir()
    return wheel


def _pip(arguments: Sequence[str], options: Sequence[str] = (), environ: Optional[Mapping[str, str]] = None) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *options, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_MINUTES, env=environ)
    if done.returncode:
        words = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        what = " ".join(arguments[:1])
        raise BenchmarkError(f"pip {what} failed with {done.returncode} ({words[0]}): check the package index of pip")
