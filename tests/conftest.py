"""Session-wide fixtures: the real payloads and the real wheels, each made once.

Tests reach the payloads as builds do: through the sources of scripts/credprovider, into the
same cache. A fresh machine fetches each of them once from its package index.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Callable, Optional

import pytest
from credprovider import payload, pin, sources, targets
from credprovider.pin import Pin

ROOT = Path(__file__).resolve().parent.parent
NATIVE = targets.resolve({}).target.key  # what a build without a word of the user is for
# pip trusts what the machine trusts, and so must uv where it installs from the same index.
os.environ.setdefault("UV_SYSTEM_CERTS", "true")
CLIENT_ROW = "client"  # the property that a row of the table of clients is recorded under
# What nohup, or a shell in the background, ignores, all children would ignore: none could be interrupted by a test.
for _number, _action in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
    signal.signal(_number, _action)
if sys.platform != "win32":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_ignore_collect(collection_path: Path) -> Optional[bool]:
    """Leave out whole files that are marked for POSIX: elsewhere not even what they import is there."""
    if os.name == "posix" or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text("utf-8")
    return True if re.search(r"^pytestmark = .*\bpytest\.mark\.posix\b", text, re.MULTILINE) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run; the markers' reasons stand in pyproject.toml."""
    here = {"posix": os.name == "posix", "provider": NATIVE in ("linux-x64", "win-x64"), "root": _is_root()}
    reasons = dict(line.split(": ", 1) for line in config.getini("markers"))
    for item in items:
        for name in sorted(name for name, possible in here.items() if not possible and item.get_closest_marker(name)):
            item.add_marker(pytest.mark.skip(reason=f"{name}: {reasons[name]}"))


def _is_root() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0 and Path("/etc/debian_version").is_file()


@pytest.fixture(scope="session")
def lock() -> Pin:
    """The committed pin."""
    return pin.load(ROOT / pin.LOCK_NAME)


@pytest.fixture(scope="session")
def archive(lock: Pin) -> Callable[[str], sources.Archive]:
    """`archive(key)`: the verified archive of a target, from wherever this machine gets it."""
    made: dict[str, sources.Archive] = {}

    def obtain(key: str) -> sources.Archive:
        if key not in made:
            settings = sources.Settings.from_environ(os.environ)
            made[key] = sources.obtain(lock, lock.targets[key], settings, lambda _line: None)
        return made[key]

    return obtain


@pytest.fixture(scope="session")
def payload_tree(
    lock: Pin, archive: Callable[[str], sources.Archive], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """`payload_tree(key)`: the folder with the verified payload of a target. Not to be written to."""
    made: dict[str, Path] = {}

    def unpack(key: str) -> Path:
        if key not in made:
            into = tmp_path_factory.mktemp("payload") / key
            made[key] = payload.unpack(archive(key), lock.targets[key].tree, into)
        return made[key]

    return unpack


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`wheel(key)`: the wheel of a target, built from this tree by the real hook."""
    made: dict[str, Path] = {}

    def build(key: str = NATIVE) -> Path:
        if key not in made:
            shape = "NON_SC" if key == "any" else "RID"
            value = "true" if key == "any" else key
            made[key] = hatchling_build(
                "wheel", tmp_path_factory.mktemp("wheel"), {f"ARTIFACTS_CREDENTIAL_PROVIDER_{shape}": value}
            )
        return made[key]

    return build


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, built from this tree by the real hook."""
    return hatchling_build("sdist", tmp_path_factory.mktemp("sdist"), {})


def hatchling_build(target: str, into: Path, environ: dict[str, str], tree: Path = ROOT) -> Path:
    """Build `target` (``wheel`` or ``sdist``) of `tree` with this interpreter's hatchling."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(into)]
    done = subprocess.run(command, cwd=tree, env={**os.environ, **environ}, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"the build of a {target} failed with {done.returncode}:\n{done.stdout}{done.stderr}")
    (built,) = into.iterdir()
    return built


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the tests of the clients recorded, one row each, whichever process ran them."""
    reports = [one for group in terminalreporter.stats.values() for one in group if getattr(one, "when", "") == "call"]
    rows = [dict(value) for one in reports for name, value in one.user_properties if name == CLIENT_ROW]
    if not rows:
        return
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    terminalreporter.section("clients")
    for line in lines:
        terminalreporter.line("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip())
