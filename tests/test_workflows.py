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

import pytest
from credprovider import targets
from ruamel.yaml import YAML

from tests.conftest import ROOT

FOLDER = ROOT / ".github"
WORKFLOWS = sorted((FOLDER / "workflows").glob("*.yml"))
NAMES = [path.name for path in WORKFLOWS]
BIN = Path(sys.executable).parent
NATIVE = ["ubuntu-latest", "ubuntu-24.04-arm", "windows-latest", "windows-11-arm", "macos-15-intel", "macos-latest"]
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


def tool(name: str) -> str:
    found = shutil.which(name, path=str(BIN)) or shutil.which(name)
    if found is None:
        pytest.fail(f"{name} is not installed; it is in the dependency group lint")
    return found


def test_the_workflows_are_these() -> None:
    assert NAMES == ["ci.yml", "pin.yml", "release.yml"]


def test_zizmor_finds_nothing() -> None:
    command = [tool("zizmor"), "--offline", "--no-progress", "--persona=pedantic", str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "No findings to report" in done.stdout + done.stderr, done.stdout + done.stderr


def test_zizmor_would_find_something(tmp_path: Path) -> None:
    bad = (
        (FOLDER / "workflows" / "ci.yml").read_text().replace("persist-credentials: false", "persist-credentials: true")
    )
    (tmp_path / "ci.yml").write_text(bad)
    command = [tool("zizmor"), "--offline", "--no-progress", "--persona=auditor", str(tmp_path / "ci.yml")]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize(
    ("schema", "path"),
    [*(("vendor.github-workflows", path) for path in WORKFLOWS), ("vendor.dependabot", FOLDER / "dependabot.yml")],
    ids=[*NAMES, "dependabot.yml"],
)
def test_the_files_fit_their_schema(schema: str, path: Path) -> None:
    command = [tool("check-jsonschema"), "--builtin-schema", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_nothing() -> None:
    actionlint = shutil.which("actionlint")
    if actionlint is None:
        pytest.skip("actionlint is not on PATH, and its package downloads it from where it cannot be had everywhere")
    done = subprocess.run([actionlint, *map(str, WORKFLOWS)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


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


def test_the_files_that_are_named_for_windows_are_there() -> None:
    (named,) = [step["run"] for step in jobs(FOLDER / "workflows" / "ci.yml")["windows"]["steps"] if "run" in step]
    assert all((ROOT / word).is_file() for word in shlex.split(named)[1:])


@pytest.mark.parametrize(("name", "job"), [("ci.yml", "wheels"), ("release.yml", "native")])
def test_every_target_is_built_on_a_runner_of_its_own(name: str, job: str) -> None:
    assert jobs(FOLDER / "workflows" / name)[job]["strategy"]["matrix"]["runner"] == NATIVE


def test_the_release_builds_natively_for_every_target_and_never_with_an_old_hatchling() -> None:
    (step,) = [step for step in jobs(FOLDER / "workflows" / "release.yml")["native"]["steps"] if "run" in step]
    build = step["env"]["CIBW_BUILD"]
    found = set()
    for platform, archs in (("linux", "x86_64 aarch64"), ("macos", "x86_64 arm64"), ("windows", "AMD64 x86 ARM64")):
        command = [sys.executable, "scripts/native.py", "--print-build-identifiers", "--platform", platform]
        environ = {**_environ(), "CIBW_BUILD": build, "CIBW_ARCHS": archs}
        done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
        found |= set(done.stdout.split())
    assert {name.partition("-")[0] for name in found} == {"cp310", "cp313"}
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
        ["scripts/release.py", "compare"],
        ["scripts/check.py", "dist/*"],
        ["scripts/smoke.py", "dist/*.whl"],
        ["scripts/release.py", "papers"],
    ]


def test_dependabot_waits_before_it_believes() -> None:
    updates = load(FOLDER / "dependabot.yml")["updates"]
    assert [each["package-ecosystem"] for each in updates] == ["github-actions", "pip"]
    assert all(each["cooldown"]["default-days"] >= 7 and each["groups"] for each in updates)


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
