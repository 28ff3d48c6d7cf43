"""The real cibuildwheel: its Linux build in a container, and the matrix of the other platforms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Callable

import pytest
from credprovider import targets
from credprovider.build.reproducible import copy_tree
from credprovider.fetch import sources
from credprovider.lockfile import Pin

from tests.conftest import ROOT
from tests.fakes import debian, podman

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = [pytest.mark.posix, pytest.mark.root]


pytest.importorskip("cibuildwheel", reason="cibuildwheel needs Python 3.11")


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Variables that make cibuildwheel use podman and our image."""
    if lacking := [*podman.missing(), *debian.missing()]:
        pytest.skip(f"cibuildwheel's Linux build needs {', '.join(lacking)}")
    folder = tmp_path_factory.mktemp("podman")
    with podman.store(folder) as variables:
        yield {**variables, "CIBW_MANYLINUX_X86_64_IMAGE": podman.make_image(folder, variables)}


def cibuildwheel(*arguments: object, cwd: Path = ROOT, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cibuildwheel", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )


def test_cibuildwheel_builds_audits_and_tests_the_linux_wheel(
    container: dict[str, str], archive: Callable[[str], sources.Archive], lock: Pin, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / lock.targets["linux-x64"].index_file.name).write_bytes(archive("linux-x64").path.read_bytes())
    mounts = f"--volume={podman.CERTIFICATES}:{podman.CERTIFICATES}:ro --volume={shared}:/archives:ro"
    trust = f"--env=SSL_CERT_FILE={podman.BUNDLE} --env=PIP_CERT={podman.BUNDLE}"
    done = cibuildwheel(
        "--platform",
        "linux",
        "--output-dir",
        tmp_path / "out",
        cwd=copy_tree(ROOT, tmp_path / "tree"),
        **container,
        CIBW_BUILD="cp39-manylinux_x86_64",
        CIBW_CONTAINER_ENGINE=f"podman; create_args: {mounts} {trust}; disable_host_mount: true",
        ARTIFACTS_CREDENTIAL_PROVIDER_ARCHIVE_DIR="/archives",
    )
    log = done.stdout + done.stderr
    assert done.returncode == 0, log
    assert [path.name.partition("-py3")[2] for path in (tmp_path / "out").iterdir()] == [
        "-none-manylinux_2_23_x86_64.whl"
    ]
    assert "Auditing wheel" in log and "Testing wheel" in log, log


@pytest.mark.parametrize(
    ("platform", "archs", "keys"),
    [
        ("linux", "x86_64 aarch64", {"linux-x64", "linux-arm64"}),
        ("macos", "x86_64 arm64", {"osx-x64", "osx-arm64"}),
        ("windows", "AMD64 x86 ARM64", {"win-x64", "win-x86", "win-arm64"}),
    ],
)
def test_the_matrix_builds_every_target_of_a_platform(platform: str, archs: str, keys: set[str]) -> None:
    done = cibuildwheel("--print-build-identifiers", "--platform", platform, CIBW_ARCHS=archs)
    assert done.returncode == 0, done.stderr
    identifiers = done.stdout.split()
    found = {targets.resolve({targets.CIBUILDWHEEL_VARIABLE: name}).target.key for name in identifiers}
    assert found == keys
    assert {name.partition("-")[0] for name in identifiers} >= {"cp315"}


def test_the_configuration_fits_cibuildwheels_schema() -> None:
    import jsonschema

    schema = json.loads(files("cibuildwheel").joinpath("resources/cibuildwheel.schema.json").read_text())
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["cibuildwheel"]
    jsonschema.validate(table, schema)
