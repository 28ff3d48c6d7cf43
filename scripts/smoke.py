"""Run the provider inside each wheel or sdist as far as this machine can: `python scripts/smoke.py FILE ...`.

With ``--installed``, take a look-up through the artifacts_keyring that is installed in this Python
instead (what cibuildwheel's tests do).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

FEED = "https://pkgs.dev.azure.com/organisation/_packaging/feed/pypi/simple/"
VARIABLE = "ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS"
DECLARED = {"endpointCredentials": [{"endpoint": FEED, "username": "smoke", "password": "declared-for-smoke"}]}
EXPECTED = ("smoke", "declared-for-smoke")


def main() -> int:
    """0 when every provider that can run here answered, 1 when one did not, or a file is none of ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="wheels and sdists of this project")
    parser.add_argument("--installed", action="store_true", help="use the installed package, no file")
    parser.add_argument("--strict", action="store_true", help="a file that this machine lacks a tool for is a failure")
    options = parser.parse_args()
    if options.installed == bool(options.files):
        parser.error("name one file or more, or --installed; valid: one of the two")
    missing = [str(path) for path in options.files if not path.is_file()]
    if missing:
        parser.error(f"{missing[0]} is no file; build it with scripts/build.py")
    return _installed() if options.installed else _files(options.files, options.strict)


def _installed() -> int:
    os.environ[VARIABLE] = json.dumps(DECLARED)
    import artifacts_keyring

    answer = artifacts_keyring.CredentialProvider().get_credentials(FEED)
    good = answer == EXPECTED
    print(f"{'ok' if good else 'FAILED'}: the installed provider on Python {sys.version.split()[0]}")
    return 0 if good else 1


def _files(files: list[Path], strict: bool) -> int:
    import environment

    environment.ensure("lief", "pip", "uv")
    from credprovider.errors import BuildError
    from credprovider.verify import smoke

    try:
        answers = smoke.run(files, smoke.Question(FEED, json.dumps(DECLARED), EXPECTED), print)
    except BuildError as error:
        print(f"smoke: {error}", file=sys.stderr)
        return 1
    for line in smoke.table(answers):
        print(line)
    failed = [one for one in answers if one.failed or (strict and one.lacking)]
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
