"""Look-ups and imports: rounds in which everyone has a turn, and the medians of them."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.contestants import Contestant
from benchmarks.results import (
    ALONE,
    BARE,
    BEFORE,
    CACHED,
    COMMAND,
    EXPIRED,
    FOREIGN,
    NOFUSS,
    OURS,
    PROVIDER,
    REQUEST,
    SMALL,
    BenchmarkError,
    Import,
    LookUp,
)
from benchmarks.stage import CASES, USER, Case, Stage
from tests.fakes.azure import launcher

_WATCHED = Path(__file__).with_name("watched.py")
_DEADLINE = 120.0  # seconds for one process
_NO_PROVIDER = "has no provider, and so none of its cached tokens"
_NO_COMMAND = "knows no token command"

# A parent that does nothing else: on some virtual machines a grandchild of the measuring process starts
# 12 to 17 ms later than a child, so provider and command have to stand where the backend's stand.
_PROGRAM_CODE = """
import subprocess, sys, time
started = time.perf_counter()
subprocess.run(sys.argv[1:], stdin=subprocess.DEVNULL, capture_output=True, check=True)
print(time.perf_counter() - started)
"""
# A provider's start hides what it costs to load httpx; a command that ends at once does not.
_REQUEST_CODE = """
import sys, time
begun = time.perf_counter()
import httpx
started = begun if sys.argv[4] == "loading httpx" else time.perf_counter()
httpx.get(sys.argv[1], auth=(sys.argv[2], sys.argv[3])).raise_for_status()
print(time.perf_counter() - started)
"""
_IMPORT_CODE = """
import json, sys, time
from importlib import metadata
import keyring
found = metadata.entry_points().select(group="keyring.backends")
(entry,) = {each for each in found if each.value.startswith("artifacts_keyring")}
before = len(sys.modules)
started = time.perf_counter()
entry.load()
seconds = time.perf_counter() - started
print(json.dumps([seconds, len(sys.modules) - before]))
"""

Measure = Callable[[], float]


def look_ups(stage: Stage, contestants: Mapping[str, Contestant], runs: int) -> Iterator[LookUp]:
    """Every row of every case. Raises BenchmarkError when somebody answers wrongly."""
    for case in CASES:
        able = [one for one in contestants.values() if not _obstacle(one.name, case)]
        turns = _turns(stage, case, able, contestants[OURS])
        medians = _medians(turns, partial(stage.arrange, case), runs * case.rounds)
        for one in contestants.values():
            obstacle = _obstacle(one.name, case)
            yield _unable(case, one, obstacle) if obstacle else _row(stage, case, one, medians[one.name])
        for name in (PROVIDER, REQUEST, ALONE):
            if name in medians:
                yield LookUp(case.name, case.latency_ms, case.index_bytes, name, round(medians[name], 4))


def imports(contestants: Mapping[str, Contestant], runs: int) -> Iterator[Import]:
    """What each backend's module costs when keyring itself has been loaded."""
    measured: dict[str, list[tuple[float, int]]] = {name: [] for name, one in contestants.items() if one.wheel}
    for _ in range(runs + 1):  # the first round writes and reads the caches of bytecode
        for name, found in measured.items():
            seconds, modules = json.loads(_said([str(contestants[name].python), "-c", _IMPORT_CODE], {}))
            found.append((seconds, modules))
    for name, found in measured.items():
        yield Import(name, round(statistics.median(seconds for seconds, _ in found[1:]), 5), found[-1][1])


def medians(turns: Mapping[str, Measure], runs: int) -> dict[str, float]:
    """The median seconds of each, one round after another; the first round only warms up."""
    return _medians(turns, lambda: None, runs)


def _medians(turns: Mapping[str, Measure], arrange: Callable[[], None], runs: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(runs + 1):
        for name in _rotated(list(turns), number):
            arrange()
            seconds[name].append(turns[name]())
    return {name: statistics.median(found[1:]) for name, found in seconds.items()}


def _rotated(names: Sequence[str], by: int) -> list[str]:
    """Another one begins each round, so that none always follows the same neighbour's traces."""
    start = by % len(names)
    return [*names[start:], *names[:start]]


def _obstacle(name: str, case: Case) -> str:
    """Why a contestant cannot do this, or the empty string."""
    if case.name == COMMAND and name not in (OURS, BARE):
        return "not asked" if name == BEFORE else _NO_COMMAND
    return _NO_PROVIDER if name == NOFUSS and case.name in (CACHED, EXPIRED) else ""


def _turns(stage: Stage, case: Case, able: Sequence[Contestant], ours: Contestant) -> dict[str, Measure]:
    turns: dict[str, Measure] = {one.name: partial(_timed, stage, case, one) for one in able}
    if case.name in (CACHED, COMMAND) and case.index_bytes == SMALL:
        name, words = (PROVIDER, _provider_command(stage)) if case.name == CACHED else (ALONE, stage.command)
        program = [str(ours.python), "-c", _PROGRAM_CODE, *words]
        how = "httpx loaded" if case.name == CACHED else "loading httpx"
        request = [str(ours.python), "-c", _REQUEST_CODE, stage.feed.url, USER, stage.token, how]
        turns[name] = lambda: float(_said(program, stage.environ(case)))
        turns[REQUEST] = lambda: float(_said(request, stage.environ(case)))
    return turns


def _provider_command(stage: Stage) -> list[str]:
    options = {"-IsRetry": "false", "-NonInteractive": "true", "-CanShowDialog": "false", "-OutputFormat": "Json"}
    words = [word for pair in options.items() for word in pair]
    return [str(launcher(stage.tree)), "-Uri", stage.feed.url, *words]


def _timed(stage: Stage, case: Case, one: Contestant) -> float:
    command = [str(one.keyring), "get", stage.service(case), USER]
    environ = stage.environ(case)
    started = time.perf_counter()
    done = _run(command, environ)
    seconds = time.perf_counter() - started
    _judge(stage, case, one, done)
    return seconds


def _judge(stage: Stage, case: Case, one: Contestant, done: subprocess.CompletedProcess[str]) -> None:
    if one.name == BARE:  # it has no answer to anything
        return
    wrong = stage.judge(case, done.stdout)
    if wrong:
        words = done.stderr.strip().splitlines()[-1:] or ["and nothing on stderr"]
        raise BenchmarkError(
            f"{one.name}, {case.name}, {case.latency_ms} ms: {wrong} ({words[0]}): fix that before measuring it"
        )


def _row(stage: Stage, case: Case, one: Contestant, seconds: float) -> LookUp:
    """The row, with what one more run shows that is watched from inside."""
    note = stage.home / "watched.json"
    stage.arrange(case)
    command = [str(one.python), "-I", str(_WATCHED), str(note), "get", stage.service(case), USER]
    _judge(stage, case, one, _run(command, stage.environ(case)))
    traffic, seen = stage.traffic(), json.loads(note.read_text())
    return LookUp(
        case.name,
        case.latency_ms,
        case.index_bytes,
        one.name,
        round(seconds, 4),
        traffic.requests,
        traffic.connections,
        traffic.received,
        seen["peak"],
        seen["processes"],
        seen["modules"],
        "its own variable" if one.name == NOFUSS and case.name != FOREIGN else "",
    )


def _unable(case: Case, one: Contestant, why: str) -> LookUp:
    return LookUp(case.name, case.latency_ms, case.index_bytes, one.name, None, note=why)


def _said(command: Sequence[str], environ: Mapping[str, str]) -> str:
    done = _run(command, environ)
    if done.returncode:
        words = done.stderr.strip().splitlines()[-1:] or ["nothing on stderr"]
        raise BenchmarkError(f"a reference ended with {done.returncode} ({words[0]}): fix that before measuring")
    return done.stdout


def _run(command: Sequence[str], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_DEADLINE,
    )
