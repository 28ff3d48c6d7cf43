"""Look for mistakes without running anything: `python scripts/lint.py`.

Style and types of the Python code; schema, mistakes and weaknesses of the workflows, unless
--python leaves those out. Nothing is fetched, and nothing is changed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Callable, NamedTuple

import environment

WORKFLOWS = Path(".github/workflows")
DEPENDABOT = Path(".github/dependabot.yml")
BUG_REPORT = Path(".github/ISSUE_TEMPLATE/bug.yml")

ELSEWHERE = ("artifacts_keyring", "hatch_build.py", "scripts")


class Check(NamedTuple):
    """What is run from the top folder of a tree; `arguments` are made when it is, of that folder."""

    tool: str
    arguments: Callable[[Path], list[str]]


def _workflows(root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in sorted((root / WORKFLOWS).glob("*.yml"))]


CHECKS = (
    Check("ruff", lambda _root: ["check", "."]),
    Check("ruff", lambda _root: ["format", "--check", "."]),
    Check("mypy", lambda _root: []),
    # What runs elsewhere, too; mypy passes over what other systems than the one named have.
    Check("mypy", lambda _root: ["--platform=win32", *ELSEWHERE]),
    Check("mypy", lambda _root: ["--platform=darwin", *ELSEWHERE]),
)
WORKFLOW_CHECKS = (
    Check("check-jsonschema", lambda root: ["--builtin-schema", "vendor.github-workflows", *_workflows(root)]),
    Check("check-jsonschema", lambda _root: ["--builtin-schema", "vendor.dependabot", str(DEPENDABOT)]),
    Check("check-jsonschema", lambda _root: ["--builtin-schema", "vendor.github-issue-forms", str(BUG_REPORT)]),
    Check("zizmor", lambda _root: ["--offline", "--no-progress", "--persona=auditor", ".github"]),
    # The fork of actionlint whose package carries the program: actionlint's own has to download it.
    # Shell scripts are not for it: there are none in a workflow (tests/integration/test_workflows.py).
    Check("jactionlint", lambda root: ["--shellcheck=", *_workflows(root), str(DEPENDABOT)]),
)


def main() -> int:
    """0 when nothing is found, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="store_true", help="check the Python code alone")
    options = parser.parse_args()
    environment.ensure("ruff", "mypy", "check_jsonschema")
    checks = CHECKS if options.python else (*CHECKS, *WORKFLOW_CHECKS)
    results = [run(check, environment.ROOT) for check in checks]
    bad = sum(result not in (0, None) for result in results)
    print(f"{len(results)} checks, {bad} with findings, {results.count(None)} not made")
    return 1 if bad else 0


def run(check: Check, root: Path, environ: Mapping[str, str] = os.environ) -> int | None:
    """The exit code of `check` in the tree `root`; None where its tool is not installed."""
    command = [check.tool, *check.arguments(root)]
    print(f"== {' '.join(command)}", flush=True)
    found = shutil.which(check.tool, path=str(Path(sys.executable).parent))
    if found is None:
        print(f"not made: {check.tool} is not installed here; remove .venv, and use Python 3.11 or newer", flush=True)
        return None
    return subprocess.run([found, *command[1:]], cwd=root, env=environ, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
