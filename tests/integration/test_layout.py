"""Where the files of the payload lie: every byte still proven, and no path too long for Windows."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Callable

import pytest
from credprovider import targets
from credprovider.lockfile import Pin
from credprovider.payload import tree
from credprovider.verify import payload_rules
from credprovider.verify.dist import BIN
from hypothesis import given
from hypothesis import strategies as st

import artifacts_keyring
from artifacts_keyring.provider import layout
from tests.fakes.archives import PROVIDER, contents, files, make, tree_of

MAX_PATH = 260  # characters, with the one that ends a path
USER, PROJECT = "u" * 20, "p" * 30  # an account's name on Windows has no more than 20

# Folders that packages are installed to without a person's having chosen a deep one.
SITES = {
    "python.org": rf"C:\Users\{USER}\AppData\Local\Programs\Python\Python313-arm64\Lib\site-packages",
    "python.org, --user": rf"C:\Users\{USER}\AppData\Roaming\Python\Python313\site-packages",
    "Microsoft Store": rf"C:\Users\{USER}\AppData\Local\Packages\PythonSoftwareFoundation.Python.3.13_qbz5n2kfra8p0"
    r"\LocalCache\local-packages\Python313\site-packages",
    "Poetry": rf"C:\Users\{USER}\AppData\Local\pypoetry\Cache\virtualenvs\{PROJECT}-aB3_-xYz-py3.13\Lib\site-packages",
    "pipenv": rf"C:\Users\{USER}\.virtualenvs\{PROJECT}-aB3_-xYz\Lib\site-packages",
    "hatch": rf"C:\Users\{USER}\AppData\Local\hatch\env\virtual\{PROJECT}\aB3_-xYz\{PROJECT}\Lib\site-packages",
    "uv tool": rf"C:\Users\{USER}\AppData\Roaming\uv\tools\artifacts-keyring\Lib\site-packages",
    "pipx": rf"C:\Users\{USER}\pipx\venvs\artifacts-keyring\Lib\site-packages",
    "tox": rf"C:\Users\{USER}\Documents\GitHub\{PROJECT}\.tox\py313\Lib\site-packages",
    "pip, building": rf"C:\Users\{USER}\AppData\Local\Temp\pip-install-aB3_xYz1\artifacts-keyring_{'0' * 32}",
}

Trees = Callable[[str], Path]
PARTS = st.sampled_from([layout.VENDORS, layout.LEGAL, "plugins/", "LICENSE", "a", "/", PROVIDER])
PATHS = st.lists(PARTS | st.text(max_size=3), max_size=6).map("".join)


@given(PATHS)
def test_every_path_of_the_vendors_comes_back(path: str) -> None:
    assert layout.vendors(layout.placed(path)) == path


@given(st.lists(PATHS, min_size=2, max_size=2, unique=True))
def test_no_two_files_of_the_vendors_lie_in_one_place(paths: list[str]) -> None:
    assert layout.placed(paths[0]) != layout.placed(paths[1])


ELSEWHERE = [f"{PROVIDER}/x.dll", f"legal/{PROVIDER}/x.dll", "legal/x.dll", "legal/legal/LICENSE"]


@pytest.mark.parametrize("moved", ELSEWHERE)
def test_a_file_in_another_place_is_another_tree(tmp_path: Path, moved: str) -> None:
    wanted = {f"{PROVIDER}/x.dll": b"MZ", "LICENSE": b"MIT\n"}
    root = tree.unpack(make("zip", tmp_path, files(wanted)), tree_of(wanted), tmp_path / "root")
    assert contents(root) == wanted and (root / "x.dll").is_file() and (root / "legal" / "LICENSE").is_file()
    (root / moved).parent.mkdir(parents=True, exist_ok=True)
    (root / ("legal/LICENSE" if moved.endswith("LICENSE") else "x.dll")).rename(root / moved)
    assert tree.measure(root).sha256 != tree_of(wanted).sha256


@pytest.mark.parametrize("key", targets.KEYS)
def test_the_bytes_are_proven_by_the_vendors_own_paths(key: str, payload_tree: Trees, lock: Pin) -> None:
    found = contents(payload_tree(key))
    assert tree_of(found) == lock.targets[key].tree
    assert sum("/" not in path for path in found) == len(tree.LICENSE_FILES)
    assert f"{PROVIDER}/{layout.PROGRAM}.dll" in found


@pytest.mark.parametrize("site", SITES.values(), ids=list(SITES))
def test_the_longest_path_there_may_be_fits_below_the_site_packages_of_windows(site: str) -> None:
    assert len(f"{site}\\") + payload_rules.LONGEST_PATH < MAX_PATH


@pytest.mark.slow
@pytest.mark.parametrize("key", targets.KEYS)
def test_a_wheel_keeps_within_it_whatever_its_version(key: str, wheel: Trees) -> None:
    with zipfile.ZipFile(wheel(key)) as archive:
        names = archive.namelist()
    grown = [name.replace(f"-{artifacts_keyring.__version__}.dist-info", "-3.10.10rc10.dist-info") for name in names]
    assert any("-3.10.10rc10.dist-info/" in name for name in grown) and any(name.startswith(BIN) for name in grown)
    assert max(map(len, grown)) <= payload_rules.LONGEST_PATH, max(grown, key=len)
