"""The fuzzing corpus once more, entry by entry, and a bounded run of each target (the long one: tests/fuzzing)."""

from __future__ import annotations

from pathlib import Path

import pytest
from credprovider.verify import sdist_rules
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import fuzzing
from tests.conftest import ROOT, examples
from tests.fuzzing.targets import TARGETS

ENTRIES = [(name, path) for name in TARGETS for path in fuzzing.entries(name)]
SEEDS = {name: [fuzzing.read(path) for path in fuzzing.entries(name)] for name in TARGETS}
EDITS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1 << 14), st.integers(0, 1 << 12)), max_size=6)
RUNS = {"lock": 150, "archive": 120, "feeds": 1000, "declared": 700, "provider": 500}
# The same inputs in every run: what they find is found where it was made, not in somebody else's change.
BOUNDED = {"derandomize": True, "database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}


@pytest.mark.parametrize(("name", "path"), ENTRIES, ids=[f"{name}-{path.stem}" for name, path in ENTRIES])
def test_what_is_in_the_corpus_breaks_no_promise(name: str, path: Path) -> None:
    TARGETS[name](fuzzing.read(path))


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_what_is_made_of_the_corpus_breaks_no_promise(name: str) -> None:
    @settings(max_examples=examples(RUNS[name]), **BOUNDED)  # type: ignore[arg-type]
    @given(st.one_of(st.builds(fuzzing.mutated, st.sampled_from(SEEDS[name]), EDITS), st.binary(max_size=200)))
    def run(data: bytes) -> None:
        TARGETS[name](data)

    run()


def test_the_corpus_may_travel_in_an_sdist() -> None:
    for _, path in ENTRIES:
        assert sdist_rules._ALLOWED.fullmatch(path.relative_to(ROOT).as_posix()), path
    assert {path.name for path in fuzzing.CORPUS.iterdir()} == set(TARGETS)
