"""The log, with many writers at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

WRITERS, LINES = 10, 200
WRITE = """
import sys
from artifacts_keyring import log
from artifacts_keyring.variables import LOG_PATH
environ = {LOG_PATH: sys.argv[1]}
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    log.write(environ, f"writer {sys.argv[2]} line {number} " + "x" * (number % 50))
"""


def test_ten_writers_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    command = [sys.executable, "-c", WRITE, str(path)]
    writers = [
        subprocess.Popen([*command, str(number), str(LINES)], cwd=ROOT, stdin=subprocess.PIPE)
        for number in range(WRITERS)
    ]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"go\n")
        writer.stdin.close()
    assert [writer.wait() for writer in writers] == [0] * WRITERS
    seen = sorted(tuple(map(int, line.split()[3:6:2])) for line in path.read_text().splitlines())
    assert seen == [(writer, line) for writer in range(WRITERS) for line in range(LINES)]
