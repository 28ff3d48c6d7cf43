"""What `scripts/check.py` does: open files, hold them against their rules, say what came out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from credprovider import Say
from credprovider.errors import BuildError
from credprovider.verify import sdist_rules, wheel_rules
from credprovider.verify.dist import Dist, Outcome, Reference, Rule, UnreadableError, judge

# More than this many faults of one rule are one fault seen many times.
_FAULTS_SHOWN = 5


@dataclass(frozen=True)
class Report:
    """What came out for one file."""

    path: Path
    outcomes: tuple[Outcome, ...]

    @property
    def broken(self) -> tuple[Outcome, ...]:
        """The rules that it breaks."""
        return tuple(outcome for outcome in self.outcomes if outcome.finding.faults)


def check(path: Path, reference: Reference, names: Sequence[str] = ()) -> Report:
    """Hold the wheel or sdist at `path` against its rules (those called `names`; all if there are none).

    Raises UnreadableError if it is neither or cannot be read.
    """
    dist, table = _open(path, reference)
    return Report(path, judge(dist, [rule for rule in table if not names or rule.name in names]))


def _open(path: Path, reference: Reference) -> tuple[Dist, tuple[Rule, ...]]:
    if path.name.endswith(".whl"):
        return wheel_rules.open_wheel(path, reference), wheel_rules.RULES
    if path.name.endswith(".tar.gz"):
        return sdist_rules.open_sdist(path, reference), sdist_rules.RULES
    raise UnreadableError(f"{path} is neither a wheel nor an sdist; valid: .whl, .tar.gz; name such a file")


def run(paths: Sequence[Path], reference: Reference, say: Say, mark: Callable[[str], str] = str) -> int:
    """Check all files, say one line per rule, and return 0 if every file keeps every rule, else 1."""
    kept = [_keeps_all(path, reference, say, mark) for path in paths]
    return 0 if all(kept) else 1


def _keeps_all(path: Path, reference: Reference, say: Say, mark: Callable[[str], str]) -> bool:
    say(str(path.name))
    try:
        report = check(path, reference)
    except BuildError as error:
        say(f"  {mark('✗')} {error}")
        return False
    for outcome in report.outcomes:
        for line in lines(outcome, mark):
            say(f"  {line}")
    names = ", ".join(outcome.rule.name for outcome in report.broken)
    kept = sum(outcome.finding.applies for outcome in report.outcomes) - len(report.broken)
    say(f"  {kept} rules kept, {len(report.broken)} broken{': ' if names else ''}{names}")
    return not report.broken


def lines(outcome: Outcome, mark: Callable[[str], str] = str) -> list[str]:
    """The line of a rule, and one more for each of its first faults."""
    rule, finding = outcome
    if not finding.applies:
        return [f"{mark('·')} {rule.name:<16} does not apply"]
    if not finding.faults:
        return [f"{mark('✓')} {rule.name:<16} {finding.figures}"]
    shown = list(finding.faults[:_FAULTS_SHOWN])
    if len(finding.faults) > len(shown):
        shown.append(f"and {len(finding.faults) - len(shown)} more")
    head = f"{mark('✗')} {rule.name:<16} not so: {rule.proves}"
    return [head, *(f"    {' '.join(fault.split())}" for fault in shown)]


def describe() -> list[str]:
    """The rules of both kinds, one line each, for people."""
    every = [("wheel", rule) for rule in wheel_rules.RULES] + [("sdist", rule) for rule in sdist_rules.RULES]
    return [f"{kind:<6} {rule.name:<16} {rule.proves}" for kind, rule in every]
