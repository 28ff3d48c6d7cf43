"""Follow the provider: `python scripts/follow.py [--write]`.

Asks the release page for the newest release. If it is newer than the pinned one, runs
`scripts/pin.py VERSION` (with --write, if that is given here), and writes what it said to --body.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import environment

PIN = Path(__file__).resolve().parent / "pin.py"


def main() -> int:
    """0 when the pin is the newest or could be moved, else 1."""
    environment.ensure("httpx", "pip", "lief", "packaging")
    from credprovider.errors import BuildError

    try:
        return _follow(_options())
    except BuildError as error:
        print(f"follow.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("follow.py: interrupted; run it again", file=sys.stderr)
        return 130


def _follow(options: argparse.Namespace) -> int:
    from credprovider import following, lockfile
    from credprovider.maintain import vendor_releases

    pinned = lockfile.load(environment.ROOT / lockfile.LOCK_NAME)
    version = following.newest(options.api, vendor_releases.repository(pinned.release_url), os.environ)
    if not following.is_newer(version, pinned):
        print(f"{pinned.version} is pinned, {version} is the newest release: nothing to do")
        return 0
    command = [sys.executable, str(PIN), version, *(["--write"] if options.write else [])]
    mirror = ["--api", options.api] if options.api != vendor_releases.API else []
    done = subprocess.run([*command, *mirror], stdout=subprocess.PIPE, text=True, encoding="utf-8", check=False)
    print(done.stdout, end="")
    if done.returncode == 0 and options.write:
        options.body.parent.mkdir(parents=True, exist_ok=True)
        options.body.write_text(following.body(version, pinned, done.stdout), encoding="utf-8")
        following.tell_run(version, os.environ)
    return done.returncode


def _options() -> argparse.Namespace:
    from credprovider.maintain import vendor_releases

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="let pin.py write, and write --body")
    parser.add_argument("--body", type=Path, default=Path("pin.md"), help="what pin.py said (default: pin.md)")
    parser.add_argument("--api", default=vendor_releases.API, metavar="URL", help="a mirror of the release page's API")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
