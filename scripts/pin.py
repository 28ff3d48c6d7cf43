"""Make the next pin: `python scripts/pin.py VERSION [--from-index NAME==VERSION] [--write]`.

Asks the release page for the provider's VERSION, fetches and measures every archive, and shows
what would change. Nothing is written without --write.
"""

from __future__ import annotations

import argparse
import os
import sys

import environment


def main() -> int:
    """0 when the pin could be made (and, with --write, is written), else 1."""
    environment.ensure("httpx", "pip", "lief", "packaging")
    sys.path.insert(1, str(environment.ROOT))  # whom to trust is decided in artifacts_keyring
    from credprovider.errors import BuildError
    from credprovider.maintain import update_pin

    options = _options()
    request = update_pin.Request(
        root=environment.ROOT,
        version=options.version,
        environ=os.environ,
        write=options.write,
        accept_licences=options.accept_licences,
        index=options.from_index,
        api=options.api,
    )
    try:
        update_pin.run(request, lambda line: print(line, flush=True))
    except BuildError as error:
        print(f"pin.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pin.py: interrupted; run it again", file=sys.stderr)
        return 130
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version", metavar="VERSION", help="the provider's version, such as 2.0.5")
    parser.add_argument("--write", action="store_true", help="write credprovider.lock.toml and changed licence texts")
    parser.add_argument("--accept-licences", action="store_true", help="with --write: changed licence texts were read")
    parser.add_argument(
        "--from-index",
        metavar="NAME==VERSION",
        help="a distribution on pip's index that carries the provider; compared with the release if that answers",
    )
    parser.add_argument("--api", metavar="URL", help="base URL of a mirror of the release page's API")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
