"""Measure this package beside its predecessor, a pure-Python relative and a bare keyring: `python benchmarks/run.py`.

Builds our release wheel, installs each contestant from the user's package index into an environment of
its own, and asks them in turn, against the tests' loopback Azure DevOps whose caches the real provider
has filled. Prints tables and goals, writes results.json and the charts beside this file. Linux only.
Medians and ratios within one run are what counts; absolute times are this machine's.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Optional

HERE = Path(__file__).resolve().parent
# In place of this folder: its modules are imported by their full names.
sys.path[0] = str(HERE.parent)
sys.path.insert(0, str(HERE.parent / "scripts"))

import environment  # noqa: E402 - its folder is put on sys.path above

_QUIET = 0.5  # load average above which a warning is due

if TYPE_CHECKING:
    from benchmarks.contestants import Contestant
    from benchmarks.results import Build, LookUp, Release, Results


def main() -> int:
    """0, or 1 when something could not be measured; a goal that is not met is no failure."""
    options = _options()
    environment.ensure("hatchling", "httpx", "truststore", "packaging", "deflate", "trustme", "pip", "matplotlib")
    from credprovider.errors import BuildError

    from benchmarks import charts, tables
    from benchmarks.results import BenchmarkError, load, render

    try:
        results = load(options.into / "results.json") if options.from_json else _measure(options)
    except (BenchmarkError, BuildError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    for line in tables.lines(results):
        print(line)
    if not options.from_json:
        options.into.mkdir(parents=True, exist_ok=True)
        (options.into / "results.json").write_text(render(results), encoding="utf-8")
    charts.write(results, options.into / "charts")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9, help="of each contestant in each case (default: 9)")
    parser.add_argument("--release", action="store_true", help="fetch what a whole release needs, if it is not at hand")
    parser.add_argument("--no-release", action="store_true", help="leave the whole release out, even if it is at hand")
    parser.add_argument("--before", metavar="COMMIT", help="measure this commit of the project, too")
    parser.add_argument("--from-json", action="store_true", help="measure nothing: print and draw results.json again")
    parser.add_argument("--into", type=Path, default=HERE, help="folder of results.json and charts/")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error(f"--runs {options.runs} is no number of runs; valid: 1 or more")
    if not options.from_json and sys.platform != "linux":
        parser.error(f"this is {sys.platform}; memory and traffic are measured on Linux only; valid here: --from-json")
    return options


def _measure(options: argparse.Namespace) -> Results:
    from benchmarks import contestants, measuring, releases, sizes
    from benchmarks.results import Results

    _warn_when_busy()
    with tempfile.TemporaryDirectory(prefix="artifacts-keyring-bench-") as name:
        scratch, machine = Path(name), _machine()
        predecessor = sizes.predecessor_release()  # first, because it is what a network can refuse
        release, build = _release(options)
        _say("wheel and environments")
        wheel = releases.native_wheel(environment.ROOT, scratch / "dist")
        before = contestants.build(options.before, environment.ROOT, scratch / "before") if options.before else None
        everyone = contestants.install_all(wheel, scratch, before)
        _say("sizes and installs")
        found = tuple(sizes.wheels(everyone, scratch, max(1, options.runs // 3)))
        _say("imports")
        imports = tuple(measuring.imports(everyone, options.runs))
        return Results(
            date=datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat(),
            runs=options.runs,
            machine=machine,
            versions={name: one.versions() for name, one in everyone.items()},
            lookups=_look_ups(everyone, scratch / "home", options.runs),
            imports=imports,
            sizes=found,
            releases=(*([release] if release else []), predecessor),
            build=build,
        )


def _release(options: argparse.Namespace) -> tuple[Optional[Release], Optional[Build]]:
    """First of all, while no child of this process has used much memory."""
    from benchmarks import releases

    if options.no_release or not (options.release or releases.at_hand(environment.ROOT)):
        _say("no release: left out, or its archives are not at hand (--release fetches them)")
        return None, None
    _say("a whole release")
    with tempfile.TemporaryDirectory(prefix="release-") as name:
        return releases.measure(environment.ROOT, Path(name), max(1, options.runs // 4))


def _look_ups(everyone: dict[str, Contestant], home: Path, runs: int) -> tuple[LookUp, ...]:
    from benchmarks import measuring
    from benchmarks.results import OURS
    from benchmarks.stage import Stage

    _say("look-ups")
    with Stage(everyone[OURS].site / "artifacts_keyring" / "bin", home) as stage:
        return tuple(measuring.look_ups(stage, everyone, runs))


def _machine() -> dict[str, str]:
    return {
        "CPUs": str(os.cpu_count()),
        "machine": platform.machine(),
        "system": platform.system(),
        "Python": platform.python_version(),
        "load at the start": f"{os.getloadavg()[0]:.1f}",
    }


def _warn_when_busy() -> None:
    load = os.getloadavg()[0]
    if load > _QUIET:
        _say(f"the load is {load:.1f}: times will tell more about others at work here than about the contestants")


def _say(line: str) -> None:
    print(f"run.py: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
