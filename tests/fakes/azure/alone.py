"""A login in a network that has nothing but loopback: `unshare … python -m tests.fakes.azure.alone HOSTS TREE HOME`.

Run inside fresh mount and network namespaces (`command` says how). Prints one JSON object: the exit code,
the user name, the steps, and whether anything outside could be reached. No proxy is involved: the names lead
to 127.0.0.1 by a hosts file that only these namespaces see, and the world listens on port 443.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import sys
from pathlib import Path

from tests.fakes.azure import identity, provider
from tests.fakes.azure.feeds import PKGS
from tests.fakes.azure.world import SPS, AzureWorld

_SIOCSIFFLAGS, _IFF_UP, _MS_BIND = 0x8914, 1, 4096


def command(hosts: Path, tree: Path, home: Path) -> list[str]:
    """The command that runs this module in namespaces of its own; needs util-linux and user namespaces (or root)."""
    namespaces = ["unshare", "--map-root-user", "--mount", "--net", "--pid", "--fork", "--mount-proc"]
    return [*namespaces, sys.executable, "-m", "tests.fakes.azure.alone", str(hosts), str(tree), str(home)]


def main(hosts: Path, tree: Path, home: Path) -> None:
    """Prepare the namespaces, log in, report."""
    hosts.write_text("".join(f"127.0.0.1 {name}\n" for name in ("localhost", PKGS, SPS, *identity.HOSTS)))
    _loopback_up()
    _bind(hosts, Path("/etc/hosts"))
    with AzureWorld(port=443) as world:
        feed = world.feed("org", "feed")
        environ = {name: value for name, value in world.environ(home).items() if name != "HTTPS_PROXY"}
        outcome = provider.look_up(feed.url, tree, environ, interactive=True)
        user = outcome.credential[0] if outcome.credential else None
        print(json.dumps({"code": outcome.code, "user": user, "steps": world.steps, "outside": _outside()}))


def _loopback_up() -> None:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def _bind(source: Path, target: Path) -> None:
    if ctypes.CDLL(None, use_errno=True).mount(bytes(source), bytes(target), None, _MS_BIND, None):
        raise OSError(ctypes.get_errno(), f"cannot bind {source} to {target}: run this module through `command`")


def _outside() -> bool:
    # An address of the block for documentation (RFC 5737): in this network it must not even have a route.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(("192.0.2.1", 443))
        except TimeoutError:
            return True
        except OSError:
            return False
        return True


if __name__ == "__main__":
    os.umask(0o077)
    main(*map(Path, sys.argv[1:4]))
