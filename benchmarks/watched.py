"""Run keyring's command line and note what it cost: `python -I watched.py FILE get SERVICE USER`.

FILE gets a JSON object: the most memory that this process had (not its children, and not what it was
before it became Python), the processes it started, the modules that it loaded. wait4 could not tell: its
maximum covers the children, and the measuring process that it was forked from. Linux only.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

_STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system")


def main() -> object:
    """What keyring's own `main` gives."""
    note = Path(sys.argv.pop(1))
    started: list[str] = []

    def watch(event: str, _arguments: object) -> None:
        if event in _STARTS:
            started.append(event)

    sys.addaudithook(watch)
    loaded = len(sys.modules)
    try:
        from keyring.cli import main as keyring

        run: Callable[[], object] = keyring
        return run()
    finally:
        found = {"peak": _peak(), "processes": len(started), "modules": len(sys.modules) - loaded}
        note.write_text(json.dumps(found))


def _peak() -> int:
    """Bytes; "VmHWM: 12345 kB" counts from the start of this program."""
    match = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(match[1]) * 1024 if match else 0


if __name__ == "__main__":
    sys.exit(main())  # type: ignore[arg-type]
