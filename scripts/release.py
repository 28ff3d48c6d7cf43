"""Cut a release: `python scripts/release.py`, a dry run; `--no-dry-run` when it is meant.

Looks whether this commit may be released, builds everything twice, checks and runs it, compares its
size with the last release's, and prints the commands that tag it. It tags and uploads nothing:
release.yml does, when the tag is pushed, and runs the parts of this command one by one:

  state                   may this commit be released?
  compare DIST NATIVE     are the release's wheels what the native runners built?
  papers DIST PAPERS      write SHA256SUMS and NOTES.md, and both into the run's summary
  announce DIST PAPERS    make the release page with gh
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import environment

if TYPE_CHECKING:
    from credprovider.releasing import State

SCRIPTS = Path(__file__).resolve().parent
BUILD = ("--smallest", "--check-reproducible")
PARTS = {"all": 0, "state": 0, "compare": 2, "papers": 2, "announce": 2}


def main() -> int:
    """0 when the part that was asked for went well, else the exit code of what stopped it."""
    environment.ensure("packaging", "httpx", "platformdirs", "pip", "lief", "deflate")
    from credprovider.errors import BuildError

    options = _options()
    try:
        return _run(options)
    except BuildError as error:
        print(f"release.py: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("release.py: interrupted; nothing was tagged or uploaded", file=sys.stderr)
        return 130


def _run(options: argparse.Namespace) -> int:
    from credprovider import handover, releasing

    state = releasing.gather(environment.ROOT, os.environ)
    built, other = (*options.folders, Path(), Path())[:2]
    if options.part == "compare":
        handover.compare(built, other, _say)
    elif options.part == "papers":
        for path in handover.papers(built, other, state, os.environ):
            _say(f"written: {path}")
    elif options.part == "announce":
        return _announce(handover.announcement(built, other, state), options.dry_run)
    elif options.part == "state":
        _judge(state, options.dry_run)
    else:
        _release(state, options)
    return 0


def _judge(state: State, dry_run: bool) -> bool:
    """Say what stands against a release; True if nothing does. Raises RefusedError unless it is a dry run."""
    from credprovider import releasing
    from credprovider.errors import RefusedError

    found = releasing.objections(state)
    for line in found:
        _say(f"! {line}")
    if found and not dry_run:
        raise RefusedError(f"{state.commit[:12]} may not be released: see the {len(found)} reasons above")
    _say(f"{state.version} at {state.commit[:12]}: {'not ready' if found else 'nothing stands against a release'}")
    return not found


def _release(state: State, options: argparse.Namespace) -> None:
    from credprovider import handover, releasing
    from credprovider.errors import RefusedError

    ready = _judge(state, options.dry_run)
    if strange := handover.foreign(options.outdir, state.version):
        raise RefusedError(
            f"{options.outdir} holds {', '.join(strange)}, no file of {state.version}; "
            "empty it, or choose another folder with --outdir"
        )
    _build_and_prove(options.outdir)
    _sizes(state, options)
    _say(f"\n{state.version} is built, checked and run; to release it:" if ready else "\ndry run; once it is ready:")
    for command in releasing.tag_commands(state):
        _say(f"  {command}")
    if options.dry_run:
        _say("this was a dry run; run it with --no-dry-run on the commit to be released")


def _build_and_prove(into: Path) -> None:
    from credprovider import handover

    _pass("build, and build again differently", "build.py", *BUILD, "--outdir", str(into))
    built = [str(path) for path in handover.files(into)]
    _pass("check what each file claims", "check.py", *built)
    _pass("run what can run here", "smoke.py", *(name for name in built if name.endswith(".whl")))


def _pass(title: str, script: str, *arguments: str) -> None:
    """Run a command of this folder; raises StepError unless it ends with 0."""
    from credprovider.errors import StepError

    _say(f"\n== {title}")
    code = subprocess.run([sys.executable, str(SCRIPTS / script), *arguments], check=False).returncode
    if code:
        raise StepError(f"{script} ended with {code}; mend what it says above, then start again")


def _sizes(state: State, options: argparse.Namespace) -> None:
    from credprovider import lastrelease, pin, releasing
    from credprovider.offers import Means

    _say("\n== size beside the last release")
    pinned = pin.load(environment.ROOT / pin.LOCK_NAME)
    last = releasing.previous(state) or pinned.index_version
    source = options.last or f"{pinned.index_distribution}=={last}"
    before, reason = lastrelease.had(source, Means(os.environ, lambda _line: None))
    for line in lastrelease.table(lastrelease.in_folder(options.outdir), before, state.version, last):
        _say(line)
    if reason:
        _say(f"! {reason}")


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
    parser.add_argument("--outdir", type=Path, default=Path("dist"), help="output folder (default: dist)")
    parser.add_argument("--last", type=Path, metavar="DIR", help="the last release's files; default: ask pip's index")
    options = parser.parse_args()
    if len(options.folders) != PARTS[options.part]:
        parser.error(f"{options.part} takes {PARTS[options.part]} folders, {len(options.folders)} are named")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
