"""Every platform's binary, run on one Linux x86-64 machine as far as that goes.

linux-x64 natively, linux-arm64 under qemu, Windows under wine, the framework-dependent shape under
a .NET put together from two wheels. What cannot run here is read instead, and said so. The recipes
and their pitfalls were measured with provider 2.0.5 on Debian 12.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, NamedTuple

from credprovider import binaries, emulation
from credprovider.embed import BIN, RECORD
from credprovider.emulation import Lacking, Runner

PROVIDER = "plugins/netcore/CredentialProvider.Microsoft/CredentialProvider.Microsoft"
# The slowest is linux-arm64 under qemu: 10 s; a loaded CI machine takes several times that.
PATIENCE_SECONDS = 180


class Question(NamedTuple):
    """What every provider is asked: a feed, the variable that declares its credential, the answer."""

    feed: str
    declared: str
    expected: tuple[str, str]


@dataclass(frozen=True)
class Answer:
    """What became of one wheel. `lacking` names what this machine would need to run it."""

    wheel: str
    target: str
    how: str
    version: str = ""
    outcome: str = ""
    seconds: float = 0.0
    failed: bool = False
    lacking: str = ""


def run(wheels: Sequence[Path], question: Question, say: Callable[[str], None]) -> list[Answer]:
    """Take a look-up through each wheel's provider, one after another."""
    with tempfile.TemporaryDirectory(prefix="smoke-") as name:
        scratch = Path(name)
        answers = []
        for path in wheels:
            answers.append(_one(path, question, scratch / path.stem))
            say(f"{path.name}: {answers[-1].outcome}")
        return answers


def _one(wheel: Path, question: Question, scratch: Path) -> Answer:
    key, root = _unpack(wheel, scratch)
    provider = root / PROVIDER
    started = time.monotonic()
    if key in emulation.UNRUNNABLE:
        return Answer(wheel.name, key, "headers only", outcome=_headers(provider))
    try:
        with emulation.runner(key, root, scratch) as runner:
            answer = _ask(wheel, key, runner, provider, question)
    except Lacking as lack:
        return Answer(wheel.name, key, "not run", outcome=f"needs {lack}", lacking=str(lack))
    return Answer(**{**answer.__dict__, "seconds": time.monotonic() - started})


def _unpack(wheel: Path, into: Path) -> tuple[str, Path]:
    with zipfile.ZipFile(wheel) as archive:
        key = str(json.loads(archive.read(RECORD))["target"])
        for info in archive.infolist():
            if info.filename.startswith(f"{BIN}/"):
                path = Path(archive.extract(info, into))
                path.chmod(info.external_attr >> 16 & 0o777 or 0o644)
    return key, into / BIN


def _ask(wheel: Path, key: str, runner: Runner, provider: Path, question: Question) -> Answer:
    arguments = ["-Uri", question.feed, "-NonInteractive", "true", "-OutputFormat", "Json", "-Verbosity", "Debug"]
    try:
        done = subprocess.run(
            [*runner.command(provider), *arguments],
            env=_environ(runner.environ, question),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Answer(wheel.name, key, runner.how, outcome=f"no answer within {PATIENCE_SECONDS} s", failed=True)
    version = re.search(rb"Command-line v([\w.]+)", done.stderr)
    good = _credential(done.stdout) == question.expected
    outcome = "credential found" if good else f"exit {done.returncode}: {_last_line(done.stderr)}"
    return Answer(wheel.name, key, runner.how, version[1].decode() if version else "", outcome, failed=not good)


def _environ(extra: Mapping[str, str], question: Question) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1",
        "ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS": question.declared,
        **extra,
    }


def _credential(stdout: bytes) -> tuple[str, str] | None:
    try:
        answer = json.loads(stdout)
        return (answer["Username"], answer["Password"])
    except (ValueError, KeyError, TypeError):
        return None


def _last_line(text: bytes) -> str:
    lines = [line.strip() for line in text.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "nothing on stderr"


def _headers(provider: Path) -> str:
    path = provider if provider.is_file() else provider.with_name(f"{provider.name}.exe")
    found = binaries.read(path.read_bytes())
    if found is None:
        return "not an executable file"
    return f"{found.form} for {', '.join(part.platform for part in found.slices)}; cannot run on this machine"


def table(answers: Sequence[Answer]) -> Iterator[str]:
    """One line per wheel: target, how it was run, version, outcome, seconds."""
    rows = [("target", "how", "provider", "outcome", "s")]
    rows += [(one.target, one.how, one.version, one.outcome, f"{one.seconds:.1f}") for one in answers]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
