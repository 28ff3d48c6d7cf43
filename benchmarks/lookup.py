"""What a look-up costs, side by side with the predecessor: `python benchmarks/lookup.py`.

Builds our wheel, installs it, the predecessor and its pure-Python relative from the package index into
environments of their own, and asks each through the `keyring` command against the tests' loopback
Azure DevOps, whose caches the real provider has filled. Medians and ratios within one run; absolute
times are this machine's alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Optional

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))

import environment  # noqa: E402 - its folder is put on sys.path above

PEERS = {"predecessor": ["artifacts-keyring==2.0.0rc5"], "nofuss": ["artifacts-keyring-nofuss"], "bare": ["keyring"]}
FOREIGN = "https://example.invalid/simple/"
DECLARING = "ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS"
USER = "VssSessionToken"


class Case(NamedTuple):
    """A question: its name, the service, the variables it is asked with, seconds of latency per request."""

    name: str
    service: str
    environ: dict[str, str]
    latency: float = 0.0


def main() -> int:
    """Print the table; with ``--json FILE``, write it too."""
    environment.ensure("hatchling", "trustme", "keyring", "httpx", "platformdirs")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        rows = measure(Path(name), options.runs)
    _print(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def measure(scratch: Path, runs: int) -> list[dict[str, object]]:
    """One row per case and contestant: median seconds, ratio to bare keyring, requests, connections."""
    from tests.azure import AzureWorld

    wheel = _wheel(scratch)
    programs = {"ours": _install(scratch / "ours", [str(wheel)])}
    programs |= {name: _install(scratch / name, what) for name, what in PEERS.items()}
    (tree,) = (scratch / "ours").glob("lib/*/site-packages/artifacts_keyring/bin")
    rows: list[dict[str, object]] = []
    with AzureWorld() as world:
        feed = world.feed("org", "feed")
        home = scratch / "home"
        world.login(feed, tree, home)
        plain = world.environ(home)
        entry = {"endpoint": feed.url, "username": USER, "password": world.token("org")}
        declared = {
            "ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS": json.dumps({"endpointCredentials": [entry]})
        }
        cases = [
            Case("foreign", FOREIGN, plain),
            Case("declared", feed.url, {**plain, **declared}),
            Case("cached", feed.url, plain),
            Case("cached, 50 ms", feed.url, plain, 0.05),
        ]
        for case in cases:
            world.latency = case.latency
            rows += _contest(case, programs, world, runs)
        rows.append(_bare_provider(feed.url, tree, plain, runs))
    return rows


def _contest(case: Case, programs: dict[str, Path], world: object, runs: int) -> list[dict[str, object]]:
    times: dict[str, list[float]] = {name: [] for name in programs}
    traffic: dict[str, tuple[int, int]] = {}
    for _ in range(runs + 1):  # the first round warms the file cache and is thrown away
        for name, keyring in programs.items():
            world.forget()  # type: ignore[attr-defined]
            times[name].append(_ask(keyring, case))
            traffic[name] = (len(world.requests), world.connections)  # type: ignore[attr-defined]
    medians = {name: statistics.median(seconds[1:]) for name, seconds in times.items()}
    return [_row(case.name, name, median, medians["bare"], *traffic[name]) for name, median in medians.items()]


def _row(
    case: str, who: str, median: float, bare: float, requests: Optional[int] = None, connections: Optional[int] = None
) -> dict[str, object]:
    return {
        "case": case,
        "who": who,
        "seconds": round(median, 3),
        "to_bare_keyring": round(median / bare, 2),
        "requests": requests,
        "connections": connections,
    }


def _bare_provider(url: str, tree: Path, environ: dict[str, str], runs: int) -> dict[str, object]:
    from tests.azure import look_up

    seconds = [_seconds(lambda: look_up(url, tree, environ)) for _ in range(runs)]
    median = statistics.median(seconds)
    return _row("cached", "provider alone", median, median)


def _ask(keyring: Path, case: Case) -> float:
    command = [str(keyring), "get", case.service, USER]
    return _seconds(lambda: subprocess.run(command, env=case.environ, capture_output=True, check=False, timeout=120))


def _seconds(work: object) -> float:
    started = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - started


def _wheel(scratch: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(scratch / "dist")]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = (scratch / "dist").iterdir()
    return wheel


def _install(home: Path, what: Sequence[str]) -> Path:
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    subprocess.run([str(home / "bin" / "python"), "-m", "pip", "install", "-q", *what], check=True)
    return home / "bin" / "keyring"


def _print(rows: Sequence[dict[str, object]]) -> None:
    for row in rows:
        print("  ".join(str(value).ljust(16) for value in row.values()))


if __name__ == "__main__":
    raise SystemExit(main())
