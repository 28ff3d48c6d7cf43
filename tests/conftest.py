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
from collections.abc import Generator
from pathlib import Path
from typing import Callable, Optional, TypeVar

import hypothesis
import pytest
from credprovider import lockfile, targets
from credprovider.fetch import sources
from credprovider.lockfile import Pin
from credprovider.payload import tree

from tests.fakes import interpreters

_Report = TypeVar("_Report", pytest.TestReport, pytest.CollectReport)
hypothesis.settings.register_profile("quick", max_examples=10)  # where 100 is hypothesis' own
ROOT = Path(__file__).resolve().parent.parent
NATIVE = targets.resolve({}).target.key  # what a build without a word of the user is for
# pip trusts what the machine trusts, and so must uv where it installs from the same index.
os.environ.setdefault("UV_SYSTEM_CERTS", "true")
# A test may break what is installed, but nothing that uv keeps for others.
os.environ.setdefault("UV_LINK_MODE", "copy")
# The reasons for a skip that --no-skips accepts: no tool that could be installed would run the test there.
ACCEPTED_SKIPS = (
    "this machine runs arm64 programs through qemu's binfmt handler",
    "consoles are Windows' own",  # scripts/test.py --windows
)
CLIENT_ROW = "client"  # the property that a row of the table of clients is recorded under
# What nohup, or a shell in the background, ignores, all children would ignore: none could be interrupted by a test.
for _number, _action in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
    signal.signal(_number, _action)
if sys.platform != "win32":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def examples(all_of_them: int) -> int:
    """How many examples a property test gets: all of them, or a tenth under ``--hypothesis-profile=quick``."""
    return all_of_them * hypothesis.settings().max_examples // 100


def pytest_ignore_collect(collection_path: Path) -> Optional[bool]:
    """Leave out whole files that are marked for POSIX: elsewhere not even what they import is there."""
    if os.name == "posix" or collection_path.suffix != ".py":
        return None
    text = collection_path.read_text("utf-8")
    return True if re.search(r"^pytestmark = .*\bpytest\.mark\.posix\b", text, re.MULTILINE) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run; the markers' reasons stand in pyproject.toml."""
    here = {
        **dict.fromkeys(("posix", "slow"), os.name == "posix"),
        "provider": NATIVE in ("linux-x64", "win-x64"),
        "windows": not _is_wine(),
        "root": _is_root(),
    }
    reasons = dict(line.split(": ", 1) for line in config.getini("markers"))
    for item in items:
        for name in sorted(name for name, possible in here.items() if not possible and item.get_closest_marker(name)):
            item.add_marker(pytest.mark.skip(reason=f"{name}: {reasons[name]}"))


def _is_wine() -> bool:
    if sys.platform != "win32":
        return False
    import ctypes

    return hasattr(ctypes.windll.ntdll, "wine_get_version")


def _is_root() -> bool:
    return sys.platform == "linux" and os.geteuid() == 0 and Path("/etc/debian_version").is_file()


@pytest.fixture(scope="session")
def lock() -> Pin:
    """The committed pin."""
    return lockfile.load(ROOT / lockfile.LOCK_NAME)


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
            made[key] = tree.unpack(archive(key), lock.targets[key].tree, into)
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


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--no-skips``, for a machine that has all the tools."""
    parser.addoption("--no-skips", action="store_true", help="an error unless tests/conftest.py accepts the reason")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    return str(said).removeprefix("Skipped: ")


def _judge(report: _Report, config: pytest.Config) -> _Report:
    """A skip becomes a failure under ``--no-skips``, unless it is accepted."""
    if report.skipped and not hasattr(report, "wasxfail") and config.getoption("--no-skips"):
        reason = _reason(report)
        if reason not in ACCEPTED_SKIPS:
            report.outcome, report.longrepr = "failed", f"skipped: {reason}; tests/conftest.py accepts no such skip"
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _judge((yield), item.config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _judge((yield), collector.config)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What the run was worth: the table of the clients; under ``--no-skips`` the Pythons, and what was skipped."""
    _show_clients(terminalreporter)
    if config.getoption("--no-skips"):
        terminalreporter.section("Pythons")
        for version in interpreters.VERSIONS:
            terminalreporter.line(f"{version}: {interpreters.find(version)}")
        terminalreporter.section("accepted skips")
        for report in terminalreporter.stats.get("skipped", []):
            terminalreporter.line(f"{report.nodeid}: {_reason(report)}")


def _show_clients(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests of the clients recorded, one row each, whichever process ran them."""
    reports = [one for group in terminalreporter.stats.values() for one in group if getattr(one, "when", "") == "call"]
    rows = [dict(value) for one in reports for name, value in one.user_properties if name == CLIENT_ROW]
    if not rows:
        return
    lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    terminalreporter.section("clients")
    for line in lines:
        terminalreporter.line("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip())
