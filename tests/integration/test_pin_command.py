"""scripts/pin.py: what it makes of a release, and what it refuses."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from credprovider import hook, lockfile, targets
from credprovider.errors import (
    ArchiveError,
    BuildError,
    ChecksumError,
    FloorError,
    LicenceError,
    OutputError,
    PayloadError,
    PinError,
    ProvenanceError,
    ReleaseError,
)
from credprovider.fetch.http import Unavailable
from credprovider.lockfile import Pin, Tree
from credprovider.maintain import measure
from credprovider.payload.tree import LICENSE_FILES

from tests.fakes.archives import contents
from tests.fakes.pinned_project import (
    DEPS,
    DLL,
    EULA,
    HOME,
    NATIVE,
    ROOT,
    Content,
    Trees,
    World,
    environment,
    pack,
    replaced,
    small_world,
    snapshot,
    tree_of,
    versioned,
)
from tests.fakes.release_page import release_page
from tests.fakes.servers import serve

pytestmark = pytest.mark.posix


@pytest.fixture
def world(tmp_path: Path, payload_tree: Trees) -> Iterator[World]:
    """A world of this test's own."""
    with small_world(tmp_path, payload_tree) as made:
        yield made


# --- a release


def test_the_same_release_changes_nothing_but_the_checksum_that_is_known_now(world: World) -> None:
    world.publish(world.contents)
    said = world.run(keys=("any", "linux-x64"), write=True)
    assert "the same tree" in said and world.stands_out() == []
    now = lockfile.load(world.lock)
    for key in ("any", "linux-x64"):
        assert now.targets[key].asset.sha256 == hashlib.sha256(pack(world.contents[key], world.name(key))).hexdigest()
    forgotten = {
        key: dataclasses.replace(row, asset=dataclasses.replace(row.asset, sha256=None))
        for key, row in now.targets.items()
    }
    assert forgotten["any"].index_file and forgotten["any"].tree == tree_of(world.contents["any"])
    assert "nothing changes" in world.run(keys=("any", "linux-x64"), write=True)


def test_a_new_release_is_shown_and_written_only_when_told(world: World) -> None:
    files = versioned(world.contents["any"], "2.0.6")
    files = replaced(files, DEPS, b"Newtonsoft.Json/13.0.3", b"Newtonsoft.Json/13.0.4")
    gone = f"{HOME}PowerArgs.dll"
    del files[gone]
    files[f"{HOME}fresh.config"] = b"<configuration/>\n"
    world.publish({"any": files}, "2.0.6")
    before = snapshot(world.root)
    said = world.run("2.0.6")
    assert "provider 2.0.5 -> 2.0.6" in said and "not written" in said and snapshot(world.root) == before
    shown = "\n".join(world.stands_out())
    assert f"new file      {HOME}fresh.config" in shown and f"removed file  {gone}" in shown
    assert "changed component  Newtonsoft.Json 13.0.3 (MIT) -> 13.0.4 (MIT)" in shown
    assert f'-sha256 = "{tree_of(world.contents["any"]).sha256}"' in said
    assert f'+sha256 = "{tree_of(files).sha256}"' in said
    world.run("2.0.6", write=True)
    written = lockfile.load(world.lock)
    assert (written.version, written.targets["any"].tree) == ("2.0.6", tree_of(files))
    assert written.asset_url("any").endswith("/releases/download/v2.0.6/" + world.name("any"))
    assert not written.targets["any"].index_file, "no index is known to carry it"
    assert [path.name for path in world.root.iterdir() if path.name.startswith(".")] == []


def test_without_the_present_payload_only_figures_are_compared(world: World) -> None:
    shutil.rmtree(world.environ.pop("ARTIFACTS_CREDENTIAL_PROVIDER_ARCHIVE_DIR"))
    world.environ["ARTIFACTS_CREDENTIAL_PROVIDER_OFFLINE"] = "true"
    world.publish({"any": versioned(world.contents["any"], "2.0.6")}, "2.0.6")
    world.run("2.0.6")
    assert any("the present payload is not at hand" in line for line in world.stands_out())


def test_what_the_payload_drops_is_no_change(world: World) -> None:
    files = {**world.contents["linux-x64"], f"{HOME}libcoreclrtraceptprovider.so": b"\x7fELF"}
    world.publish({"linux-x64": files})
    assert "the same tree" in world.run(keys=("linux-x64",))


def test_an_asset_that_was_replaced_stands_out(world: World) -> None:
    world.publish({"any": world.contents["any"]})
    world.run(write=True)
    files = dict(reversed(list(world.contents["any"].items())))
    world.publish({"any": files})
    world.run()
    assert any("the same tree in another container" in line for line in world.stands_out())


def test_an_asset_without_a_digest_is_measured_and_that_is_said(world: World) -> None:
    world.publish({"any": world.contents["any"]}, digest=None)
    assert "no digest is published" in world.run(write=True)
    assert lockfile.load(world.lock).targets["any"].asset.sha256


@pytest.mark.parametrize(
    ("changed", "kind", "said"),
    [
        ({"digest": f"sha256:{'0' * 64}"}, ChecksumError, "0" * 64),
        ({"digest": None, "size": 10**7}, ChecksumError, "the release page says 10000000"),
        ({"size": 1000}, Unavailable, "at most 1000"),
        ({"digest": "md5:00"}, ReleaseError, "digest"),
        ({"state": "starter"}, ReleaseError, "starter"),
        ({"size": True}, ReleaseError, "size"),
        ({"size": 0}, ReleaseError, "size"),
        ({"size": 1 << 50}, ReleaseError, "size"),
        ({"name": "../x.tar.gz"}, ReleaseError, "asset 0.name"),
        ({"name": "Other.tar.gz"}, ReleaseError, "it has Other.tar.gz"),
        ({"browser_download_url": "http://example.test/x"}, Unavailable, "only https"),
        ({"browser_download_url": 7}, ReleaseError, "browser_download_url"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_an_asset_that_is_not_what_the_page_says_stops(
    world: World, changed: dict[str, Any], kind: type[BuildError], said: str
) -> None:
    world.publish({"any": world.contents["any"]}, **changed)
    assert said in world.refused(kind, write=True)
    assert list((world.root.parent / "cache").rglob("*.part")) == []


def test_assets_stand_on_the_pinned_page_unless_another_api_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.publish({"any": world.contents["any"]})
    monkeypatch.setattr("credprovider.maintain.vendor_releases.API", world.page.api.url)
    assert "look at the release page" in world.refused(ReleaseError, api=None)


def test_another_version_than_the_one_asked_for_stops(world: World) -> None:
    world.publish({"any": world.contents["any"]}, "2.0.6")
    assert "carries provider 2.0.5, 2.0.6 was asked for" in world.refused(PayloadError, "2.0.6")


@pytest.mark.parametrize("version", ["v2.0.5", "latest", "2.0.5/..", "", "2.0.5\n"])
def test_what_is_no_version_is_not_asked_for(world: World, version: str) -> None:
    assert "is no version" in world.refused(PinError, version)
    assert world.page.api.seen == []


# --- legal texts


def test_a_changed_licence_is_shown_and_has_to_be_accepted(world: World) -> None:
    text = world.contents["any"]["LICENSE"]
    files = {**versioned(world.contents["any"], "2.0.6"), "LICENSE": text + b"\r\nYou owe us a beer.\r\n"}
    world.publish({"any": files}, "2.0.6")
    world.run("2.0.6")
    assert "! LICENSE changed:" in world.said and "    +You owe us a beer." in world.said
    assert "--accept-licences" in world.refused(LicenceError, "2.0.6", write=True)
    world.run("2.0.6", write=True, accept_licences=True)
    kept = (world.root / hook.LICENSES / "LICENSE").read_bytes()
    assert kept.endswith(b"\nYou owe us a beer.\n") and b"\r" not in kept
    assert lockfile.load(world.lock).version == "2.0.6"


def test_the_words_of_a_changed_document_are_shown(world: World) -> None:
    files = {**world.contents["any"], EULA: document(world.contents["any"][EULA], b"MICROSOFT", b"MACROSOFT")}
    world.publish({"any": files})
    said = world.run()
    assert f"! {EULA} changed:" in world.said and "MACROSOFT" in said
    assert EULA in world.refused(LicenceError, write=True)


def test_a_document_that_cannot_be_read_is_a_changed_one(world: World) -> None:
    world.publish({"any": {**world.contents["any"], EULA: b"PK\x03\x04"}})
    assert "words cannot be read" in world.run()


@pytest.mark.parametrize(
    "path",
    [
        "NOTICE",
        "LICENSE.md",
        "README.md",
        f"{HOME}Newtonsoft.LICENCE.txt",
        f"{HOME}THIRD-PARTY.html",
        f"{HOME}eula.rtf",
    ],
)
def test_a_legal_text_that_nobody_declared_stops(world: World, path: str) -> None:
    world.publish({"any": {**world.contents["any"], path: b"All rights reserved.\n"}})
    assert path in world.refused(LicenceError, write=True, accept_licences=True)


@pytest.mark.parametrize("name", LICENSE_FILES)
def test_a_legal_text_that_is_gone_stops(world: World, name: str) -> None:
    world.publish({"any": {path: data for path, data in world.contents["any"].items() if path != name}})
    assert f"{name} is gone" in world.refused(LicenceError)


def test_targets_with_unlike_licences_stop(world: World) -> None:
    other = {**world.contents["linux-x64"], "LICENSE": b"another\n"}
    world.publish({"any": world.contents["any"], "linux-x64": other})
    message = world.refused(LicenceError, keys=("any", "linux-x64"), write=True, accept_licences=True)
    assert "another text than in any" in message


# --- signatures and floors


def test_a_file_whose_signature_does_not_verify_stops(world: World) -> None:
    data = bytearray(world.contents["any"][DLL])
    data[0x400] ^= 1
    world.publish({"any": {**world.contents["any"], DLL: bytes(data)}})
    assert "does not verify" in world.refused(ProvenanceError, write=True)


def test_a_signer_who_is_unexpected_in_that_place_stops(world: World) -> None:
    stranger = f"{HOME}Newtonsoft.Json.dll"
    world.publish({"linux-x64": {**world.contents["linux-x64"], stranger: world.contents["any"][stranger]}})
    message = world.refused(ProvenanceError, keys=("linux-x64",), write=True)
    assert "unexpected here" in message and ".NET Foundation" in message


def test_a_binary_for_another_machine_stops(world: World) -> None:
    world.publish({"any": {**world.contents["any"], f"{HOME}libSystem.Native.so": world.contents["linux-x64"][NATIVE]}})
    assert "is for linux-x64, its place is for any" in world.refused(ProvenanceError, write=True)


def test_a_raised_floor_below_the_tag_stands_out(world: World) -> None:
    files = replaced(versioned(world.contents["linux-x64"], "2.0.6"), NATIVE, b"GLIBC_2.16\0", b"GLIBC_2.22\0")
    world.publish({"linux-x64": files}, "2.0.6")
    world.run("2.0.6", keys=("linux-x64",))
    assert "! raised floor: glibc 2.16 -> 2.22" in world.said


def test_a_floor_above_the_tag_stops_and_says_where_the_tag_stands(world: World) -> None:
    files = replaced(versioned(world.contents["linux-x64"], "2.0.6"), NATIVE, b"GLIBC_2.16\0", b"GLIBC_2.31\0")
    world.publish({"linux-x64": files}, "2.0.6")
    message = world.refused(FloorError, "2.0.6", keys=("linux-x64",), write=True)
    assert "needs GLIBC_2.31, the tag promises 2.23" in message and "targets.py" in message
    assert "! raised floor: glibc 2.16 -> 2.31" in world.said


# --- hostile archives


def test_an_archive_without_a_provider_stops(world: World) -> None:
    world.publish({"any": {"README.md": b"moved\n"}})
    assert "holds 0 providers" in world.refused(PayloadError)


def test_a_release_asset_with_its_payload_in_a_folder_stops(world: World) -> None:
    world.publish({"any": {f"v2/{path}": data for path, data in world.contents["any"].items()}})
    assert "below v2/" in world.refused(PayloadError)


def test_an_archive_that_climbs_out_is_refused(world: World) -> None:
    world.publish({"any": {**world.contents["any"], "../escaped": b""}})
    assert "climbs out" in world.refused(ArchiveError)


def test_an_archive_is_bounded_though_nothing_of_it_is_pinned(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "BOUND", Tree("", 2_000, 1 << 20))
    world.publish({"any": world.contents["any"]})
    assert "more than 1048576 bytes" in world.refused(ArchiveError)


def test_dependencies_that_cannot_be_read_stop(world: World) -> None:
    for data in (b"{", b"[]", b'{"libraries": 7}'):
        world.publish({"any": {**world.contents["any"], DEPS: data}})
        assert "lists no libraries" in world.refused(PayloadError)


def test_a_payload_of_which_no_bill_of_materials_can_be_made_stops(world: World) -> None:
    deps = json.loads(world.contents["any"][DEPS])
    deps["runtimeTarget"] = {}
    world.publish({"any": {**world.contents["any"], DEPS: json.dumps(deps).encode()}})
    message = world.refused(PayloadError)
    assert message.startswith(f"{world.name('any')} ") and "does not describe itself" in message


def test_what_an_archive_says_of_itself_cannot_drive_the_terminal(world: World) -> None:
    files = versioned(world.contents["any"], "2.0.6")
    deps = json.loads(files[DEPS])
    deps["libraries"]["Evil\x1b[2J/1.0"] = {"type": "package", "sha512": ""}
    world.publish({"any": {**files, DEPS: json.dumps(deps).encode()}}, "2.0.6")
    assert any("Evil?[2J 1.0" in line for line in world.run("2.0.6").splitlines())
    assert all(line.isprintable() for line in world.said)


# --- the command


def test_a_folder_that_cannot_be_written_is_said(world: World) -> None:
    shutil.rmtree(world.root / "licenses")
    world.publish({"any": world.contents["any"]})
    with pytest.raises(OutputError) as caught:
        world.run(write=True, accept_licences=True)
    assert "cannot be written" in str(caught.value) and str(caught.value).isprintable()


def test_the_command_measures_a_whole_release(payload_tree: Trees, lock: Pin) -> None:
    before = (ROOT / lockfile.LOCK_NAME).read_bytes()
    with tempfile.TemporaryDirectory() as folder, release_page() as page, serve() as index:
        files: dict[str, Path] = {}
        for key in targets.KEYS:
            name = lock.targets[key].asset.name
            files[name] = Path(folder) / name
            files[name].write_bytes(pack(everything(payload_tree(key), key), name))
        page.publish("2.0.5", dict(files))
        done = command(environment(Path(folder), Path(folder), index), "2.0.5", "--api", page.api.url)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n  the same tree: ") == len(targets.KEYS)
    assert done.stdout.count("the same tree in another container") == 1, "only one asset's checksum is pinned"
    assert done.stdout.count("    +sha256 = ") == len(targets.KEYS)
    assert "not written: credprovider.lock.toml; add --write" in done.stdout
    assert "SECRET" not in done.stdout + done.stderr
    assert (ROOT / lockfile.LOCK_NAME).read_bytes() == before


def test_the_command_says_in_one_line_why_it_stops(tmp_path: Path) -> None:
    done = command({**os.environ}, "latest")
    assert done.returncode == 1
    assert done.stderr.startswith("pin.py: 'latest' is no version") and done.stderr.count("\n") == 1


def everything(root: Path, key: str) -> Content:
    files = contents(root)
    # On the vendor's page this file is still there.
    return {**files, f"{HOME}libcoreclrtraceptprovider.so": b"\x7fELF"} if key.startswith("linux") else files


def command(environ: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(ROOT / "scripts/pin.py"), *arguments]
    return subprocess.run(line, env=dict(environ), cwd=ROOT, capture_output=True, text=True, check=False)


def document(original: bytes, old: bytes, new: bytes) -> bytes:
    """A .docx file with another word in it."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(original)) as source, zipfile.ZipFile(made, "w") as changed:
        for info in source.infolist():
            changed.writestr(info.filename, source.read(info).replace(old, new))
    return made.getvalue()
