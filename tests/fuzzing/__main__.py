"""python -m tests.fuzzing [NAME …] --seconds N: fuzz each target so long, guided by coverage where atheris is there."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent.parent / "scripts"))

from tests import fuzzing

NAMES = tuple(sorted(path.name for path in fuzzing.CORPUS.iterdir()))
_FEW = (1, 1, 2, 2, 3, 4, 6, 9)  # changes to one input
_ADVICE = "fix what it found, and keep the input below tests/corpus/{} (.txt, or .json with base64)"


def main() -> int:
    """Exit code 0 if every promise held, 1 if one was broken: the input is then left in a file that is named."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; all of them if none")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--seed", type=int, default=0, help="where random numbers start (0)")
    parser.add_argument("--plain", action="store_true", help="without atheris, even where it is installed")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.name) - set(NAMES)):
        parser.error(f"there is no {unknown[0]!r}; valid: {', '.join(NAMES)}")
    guided = not asked.plain and importlib.util.find_spec("atheris") is not None
    run = _guided if guided else _plain
    print("guided by coverage (atheris)" if guided else "random changes of the corpus")
    results = [run(name, asked.seconds, asked.seed) for name in asked.name or NAMES]
    return max(results)


def _seeds(name: str) -> list[bytes]:
    return [fuzzing.read(path) for path in fuzzing.entries(name)]


def _plain(name: str, seconds: int, seed: int) -> int:
    from tests.fuzzing.targets import TARGETS

    draw, seeds, runs = random.Random(seed), _seeds(name), 0  # noqa: S311
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        edits = [
            (draw.randrange(6), draw.randrange(1 << 16), draw.randrange(1 << 16)) for _ in range(draw.choice(_FEW))
        ]
        data = fuzzing.mutated(draw.choice(seeds), edits)
        try:
            TARGETS[name](data)
        except Exception:
            kept = Path(tempfile.mkdtemp(prefix=f"fuzzing-{name}-"), "input")
            kept.write_bytes(data)
            print(f"{name}: broken after {runs} runs by {kept}; {_ADVICE.format(name)}", flush=True)
            raise
        runs += 1
    print(f"{name}: {runs} runs in {seconds} s, nothing broken", flush=True)
    return 0


def _edit(draw: random.Random) -> fuzzing.Edit:
    return draw.randrange(6), draw.randrange(1 << 16), draw.randrange(1 << 16)


def _guided(name: str, seconds: int, seed: int) -> int:
    """A process of its own: libFuzzer ends the one it runs in."""
    with tempfile.TemporaryDirectory() as folder:
        for number, data in enumerate(_seeds(name)):
            Path(folder, f"seed{number}").write_bytes(data)
        Path(folder, "tokens.dict").write_text("".join(map(_quoted, fuzzing.TOKENS)), encoding="ascii")
        kept = tempfile.mkdtemp(prefix=f"fuzzing-{name}-")
        options = [f"-max_total_time={seconds}", f"-seed={seed + 1}", f"-dict={folder}/tokens.dict", "-timeout=30"]
        options += [f"-artifact_prefix={kept}/", "-print_final_stats=1", "-max_len=20000", "-rss_limit_mb=4096", folder]
        command = [sys.executable, "-c", "from tests.fuzzing import __main__ as it; it.under_atheris()", name, *options]
        code = subprocess.run(command, check=False).returncode
    print(
        f"{name}: broken by a file in {kept}; {_ADVICE.format(name)}" if code else f"{name}: nothing broken", flush=True
    )
    return int(code != 0)


def _quoted(token: bytes) -> str:
    return '"' + "".join(f"\\x{byte:02x}" for byte in token) + '"\n'


def under_atheris() -> None:
    """Instrument the code under test and hand it to libFuzzer; does not return."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["artifacts_keyring", "credprovider", "tarfile", "zipfile", "tomllib"]):
        from tests.fuzzing.targets import TARGETS
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
