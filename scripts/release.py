"""Cut a release: `python scripts/release.py`, a dry run; `--no-dry-run` when it is meant.

Looks whether this commit may be released, builds everything twice, checks and runs it, and prints
the commands that tag it. It tags and uploads nothing: release.yml does, when the tag is pushed, and
runs the parts of this command one by one:

  state                   may this commit be released?
  compare DIST OTHERS     are the release's files what other machines built?
  papers DIST PAPERS      write SHA256SUMS and NOTES.md, and both into the run's summary
  announce DIST PAPERS    make the release page with gh
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import environment

if TYPE_CHECKING:
    from credprovider.maintain.preflight import State

SCRIPTS = Path(__file__).resolve().parent
BUILD = ("--smallest", "--check-reproducible")
# What a release has to go through, and how the lines of it begin that say nothing a maintainer must act on.
QUIET = {"build.py": ("= ",), "check.py": ("  ✓ ", "  · ", "  ok ", "  - "), "smoke.py": ()}
PARTS = {"all": 0, "state": 0, "compare": 2, "papers": 2, "announce": 2}


def main() -> int:
    """0 when the part that was asked for went well, else 1."""
    environment.ensure("packaging", "httpx", "pip", "lief", "deflate")
    from credprovider.errors import BuildError

    options = _options()
    try:
        return _run(options)
    except BuildError as error:
        print(f"release.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("release.py: interrupted; nothing was tagged or uploaded", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    from credprovider.maintain import preflight, publish

    state = preflight.gather(environment.ROOT, os.environ)
    built, other = (*options.folders, Path(), Path())[:2]
    if options.part == "compare":
        publish.compare(built, other, _say)
    elif options.part == "papers":
        for path in publish.papers(built, other, state, os.environ):
            _say(f"written: {path}")
    elif options.part == "announce":
        return _announce(publish.announcement(built, other, state), options.dry_run)
    elif options.part == "state":
        _judge(state, options.dry_run)
    else:
        _release(state, options)
    return 0


def _judge(state: State, dry_run: bool) -> tuple[str, ...]:
    """Say what stands against a release, and return it. Raises RefusedError if that is much, unless in a dry run."""
    from credprovider.errors import RefusedError
    from credprovider.maintain import preflight

    found = preflight.objections(state)
    for line in found:
        _say(f"! {line}")
    if found and not dry_run:
        raise RefusedError(f"{state.commit[:12]} may not be released: fix the {len(found)} above, then start again")
    _say(f"{state.version} at {state.commit[:12]}: {'not ready' if found else 'nothing stands against a release'}")
    return found


def _release(state: State, options: argparse.Namespace) -> None:
    from credprovider.errors import RefusedError
    from credprovider.maintain import publish

    against = _judge(state, options.dry_run)
    if strange := publish.foreign(options.outdir, state.version):
        raise RefusedError(
            f"{options.outdir} holds {', '.join(strange)}, no file of {state.version}; "
            "empty it, or choose another folder with --outdir"
        )
    _build_and_prove(options.outdir, options.verbose, strict=options.strict)
    _conclude(state, against, options.dry_run)


def _conclude(state: State, against: Sequence[str], dry_run: bool) -> None:
    from credprovider.maintain import preflight

    _say(f"\n== {state.version} is built, checked and run{', but may not be released' if against else ''}")
    for line in against:
        _say(f"! {line}")
    # A command that tags a commit which may not be released is not there to be copied.
    commit = "COMMIT" if against else state.commit
    _say("once nothing stands against it, these release it:" if against else "to release it:")
    for command in preflight.tag_commands(state, commit):
        _say(f"  {command}")
    if dry_run:
        _say("this was a dry run: nothing was tagged or uploaded; with --no-dry-run it stops at what stands against it")


def _build_and_prove(into: Path, verbose: bool, *, strict: bool) -> None:
    from credprovider.maintain import publish

    _pass("build, and build again differently", verbose, "build.py", *BUILD, "--outdir", str(into))
    built = [str(path) for path in publish.files(into)]
    _pass("check what each file claims", verbose, "check.py", *built)
    _pass("run what can run here", verbose, "smoke.py", *(["--strict"] if strict else []), *built)


def _pass(title: str, verbose: bool, script: str, *arguments: str) -> None:
    """Run a command of this folder and show what it says; raises StepError unless it ends with 0."""
    from credprovider.errors import StepError

    _say(f"\n== {title}")
    encoding = sys.stdout.encoding or "utf-8"
    environ = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, str(SCRIPTS / script), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, encoding=encoding, errors="replace") as run:
        for line in run.stdout or ():
            if verbose or not line.startswith(QUIET[script]):
                _say(line.rstrip("\n"))
    if run.returncode:
        how = "failed" if run.returncode > 0 else f"was ended by signal {-run.returncode}"
        raise StepError(f"{script} {how}; fix what it says above, then start again")


def _announce(command: list[str], dry_run: bool) -> int:
    _say(shlex.join(command))
    return 0 if dry_run else subprocess.run(command, check=False).returncode


def _say(line: str) -> None:
    print(line, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", default="all", choices=PARTS, help="one part; default: the whole")
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="what the part works on, see above")
    parser.add_argument(
        "--dry-run",
        action=argparse.BooleanOptionalAction,
        default=os.environ.get("RELEASE_DRY_RUN", "true") != "false",
        help="say what stands against a release and go on (the default); RELEASE_DRY_RUN=false is --no-dry-run",
    )
    parser.add_argument(
        "--strict", action="store_true", help="stop where a tool is missing to run a file that can run here"
    )
    parser.add_argument("--verbose", action="store_true", help="show every rule that a file keeps, every equal digest")
    parser.add_argument("--outdir", type=Path, default=Path("dist"), help="output folder (default: dist)")
    options = parser.parse_args()
    if len(options.folders) != PARTS[options.part]:
        parser.error(f"{options.part} takes {PARTS[options.part]} folders, {len(options.folders)} are named")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
