"""The workflows: what their linters say, and that nothing in them is logic that nobody ran."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lint
import pytest
from credprovider import targets
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from tests.conftest import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = pytest.mark.posix

FOLDER = ROOT / ".github"
WORKFLOWS = sorted((FOLDER / "workflows").glob("*.yml"))
NAMES = [path.name for path in WORKFLOWS]
NATIVE = ["ubuntu-latest", "ubuntu-24.04-arm", "windows-latest", "windows-11-arm", "macos-15-intel", "macos-latest"]
# Where .ci/run runs what a workflow does: in the file, the words that do it.
EXERCISED = {
    ".ci/run": (".ci/run", "All that CI does"),
    "scripts/lint.py": (".ci/run", "scripts/lint.py"),
    "scripts/test.py": (".ci/run", "scripts/test.py"),
    "scripts/release.py --dry-run": (".ci/run", "scripts/release.py --dry-run"),
    "scripts/build.py": ("scripts/release.py", '"build.py", *BUILD'),
    "scripts/check.py": ("scripts/release.py", '"check.py", *built'),
    "scripts/smoke.py": ("scripts/release.py", '"smoke.py", *'),
    "scripts/release.py state": ("tests/integration/test_releasing.py", 'release("state"'),
    "scripts/release.py compare": ("tests/integration/test_releasing.py", 'release("compare"'),
    "scripts/release.py papers": ("tests/integration/test_releasing.py", 'release("papers"'),
    "scripts/release.py announce": ("tests/integration/test_releasing.py", 'release("announce"'),
    "scripts/pin.py": ("tests/integration/test_pin_latest.py", '"scripts/pin.py"'),
    "scripts/native.py": ("tests/integration/test_workflows.py", '"scripts/native.py"'),
}
PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
WRITES = {
    "attest": {"id-token": "write", "attestations": "write"},
    "publish": {"id-token": "write"},
    "announce": {"contents": "write"},
    "propose": {"contents": "write", "pull-requests": "write"},
}


def load(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe", pure=True).load(path)
    return found


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = load(path)["jobs"]
    return found


def steps() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in jobs(path).items():
            yield from ((path.name, name, step) for step in job["steps"])


def commands() -> set[str]:
    return {step["run"] for _, _, step in steps() if "run" in step}


def test_the_workflows_are_these() -> None:
    assert NAMES == ["ci.yml", "pin.yml", "release.yml"]


def linted(check: lint.Check, tree: Path) -> int:
    code = lint.run(check, tree)
    if code is None:
        pytest.skip(f"{check.tool} is not installed here; some linters need Python 3.11")
    return code


CHECK_IDS = [f"{check.tool}-{number}" for number, check in enumerate(lint.WORKFLOW_CHECKS)]


@pytest.mark.parametrize("check", lint.WORKFLOW_CHECKS, ids=CHECK_IDS)
def test_the_linters_find_nothing(check: lint.Check) -> None:
    assert linted(check, ROOT) == 0


MISTAKES = [
    ("check-jsonschema", "workflows/ci.yml", "runs-on: ubuntu-latest", "run-on: ubuntu-latest"),
    ("check-jsonschema", "dependabot.yml", "interval: weekly", "interval: sometimes"),
    ("check-jsonschema", "ISSUE_TEMPLATE/bug.yml", "type: textarea", "type: textfield"),
    ("zizmor", "workflows/ci.yml", "persist-credentials: false", "persist-credentials: true"),
    ("jactionlint", "workflows/release.yml", "github.event_name", "github.event_nam"),
]


@pytest.mark.parametrize(("tool", "file", "right", "wrong"), MISTAKES, ids=[wrong for *_, wrong in MISTAKES])
def test_a_linter_would_find_something(tool: str, file: str, right: str, wrong: str, tmp_path: Path) -> None:
    path = Path(shutil.copytree(FOLDER, tmp_path / ".github"), file)
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong))
    assert any(linted(check, tmp_path) for check in lint.WORKFLOW_CHECKS if check.tool == tool)


# --- what no linter asks


def test_every_action_is_pinned_by_a_full_commit_with_its_version_beside_it() -> None:
    lines = [line.strip() for path in WORKFLOWS for line in path.read_text().splitlines() if "uses:" in line]
    assert len(lines) > 20
    assert [line for line in lines if not PINNED.fullmatch(line.removeprefix("- "))] == []


def test_an_action_is_the_same_commit_everywhere() -> None:
    used: dict[str, set[str]] = {}
    for path in WORKFLOWS:
        for name, rest in re.findall(r"uses: ([^@\s]+)@(.*)", path.read_text()):
            used.setdefault(name, set()).add(rest)
    assert {name: places for name, places in used.items() if len(places) > 1} == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_permissions_are_granted_to_jobs_only(path: Path) -> None:
    assert load(path)["permissions"] == {}
    for name, job in jobs(path).items():
        assert job["permissions"] == WRITES.get(name, {"contents": "read"}), name
        assert job["timeout-minutes"] <= 90, name


def test_no_checkout_keeps_its_token() -> None:
    checkouts = [step for _, _, step in steps() if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts and all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_nothing_is_cached() -> None:
    # A cache is written by one run and believed by another.
    assert [step for _, _, step in steps() if "cache" in str(step).lower()] == []


def test_every_step_that_runs_something_runs_a_script_of_the_repository() -> None:
    for command in commands():
        words = shlex.split(command)
        script = ROOT / words[1]
        assert words[0] == ("bash" if script.name == "run" else "python"), command
        assert script.is_file() and script.parent in (ROOT / "scripts", ROOT / ".ci"), command
        assert not re.search(r"[;&|$`<>\n]|\{\{", command), f"{command!r} holds logic: put it into a script"


def test_ci_runs_every_script_that_a_workflow_runs() -> None:
    named = set()
    for command in commands():
        script, *rest = shlex.split(command)[1:]
        named.add(f"{script} {rest[0]}" if script == "scripts/release.py" else script)
    assert named == set(EXERCISED)
    for what, (file, words) in EXERCISED.items():
        assert words in (ROOT / file).read_text(encoding="utf-8"), f"nothing runs {what}: {file} has lost {words}"


def test_the_scripts_take_the_arguments_that_the_workflows_give() -> None:
    # argparse refuses what it does not know before anything is done; --help ends it before that, too.
    for command in commands():
        words = shlex.split(command)
        if words[1].startswith("scripts/") and words[1] not in ("scripts/native.py", "scripts/test.py"):
            given = [sys.executable, *words[1:], "--help"]
            done = subprocess.run(given, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command}: {done.stderr}"
            options = [word for word in words[2:] if word.startswith("--")]
            assert all(option in done.stdout for option in options), command


def test_every_runner_runs_all_tests_but_those_whose_marker_says_why_not() -> None:
    ci = jobs(FOLDER / "workflows" / "ci.yml")
    for job in ("tests", "elsewhere", "windows"):
        assert [step["run"] for step in ci[job]["steps"] if "run" in step] == ["python scripts/test.py"], job
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["markers"]
    assert [line.partition(": ")[0] for line in markers] == ["posix", "provider", "windows", "slow", "root"]


def test_every_python_and_platform_is_tested() -> None:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    pythons = [name.rpartition(" :: ")[2] for name in found if re.search(r":: 3\.\d+$", name)]
    ci = jobs(FOLDER / "workflows" / "ci.yml")
    linux, unix, windows = (ci[name]["strategy"]["matrix"] for name in ("tests", "elsewhere", "windows"))
    # The tools need 3.10; the tests install the package on the oldest Python, and so do the native wheels'.
    assert linux["python"] == unix["python"] == windows["python"] == [name for name in pythons if name != "3.9"]
    for name in ("tests", "elsewhere"):
        setup = next(step for step in ci[name]["steps"] if "setup-python" in step.get("uses", ""))
        assert setup["with"]["python-version"].split()[0] == pythons[0] == "3.9"
    assert ci["tests"]["runs-on"] == "ubuntu-latest"
    assert unix["runner"] + windows["runner"] == [
        "ubuntu-24.04-arm",
        "macos-latest",
        "windows-latest",
        "windows-11-arm",
    ]
    assert windows["exclude"] == [{"runner": "windows-11-arm", "python": "3.10"}]


@pytest.mark.parametrize(("name", "job"), [("ci.yml", "wheels"), ("release.yml", "native")])
def test_every_target_is_built_on_a_runner_of_its_own(name: str, job: str) -> None:
    assert jobs(FOLDER / "workflows" / name)[job]["strategy"]["matrix"]["runner"] == NATIVE


def test_the_release_builds_natively_for_every_target_and_never_with_an_old_hatchling() -> None:
    pytest.importorskip("cibuildwheel", reason="cibuildwheel needs Python 3.11")
    (step,) = [step for step in jobs(FOLDER / "workflows" / "release.yml")["native"]["steps"] if "run" in step]
    build = step["env"]["CIBW_BUILD"]
    found = set()
    for platform, archs in (("linux", "x86_64 aarch64"), ("macos", "x86_64 arm64"), ("windows", "AMD64 x86 ARM64")):
        command = [sys.executable, "scripts/native.py", "--print-build-identifiers", "--platform", platform]
        environ = {**_environ(), "CIBW_BUILD": build, "CIBW_ARCHS": archs}
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
        found |= set(done.stdout.split())
    assert {name.partition("-")[0] for name in found} == {"cp310", "cp315"}
    keys = {targets.resolve({targets.CIBUILDWHEEL_VARIABLE: name}).target.key for name in found}
    assert keys == set(targets.RIDS)


def _environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CIBW_")}


def test_a_release_is_dry_unless_told_otherwise_and_needs_a_second_person() -> None:
    path = FOLDER / "workflows" / "release.yml"
    found = load(path)
    # YAML 1.1 reads the key `on` as true; this reader is 1.2.
    assert found["on"]["workflow_dispatch"]["inputs"]["dry-run"]["default"] is True
    assert set(found["on"]) == {"push", "workflow_dispatch"} and set(found["on"]["push"]) == {"tags"}
    condition = "github.event_name == 'push' || !inputs.dry-run"
    outward = {name for name, job in jobs(path).items() if job["permissions"] != {"contents": "read"}}
    assert outward == {"attest", "publish", "announce"}
    assert all(jobs(path)[name]["if"] == condition for name in outward)
    assert jobs(path)["publish"]["environment"] == "release"
    assert found["env"]["RELEASE_DRY_RUN"] == "${{ github.event_name != 'push' && inputs.dry-run }}"


def test_nothing_is_published_that_was_not_verified() -> None:
    found = jobs(FOLDER / "workflows" / "release.yml")
    assert found["verify"]["needs"] == ["build", "native"]
    assert [found[name]["needs"] for name in ("attest", "publish", "announce")] == [["verify"], ["attest"], ["publish"]]
    ran = [step["run"].split()[1:3] for step in found["verify"]["steps"] if "run" in step]
    assert ran == [
        ["scripts/build.py", "sdist"],
        ["scripts/release.py", "compare"],
        ["scripts/check.py", "dist/*"],
        ["scripts/smoke.py", "dist/*"],
        ["scripts/release.py", "papers"],
    ]


def test_the_commit_is_judged_with_all_tags_and_main_at_hand() -> None:
    steps = jobs(FOLDER / "workflows" / "release.yml")["build"]["steps"]
    assert steps[0]["with"]["fetch-depth"] == 0
    assert next(step["run"] for step in steps if "run" in step) == "python scripts/release.py state"


# --- the tools of a release


def pins(name: str) -> dict[str, str]:
    lines = [line.partition(";")[0].strip() for line in (FOLDER / name).read_text().splitlines()]
    rows = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in rows}


def wanted(group: str) -> Iterator[Requirement]:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    for each in groups[group]:
        yield from wanted(each["include-group"]) if isinstance(each, dict) else [Requirement(each)]


def test_a_release_is_made_with_named_versions_of_its_tools() -> None:
    release = load(FOLDER / "workflows" / "release.yml")
    assert release["env"]["PIP_CONSTRAINT"] == ".github/tools.txt"
    (native,) = [step for step in release["jobs"]["native"]["steps"] if "run" in step]
    assert native["env"]["CIBW_ENVIRONMENT"] == "UV_CONSTRAINT=.github/hatchling.txt"
    tools, header = pins("tools.txt"), (FOLDER / "tools.txt").read_text().splitlines()[1].strip("# ")
    for each in wanted("dev"):
        version = tools.get(canonicalize_name(each.name), "none")
        assert version != "none" and each.specifier.contains(version), f"{each}: {version} is pinned; run {header}"
    assert pins("hatchling.txt") == {"hatchling": tools["hatchling"]}


def test_the_named_versions_go_together(tmp_path: Path) -> None:
    # uv reads of the packages what it needs to know; nothing is installed.
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    assert uv, "uv comes with the dependency group build"
    command = [uv, "pip", "compile", "--quiet", "--universal", "--python-version", "3.13", "--group", "dev"]
    options = ["--constraints", ".github/tools.txt", "--no-header", "--no-annotate"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    needed = {canonicalize_name(line.partition("==")[0]) for line in done.stdout.splitlines()}
    assert needed <= set(pins("tools.txt")), sorted(needed - set(pins("tools.txt")))


def test_dependabot_waits_before_it_believes() -> None:
    updates = load(FOLDER / "dependabot.yml")["updates"]
    assert [each["package-ecosystem"] for each in updates] == ["github-actions", "pip"]
    assert all(each["cooldown"]["default-days"] >= 7 and each["groups"] for each in updates)
    assert updates[1]["directories"] == ["/", "/.github"]


# --- SECURITY.md


def test_every_row_of_the_threat_table_names_tests_that_exist() -> None:
    rows = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith("| ")]
    rows = [row for row in rows[1:] if not row.startswith("| ---")]
    assert len(rows) > 15
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", row)
        assert named, f"no test is named: {row}"
        for file, test in named:
            assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file}::{test} is not there"
