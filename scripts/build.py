"""Build the whole release, or a part of it: `python scripts/build.py [WHAT ...]`.

WHAT is a RID, ``any`` (the framework-dependent wheel, which is not published) or ``sdist``;
nothing means the seven platform wheels and the sdist.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import environment


def main() -> int:
    """0 when everything asked for is in the output folder, else 1."""
    environment.ensure("hatchling", "httpx", "pip")
    from credprovider.build import matrix
    from credprovider.errors import BuildError

    options = _options(matrix.KINDS)
    try:
        return _build(options)
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("build.py: interrupted; the output folder is as it was", file=sys.stderr)
        return 130


def _build(options: argparse.Namespace) -> int:
    from credprovider.build import matrix, reproducible

    request = matrix.Request(
        root=environment.ROOT,
        what=tuple(options.what) or matrix.RELEASE,
        into=options.outdir,
        jobs=options.jobs,
        smallest=options.smallest,
    )
    built = matrix.build(request, _say)
    for line in matrix.table(built):
        _say(line)
    return reproducible.check(request, built, options.python, _say) if options.check_reproducible else 0


def _say(line: str) -> None:
    print(line, flush=True)


def _options(kinds: tuple[str, ...]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"one of {', '.join(kinds)}; default: a whole release")
    parser.add_argument("--outdir", type=Path, default=Path("dist"), help="output folder (default: dist)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="builds at once (default: one per core)")
    parser.add_argument("--smallest", action="store_true", help="deflate wheels again with libdeflate: 4 %% smaller")
    parser.add_argument("--check-reproducible", action="store_true", help="build everything twice, differently")
    parser.add_argument("--python", action="append", default=[], help="a further Python for --check-reproducible")
    options = parser.parse_args()
    for what in options.what:
        if what not in kinds:
            parser.error(f"{what!r} is nothing that can be built; valid: {', '.join(kinds)}")
    if options.jobs < 1:
        parser.error(f"--jobs {options.jobs} is no number of builds; valid: 1 or more")
    return options


if __name__ == "__main__":
    raise SystemExit(main())
