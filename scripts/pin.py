"""Make the next pin: `python scripts/pin.py VERSION [--from-index NAME==VERSION] [--write]`.

Asks the release page for the provider's VERSION, fetches and measures every archive, and shows
what would change. Nothing is written without --write. With --latest instead of VERSION, the newest
release is taken if it is newer than the pinned one.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import environment

OUTPUT_VARIABLE = "GITHUB_OUTPUT"


def main() -> int:
    """0 when the pin could be made (and, with --write, is written) or is the newest, else 1."""
    environment.ensure("httpx", "pip", "lief", "packaging")
    sys.path.insert(1, str(environment.ROOT))  # whom to trust is decided in artifacts_keyring
    from credprovider.errors import BuildError

    options = _options()
    try:
        _pin(options)
    except BuildError as error:
        print(f"pin.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pin.py: interrupted; run it again", file=sys.stderr)
        return 130
    return 0


def _pin(options: argparse.Namespace) -> None:
    from credprovider import lockfile
    from credprovider.maintain import pin_diff, update_pin, vendor_releases

    pinned, version, said = lockfile.load(environment.ROOT / lockfile.LOCK_NAME), options.version, list[str]()
    if options.latest:
        project = vendor_releases.repository(pinned.release_url)
        version = vendor_releases.newest(options.api or vendor_releases.API, project, os.environ)
        if not vendor_releases.is_newer(version, pinned):
            print(f"{pinned.version} is pinned, {version} is the newest release: nothing to do")
            return

    def say(line: str) -> None:
        said.append(line)
        print(line, flush=True)

    request = update_pin.Request(
        root=environment.ROOT,
        version=version,
        environ=os.environ,
        write=options.write,
        accept_licences=options.accept_licences,
        index=options.from_index,
        api=options.api,
    )
    update_pin.run(request, say)
    if options.write and options.body:
        options.body.parent.mkdir(parents=True, exist_ok=True)
        options.body.write_text(pin_diff.pull_request(version, pinned, "\n".join(said)), encoding="utf-8")
        _tell_run(version)


def _tell_run(version: str) -> None:
    """Give the version to the steps that follow in this workflow run, if there is one."""
    if path := os.environ.get(OUTPUT_VARIABLE):
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(f"version={version}\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", nargs="?", metavar="VERSION", help="the provider's version, such as 2.0.5")
    parser.add_argument("--latest", action="store_true", help="the newest release, if it is newer than the pinned one")
    parser.add_argument("--write", action="store_true", help="write credprovider.lock.toml and changed licence texts")
    parser.add_argument("--accept-licences", action="store_true", help="with --write: changed licence texts were read")
    parser.add_argument(
        "--from-index",
        metavar="NAME==VERSION",
        help="a distribution on pip's index that carries the provider; compared with the release if that answers",
    )
    parser.add_argument("--api", metavar="URL", help="base URL of a mirror of the release page's API")
    parser.add_argument("--body", type=Path, metavar="FILE", help="with --write: the text of a pull request")
    options = parser.parse_args()
    if options.latest == bool(options.version):
        parser.error("name a VERSION, such as 2.0.5, or --latest; valid: one of the two")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
