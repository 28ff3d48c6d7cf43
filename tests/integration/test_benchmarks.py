"""The benchmarks' arithmetic, charts and counters; what was committed belongs together. No measurement here."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from artifacts_keyring.http import trust
from benchmarks import charts, goals, measuring, results, sizes, stage, tables
from benchmarks.results import (
    ALONE,
    BARE,
    BEFORE,
    CACHED,
    COMMAND,
    DECLARED,
    FOREIGN,
    LARGE,
    NOFUSS,
    OURS,
    PREDECESSOR,
    PROVIDER,
    REQUEST,
    BenchmarkError,
    Build,
    Import,
    LookUp,
    Release,
    Results,
    Size,
)
from tests.conftest import ROOT
from tests.fakes.azure import AzureWorld

pytestmark = pytest.mark.posix

FOLDER = ROOT / "benchmarks"


def _look_ups() -> Iterator[LookUp]:
    seconds = {
        FOREIGN: {OURS: 0.102, PREDECESSOR: 0.14, NOFUSS: 0.25, BARE: 0.1},
        DECLARED: {OURS: 0.12, PREDECESSOR: 0.5, NOFUSS: 0.3, BARE: 0.1},
        COMMAND: {OURS: 0.15, BARE: 0.1, ALONE: 0.002, REQUEST: 0.02},
        CACHED: {OURS: 0.309, PREDECESSOR: 0.36, BARE: 0.1, PROVIDER: 0.18, REQUEST: 0.02},
    }
    for case, times in seconds.items():
        for who, value in times.items():
            yield LookUp(case, 0, 0, who, value, 0, 0, 0, 40_000_000, 9 + (who == PREDECESSOR), 200)
    yield LookUp(CACHED, 0, 0, NOFUSS, None, note="has <no> provider & cache")
    yield LookUp(CACHED, 0, LARGE, OURS, 0.31, 2, 1, 2_345, 41_600_000, 11, 300)
    yield LookUp(CACHED, 0, LARGE, PREDECESSOR, 0.61, 2, 2, 20_031_100, 88_600_000, 10, 350)


@pytest.fixture
def found() -> Results:
    return Results(
        date="2026-01-02",
        runs=5,
        machine={"CPUs": "2", "Python": "3.11.7"},
        versions={OURS: {"artifacts-keyring": "9.8.7"}},
        lookups=tuple(_look_ups()),
        imports=(Import(OURS, 0.0004, 2),),
        sizes=(Size(OURS, 30_000_000, 79_000_000, 246, 1.2), Size(PREDECESSOR, 40_000_000, 78_000_000, 221, 1.3)),
        releases=(
            Release(OURS, "9.8.7", 8, 260_200_000, "here"),
            Release(PREDECESSOR, "2", 36, 1_256_700_000, "index"),
        ),
        build=Build(15.0, 12.0, 20.0, 90_000_000, 2),
    )


def _goal(found: Results, beginning: str) -> goals.Goal:
    (goal,) = [goal for goal in goals.goals(found) if goal.name.startswith(beginning)]
    return goal


def test_the_reference_is_the_sum_of_what_cannot_be_avoided(found: Results) -> None:
    assert goals.reference(found, 0) == pytest.approx(0.1 + 0.18 + 0.02)
    cached = _goal(found, "cached token, 0 ms")
    assert [cached.ours, cached.predecessor] == pytest.approx([1.03, 1.2])
    assert (cached.nofuss, cached.verdict) == (None, "met")


def test_without_one_part_there_is_no_reference(found: Results) -> None:
    less = dataclasses.replace(found, lookups=tuple(row for row in found.lookups if row.who != PROVIDER))
    assert goals.reference(less, 0) is None
    assert _goal(less, "cached token, 0 ms").verdict == "not measured"


def test_goals_compare_with_bare_keyring(found: Results) -> None:
    foreign, declared = _goal(found, "foreign"), _goal(found, "declared credential / bare")
    assert [foreign.ours, declared.ours] == pytest.approx([2.0, 1.2])
    assert [foreign.verdict, declared.verdict] == ["met", "NOT met"]


def test_a_token_command_is_held_against_a_declared_credential_itself_and_one_request(found: Results) -> None:
    goal = _goal(found, "token command")
    assert goal.ours == pytest.approx(150 - (120 + 2 + 20)) and goal.verdict == "met"
    less = dataclasses.replace(found, lookups=tuple(row for row in found.lookups if row.who != ALONE))
    assert _goal(less, "token command").verdict == "not measured"


def test_the_version_before_is_compared_where_it_was_measured(found: Results) -> None:
    assert not [goal for goal in goals.goals(found) if "version before" in goal.name]
    rows = (LookUp(FOREIGN, 0, 0, BEFORE, 0.1), LookUp(DECLARED, 0, 0, BEFORE, 0.12))
    more = dataclasses.replace(found, lookups=(*found.lookups, *rows))
    assert _goal(more, "foreign / the version").ours == pytest.approx(1.02)
    assert (_goal(more, "declared / the version").ours, _goal(more, "declared / the version").verdict) == (1, "met")


def test_processes_count_beyond_those_of_keyring_itself(found: Results) -> None:
    goal = _goal(found, "declared credential: processes")
    assert (goal.ours, goal.predecessor, goal.verdict) == (0, 1, "met")


def test_sizes_and_build_are_ratios(found: Results) -> None:
    assert _goal(found, "wheel /").ours == pytest.approx(0.75)
    assert _goal(found, "release build /").ours == pytest.approx(1.25)
    assert _goal(found, "release build: MB").ours == pytest.approx(90.0)


def test_the_json_gives_the_results_back(found: Results, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(results.render(found))
    assert results.load(tmp_path / "results.json") == found


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"lookups": [{"nonsense": 1}]}'])
def test_other_json_is_refused_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(BenchmarkError, match=r"holds no results .*: make them with benchmarks/run\.py$"):
        results.load(tmp_path / "results.json")


def test_charts_are_xml_with_the_values_on_the_bars(found: Results) -> None:
    drawn = {name: _texts(text) for name, text in charts.draw_all(found).items()}
    assert {"102 ms", "309 ms", "300 ms", "nofuss: has <no> provider & cache"} <= drawn["look-ups.svg"]
    assert {"2.3 kB", "20,031.1 kB", "41.6 MB", "88.6 MB"} <= drawn["large-index.svg"]
    assert {"30.00 MB", "40.00 MB", "260.2 MB, 8 files", "1,256.7 MB, 36 files"} <= drawn["sizes.svg"]
    for texts in drawn.values():
        assert any(text.startswith(charts.COMMAND) and "2026-01-02" in text for text in texts)
        assert "this 9.8.7" in texts


def test_the_same_results_give_the_same_charts(found: Results) -> None:
    assert charts.draw_all(found) == charts.draw_all(found)


def _elements(svg: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(svg).iter())  # noqa: S314 - drawn here


def _texts(svg: str) -> set[str]:
    return {"".join(element.itertext()) for element in _elements(svg) if element.tag.endswith("text")}


def test_the_table_says_what_a_peer_cannot_do(found: Results) -> None:
    lines = list(tables.lines(found))
    (row,) = [line for line in lines if "has <no> provider" in line]
    assert row.split()[:6] == ["cached,", "0", "ms", "a", "request", "nofuss"]
    assert " 0 " not in row.partition("nofuss")[2]
    assert any(line.startswith("declared credential / bare keyring") and "NOT met" in line for line in lines)


def test_the_committed_charts_are_those_of_the_committed_results() -> None:
    drawn = charts.draw_all(results.load(FOLDER / "results.json"))
    committed = {path.name: path.read_text(encoding="utf-8") for path in (FOLDER / "charts").iterdir()}
    # Another matplotlib may place things elsewhere.
    assert {name: _texts(text) for name, text in committed.items()} == {
        name: _texts(text) for name, text in drawn.items()
    }


def test_the_table_of_the_readme_is_that_of_the_committed_results() -> None:
    rows = list(tables.comparison(results.load(FOLDER / "results.json")))
    assert len(rows) == 6 and [row for row in rows if row not in (ROOT / "README.md").read_text(encoding="utf-8")] == []


def test_the_committed_results_name_no_place() -> None:
    text = (FOLDER / "results.json").read_text(encoding="utf-8")
    assert "://" not in text and "\\\\" not in text
    assert not [value for value in _strings(json.loads(text)) if value.startswith(("/", "file:", "~"))]


def _strings(document: object) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for value in document.values():
            yield from _strings(value)
    elif isinstance(document, list):
        for value in document:
            yield from _strings(value)


def test_everyone_has_a_turn_each_round_and_the_first_round_does_not_count() -> None:
    turns: list[str] = []
    values = {"a": iter([9.0, 1.0, 3.0, 2.0]), "b": iter([9.0, 5.0, 5.0, 4.0])}

    def turn(name: str) -> float:
        turns.append(name)
        return next(values[name])

    assert measuring.medians({"a": lambda: turn("a"), "b": lambda: turn("b")}, 3) == {"a": 2.0, "b": 5.0}
    assert "".join(turns) == "abbaabba"


def test_a_watched_keyring_tells_its_memory_and_modules(tmp_path: Path) -> None:
    note = tmp_path / "note.json"
    command = [sys.executable, "-I", str(FOLDER / "watched.py"), str(note), "get", "https://example.invalid/", "u"]
    environ = {
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    seen = json.loads(note.read_text())
    assert 5e6 < seen["peak"] < 2e8
    assert (seen["processes"], seen["modules"] > 20) == (0, True)


def test_bytes_are_counted_as_they_arrive_at_the_client(tmp_path: Path) -> None:
    counted: list[int] = []
    with AzureWorld() as world:
        world.server.RequestHandlerClass = stage._counting(counted)
        feed = world.feed("org", "feed", public=True)
        feed.index_bytes = 300_000
        environ = world.environ(tmp_path)
        with httpx.Client(verify=trust.ssl_context(environ), proxy=environ["HTTPS_PROXY"]) as client:
            body = len(client.get(feed.url).content)
        while world.server.open:
            time.sleep(0.01)
    assert body >= 300_000
    assert body < sum(counted) < body + 20_000


def test_a_release_is_all_files_of_its_version() -> None:
    names = ["p_q-1.0rc5-cp311-any.whl", "p_q-1.0rc5.tar.gz", "p_q-1.0-cp311-any.whl", "p_q-1.0rc55.tar.gz"]
    files: list[dict[str, object]] = [{"filename": name, "size": 10} for name in names]
    release = sizes._release(files, "p-q", "1.0rc5")
    assert (release.files, release.bytes) == (2, 20)
