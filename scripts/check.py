"""Prove what finished files claim: `python scripts/check.py FILE...` for wheels and sdists.

Says what was checked, one line per rule, with the figures measured.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import environment


def main() -> int:
    """0 when every file keeps every rule, else 1."""
    environment.ensure("lief", "packaging", "twine", *(() if sys.version_info >= (3, 11) else ("tomli",)))
    from credprovider.errors import BuildError
    from credprovider.verify import dist, report

    options = _options(dist.SIZE_LIMIT)
    if options.rules:
        print(*report.describe(), sep="\n")
        return 0
    try:
        reference = dist.reference(environment.ROOT, options.max_size)
    except BuildError as error:
        print(f"check.py: {error}", file=sys.stderr)
        return 1
    return report.run(options.files, reference, lambda line: print(line, flush=True), _mark)


def _options(limit: int) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="a .whl or .tar.gz")
    parser.add_argument("--max-size", type=int, default=limit, metavar="BYTES", help="the index's limit per file")
    parser.add_argument("--rules", action="store_true", help="list the rules")
    options = parser.parse_args()
    if not options.files and not options.rules:
        parser.error("no file is named; name wheels or sdists, such as dist/*")
    return options


def _mark(sign: str) -> str:
    """`sign`, or a word where the terminal has no such character (Windows' code pages)."""
    try:
        sign.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return {"✓": "ok  ", "✗": "FAIL"}.get(sign, "-   ")
    return sign


if __name__ == "__main__":
    raise SystemExit(main())
