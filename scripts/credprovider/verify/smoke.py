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
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path, PurePosixPath
from typing import Callable, NamedTuple

from artifacts_keyring.provider.layout import PROGRAM
from credprovider.errors import BrokenTool, Lacking
from credprovider.hook import BIN, RECORD
from credprovider.verify import binaries, emulators
from credprovider.verify.dist import UnreadableError
from credprovider.verify.emulators import Runner

# The slowest is linux-arm64 under qemu: 10 s; a loaded CI machine takes several times that.
PATIENCE_SECONDS = 180


class Question(NamedTuple):
    """What every provider is asked: a feed, the variable that declares its credential, the answer."""

    feed: str
    declared: str
    expected: tuple[str, str]


@dataclass(frozen=True)
class Answer:
    """What became of one file. `python` is the one that started it; `lacking` names what it would need."""

    file: str
    target: str
    how: str
    version: str = ""
    outcome: str = ""
    seconds: float = 0.0
    failed: bool = False
    lacking: str = ""
    python: str = ""


def run(files: Sequence[Path], question: Question, say: Callable[[str], None]) -> list[Answer]:
    """Take a look-up through the provider in each wheel or sdist, two at a time. Raises UnreadableError."""
    with tempfile.TemporaryDirectory(prefix="smoke-") as name, ThreadPoolExecutor(2) as pool:
        scratches = (Path(name, str(number)) for number in range(len(files)))
        answers = []
        for answer in pool.map(_one, files, repeat(question), scratches):
            say(f"{answer.file}: {answer.outcome}")
            answers.append(answer)
        return answers


def _one(file: Path, question: Question, scratch: Path) -> Answer:
    key, root = _unpack(file, scratch)
    provider = root / PROGRAM
    started = time.monotonic()
    if key in emulators.UNRUNNABLE:
        outcome, good = _headers(provider, key)
        return Answer(file.name, key, "headers only", python="none (headers only)", outcome=outcome, failed=not good)
    try:
        with emulators.runner(key, root, scratch) as runner:
            answer = _ask(file, key, runner, provider, question)
    except Lacking as lack:
        return Answer(file.name, key, "not run", outcome=f"needs {lack}", lacking=str(lack))
    except BrokenTool as broken:
        return Answer(file.name, key, "not run", outcome=str(broken), failed=True)
    return replace(answer, python=runner.python, seconds=time.monotonic() - started)


def _unpack(file: Path, into: Path) -> tuple[str, Path]:
    """Target and root of the payload of a wheel or sdist. Raises UnreadableError."""
    into.mkdir()
    try:
        key = _unpack_sdist(file, into) if file.name.endswith(".tar.gz") else _unpack_wheel(file, into)
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error, KeyError, ValueError) as error:
        raise UnreadableError(f"{file} is no wheel or sdist of this project ({error}); build it again") from error
    return key, into / BIN


def _unpack_wheel(file: Path, into: Path) -> str:
    with zipfile.ZipFile(file) as archive:
        key = str(json.loads(archive.read(RECORD))["target"])
        for info in archive.infolist():
            if info.filename.startswith(f"{BIN}/"):
                path = Path(archive.extract(info, into))
                path.chmod(info.external_attr >> 16 & 0o777 or 0o644)
    return key


def _unpack_sdist(file: Path, into: Path) -> str:
    with tarfile.open(file) as archive:
        for member in archive:
            path = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            content = archive.extractfile(member) if member.isreg() and str(path).startswith(f"{BIN}/") else None
            if content is None or ".." in path.parts:
                continue
            (into / path).parent.mkdir(parents=True, exist_ok=True)
            (into / path).write_bytes(content.read())
            (into / path).chmod(member.mode & 0o777)
    return "any"  # the framework-dependent payload is the only one that an sdist carries


def _ask(file: Path, key: str, runner: Runner, provider: Path, question: Question) -> Answer:
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
        return Answer(file.name, key, runner.how, outcome=f"no answer within {PATIENCE_SECONDS} s", failed=True)
    version = re.search(rb"Command-line v([\w.]+)", done.stderr)
    good = _credential(done.stdout) == question.expected
    outcome = "credential found" if good else f"exit {done.returncode}: {_last_line(done.stderr)}"
    return Answer(file.name, key, runner.how, version[1].decode() if version else "", outcome, failed=not good)


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


def _headers(provider: Path, key: str) -> tuple[str, bool]:
    """What the launcher says of itself, and whether that is *key*'s."""
    path = provider if provider.is_file() else provider.with_name(f"{provider.name}.exe")
    found = binaries.read(path.read_bytes()) if path.is_file() else None
    if found is None:
        return "no executable file", False
    platforms = [part.platform for part in found.slices]
    return f"{found.form} for {', '.join(platforms)}; cannot run on this machine", key in platforms


def table(answers: Sequence[Answer]) -> Iterator[str]:
    """One line per wheel: target, how it was run and by which Python, version, outcome, seconds."""
    rows = [("target", "how", "started by", "provider", "outcome", "s")]
    rows += [
        (one.target, one.how, one.python or "none", one.version, one.outcome, f"{one.seconds:.1f}") for one in answers
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
