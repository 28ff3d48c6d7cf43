"""The bill of materials: valid, deterministic, complete, and nothing in it that nobody said."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from credprovider import targets
from credprovider.errors import PayloadError
from credprovider.lockfile import Pin
from credprovider.payload import sbom, tree
from credprovider.targets import TARGETS
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from artifacts_keyring.provider import layout

pytestmark = pytest.mark.posix

KEYS = [target.key for target in TARGETS]
DEPS, CONFIG = (f"{layout.PROGRAM}.{kind}.json" for kind in ("deps", "runtimeconfig"))
Trees = Callable[[str], Path]


def made(trees: Trees, lock: Pin, key: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(sbom.render(trees(key), lock, targets.by_key(key)))
    return document


def deps(root: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((root / DEPS).read_text(encoding="utf-8"))
    return data


def properties(component: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["name"].partition(":")[2], one["value"]) for one in component["properties"]]


def described(root: Path, into: Path) -> Path:
    """The files of `root` that describe it, alone in a folder that a test may change."""
    for name in (DEPS, CONFIG, *map(layout.placed, tree.LICENSE_FILES)):
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, into / name)
    return into


@pytest.mark.parametrize("key", KEYS)
def test_it_is_valid_against_the_strict_schema(key: str, lock: Pin, payload_tree: Trees) -> None:
    text = sbom.render(payload_tree(key), lock, targets.by_key(key))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert text.isascii() and text.endswith("}\n")


@pytest.mark.parametrize("key", KEYS)
def test_it_names_the_provider_its_source_and_its_digests(key: str, lock: Pin, payload_tree: Trees) -> None:
    row, document = lock.targets[key], made(payload_tree, lock, key)
    provider = document["metadata"]["component"]
    assert (provider["name"], provider["version"]) == ("CredentialProvider.Microsoft", lock.version)
    assert provider["purl"] == f"pkg:github/microsoft/artifacts-credprovider@v{lock.version}"
    assert provider["licenses"] == [{"license": {"id": "MIT"}}]
    references = {one["type"]: one for one in provider["externalReferences"]}
    assert references["distribution"]["url"] == lock.asset_url(key)
    digests = [one["content"] for one in references["distribution"].get("hashes", [])]
    assert digests == ([row.asset.sha256] if row.asset.sha256 else [])
    assert {("tree:sha256", row.tree.sha256), ("target", key), ("platform-tag", targets.by_key(key).tag)} <= set(
        properties(provider)
    )


@pytest.mark.parametrize("key", KEYS)
def test_every_library_of_the_payload_is_in_it_with_its_purl_and_hash(key: str, lock: Pin, payload_tree: Trees) -> None:
    libraries = {
        name: entry for name, entry in deps(payload_tree(key))["libraries"].items() if "sha512-" in entry["sha512"]
    }
    components = {one["bom-ref"]: one for one in made(payload_tree, lock, key)["components"]}
    assert len(libraries) >= 28
    for name, entry in libraries.items():
        assert components[name]["purl"] == "pkg:nuget/" + name.replace("/", "@")
        (digest,) = components[name]["hashes"]
        assert base64.b64encode(bytes.fromhex(digest["content"])).decode() == entry["sha512"][len("sha512-") :]
    rest = {name for name in components if name not in libraries}
    runtime = {name for name in rest if name.startswith("runtimepack.")}
    assert rest - runtime == {"Microsoft.Artifacts.Authentication/0.2.10"}
    assert len(runtime) == (0 if key == "any" else 1)


@pytest.mark.parametrize("key", KEYS)
def test_every_file_of_the_payload_belongs_to_exactly_one_component(key: str, lock: Pin, payload_tree: Trees) -> None:
    root, document = payload_tree(key), made(payload_tree, lock, key)
    components = [document["metadata"]["component"], *document["components"]]
    places = [one["location"] for c in components for one in c.get("evidence", {}).get("occurrences", [])]
    assert sorted(places) == sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    scopes = {c["name"]: (c["scope"], "evidence" in c) for c in components[1:]}
    assert set(scopes.values()) == {("required", True), ("excluded", False)}
    assert scopes["Newtonsoft.Json"][0] == "required" and scopes["ReferenceTrimmer"][0] == "excluded"


@pytest.mark.parametrize("key", KEYS)
def test_the_dependency_graph_is_the_one_of_deps_json(key: str, lock: Pin, payload_tree: Trees) -> None:
    data, document = deps(payload_tree(key)), made(payload_tree, lock, key)
    graph = {one["ref"]: set(one["dependsOn"]) for one in document["dependencies"]}
    used = data["targets"][data["runtimeTarget"]["name"]]
    wanted = {
        name: {f"{other}/{version}" for other, version in entry.get("dependencies", {}).items()}
        for name, entry in used.items()
    }
    assert graph == wanted
    refs = {document["metadata"]["component"]["bom-ref"], *(one["bom-ref"] for one in document["components"])}
    assert set(graph) == refs


@pytest.mark.parametrize("key", ["linux-x64", "osx-arm64", "win-x86"])
def test_the_runtime_is_a_component_where_it_is_inside(key: str, lock: Pin, payload_tree: Trees) -> None:
    document = made(payload_tree, lock, key)
    (runtime,) = [one for one in document["components"] if one["type"] == "platform"]
    assert runtime["purl"] == f"pkg:nuget/Microsoft.NETCore.App.Runtime.{key}@{runtime['version']}"
    framework = f"Microsoft.NETCore.App {runtime['version']}, included"
    assert ("dotnet-framework", framework) in properties(document["metadata"]["component"])
    dropped = "left out of the payload: libcoreclrtraceptprovider.so" if key == "linux-x64" else None
    assert runtime.get("pedigree", {}).get("notes") == dropped


def test_where_no_runtime_is_inside_it_says_what_is_needed(lock: Pin, payload_tree: Trees) -> None:
    document = made(payload_tree, lock, "any")
    assert not [one for one in document["components"] if one["type"] == "platform"]
    needed = "Microsoft.NETCore.App 8.0.0, not included, rollForward Major"
    assert ("dotnet-framework", needed) in properties(document["metadata"]["component"])


def test_only_licences_that_the_payload_tells_are_in_it(lock: Pin, payload_tree: Trees) -> None:
    licences = {
        one["name"]: one["licenses"] for one in made(payload_tree, lock, "any")["components"] if "licenses" in one
    }
    mit = [{"license": {"id": "MIT"}}]
    assert licences == {"Newtonsoft.Json": mit, "PowerArgs": mit}


def test_a_licence_that_is_not_mit_alone_is_not_called_mit(lock: Pin, payload_tree: Trees, tmp_path: Path) -> None:
    root = described(payload_tree("any"), tmp_path)
    for name in ("legal/LICENSE", "legal/ThirdPartyNotices.txt"):
        text = (root / name).read_text(encoding="utf-8")
        (root / name).write_text(text.replace("without restriction", "with one restriction"), encoding="utf-8")
    document = made(lambda _key: root, lock, "any")
    assert document["metadata"]["component"]["licenses"] == [{"license": {"name": "see LICENSE"}}]
    assert not [one for one in document["components"] if "licenses" in one]


def test_it_is_the_same_text_elsewhere_and_for_every_hash_seed(lock: Pin, payload_tree: Trees, tmp_path: Path) -> None:
    here = sbom.render(payload_tree("any"), lock, targets.by_key("any"))
    elsewhere = tree.stage(payload_tree("any"), lock.targets["any"].tree, tmp_path / "elsewhere")
    root = Path(__file__).resolve().parents[2]
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = [sys.argv[1], sys.argv[4]]\n"
        "from credprovider import lockfile, targets\n"
        "from credprovider.payload import sbom\n"
        "lock = lockfile.load(Path(sys.argv[2]))\n"
        "sys.stdout.write(sbom.render(Path(sys.argv[3]), lock, targets.by_key('any')))"
    )
    arguments = [str(root / "scripts"), str(root / "credprovider.lock.toml"), str(elsewhere), str(root)]
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={"PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": seed, "SYSTEMROOT": "C:\\Windows"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == here
    assert "timestamp" not in here


def test_its_serial_number_comes_from_the_tree(lock: Pin, payload_tree: Trees) -> None:
    serials = {made(payload_tree, lock, key)["serialNumber"] for key in KEYS}
    assert len(serials) == len(KEYS)
    row = lock.targets["any"]
    other = replace(row, tree=replace(row.tree, sha256=hashlib.sha256().hexdigest()))
    changed = made(payload_tree, replace(lock, targets={**lock.targets, "any": other}), "any")["serialNumber"]
    assert changed not in serials
    assert uuid.UUID(changed).version == 5


def test_an_archive_digest_that_is_known_is_in_it(lock: Pin, payload_tree: Trees) -> None:
    row = lock.targets["any"]
    for digest in (None, "ab" * 32):
        known = replace(row, asset=replace(row.asset, sha256=digest))
        document = made(payload_tree, replace(lock, targets={**lock.targets, "any": known}), "any")
        reference = document["metadata"]["component"]["externalReferences"][0]
        assert reference.get("hashes") == ([{"alg": "SHA-256", "content": digest}] if digest else None)


def test_another_version_than_the_pinned_one_is_an_error(lock: Pin, payload_tree: Trees) -> None:
    with pytest.raises(
        PayloadError, match=r"names CredentialProvider.Microsoft/2\.0\.5; the pin says .*/9\.9\.9; make"
    ):
        sbom.render(payload_tree("any"), replace(lock, version="9.9.9"), targets.by_key("any"))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"targets": {}, "libraries": 1}', b"\xff", None])
@pytest.mark.parametrize("name", [DEPS, CONFIG])
def test_a_payload_that_does_not_describe_itself_is_an_error(
    name: str, content: bytes | None, lock: Pin, payload_tree: Trees, tmp_path: Path
) -> None:
    root = described(payload_tree("any"), tmp_path)
    (root / name).unlink() if content is None else (root / name).write_bytes(content)
    with pytest.raises(PayloadError, match="does not describe itself as a .NET program") as caught:
        sbom.render(root, lock, targets.by_key("any"))
    assert "\n" not in str(caught.value)
