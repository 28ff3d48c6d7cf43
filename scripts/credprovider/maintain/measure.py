"""An archive that is not pinned yet, measured: tree, provider, licences, components, binaries.

Read in memory, and bounded by BOUND; no binary of it is ever written to disk.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from artifacts_keyring.provider import layout
from credprovider.errors import ArchiveError, PayloadError
from credprovider.lockfile import Pin, Tree
from credprovider.payload import sbom
from credprovider.payload.archive import ArchiveLike, Chunks, Refusal, archive_members
from credprovider.payload.tree import LICENSE_FILES, tree_of
from credprovider.targets import Target
from credprovider.verify import payload_rules
from credprovider.verify.dist import BIN, Dist, Finding, Raw, Reference, read

# Nine times the files and three times the bytes of the largest payload of provider 2.0.5.
BOUND = Tree("", 2_000, 280 << 20)
_ANCHOR = f"{layout.VENDORS}{layout.PROGRAM}.dll"
_DEPENDENCIES = f"{layout.VENDORS}{layout.PROGRAM}.deps.json"
_LEGAL = re.compile(r"licen[cs]e|notice|eula|copying|copyright|legal|patents|third.?party|terms", re.IGNORECASE)


@dataclass(frozen=True)
class Measured:
    """What stands in an archive for `target`. prefix: the payload's folder in it, empty or with a slash at its end."""

    target: Target
    prefix: str
    dist: Dist

    @cached_property
    def files(self) -> Mapping[str, str]:
        """The sha256 of every file by its path."""
        return {path: member.sha256 for path, member in sorted(self.dist.payload.items())}

    @cached_property
    def tree(self) -> Tree:
        """The tree as a pin has it."""
        return tree_of((path, member.sha256, member.size) for path, member in self.dist.payload.items())

    @cached_property
    def licences(self) -> Mapping[str, bytes]:
        """The declared texts by name. Raises PayloadError for one too long to have been kept."""
        members = {name: member for name, member in self.dist.payload.items() if name in LICENSE_FILES}
        for name, member in members.items():
            if len(member.data) != member.size:
                raise PayloadError(
                    f"{self.dist.path.name}: {name} is {member.size} bytes long and is not a text of that size before; "
                    "look at it, and raise the bound in scripts/credprovider/inspection.py"
                )
        return {name: member.data for name, member in members.items()}

    @cached_property
    def components(self) -> Mapping[str, str]:
        """Version and, where known, licence of every component in the bill of materials.

        Raises PayloadError where none can be made: no wheel could be built of this payload.
        """
        pinned = dataclasses.replace(self.dist.reference.pin, version=self.version)
        with tempfile.TemporaryDirectory() as folder:
            for path, member in self.dist.payload.items():
                place = Path(folder, layout.placed(path))
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(member.data)  # empty for a binary, of which only the name is asked
            try:
                listed = json.loads(sbom.render(Path(folder), pinned, self.target))["components"]
            except PayloadError as error:
                raise PayloadError(str(error).replace(folder, self.dist.path.name)) from None
        return {str(each["name"]): _described(each) for each in listed}

    @cached_property
    def version(self) -> str:
        """The version that the payload gives itself; empty if it gives none."""
        member = self.dist.payload.get(_DEPENDENCIES)
        try:
            libraries = json.loads(member.data if member else b"")["libraries"]
            return next((_version(name) for name in libraries if name.startswith(f"{layout.PROGRAM}/")), "")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise PayloadError(
                f"{self.dist.path.name}: {_DEPENDENCIES} is missing or lists no libraries; "
                "the payload has another shape now: scripts/credprovider/measuring.py has to learn it"
            ) from None

    @cached_property
    def floors(self) -> Mapping[str, tuple[int, int]]:
        """The newest glibc and macOS that some file needs."""
        return {name: floor for name, floor in _floors(self.dist).items() if floor > (0, 0)}

    def undeclared(self) -> list[str]:
        """Legal texts that are not declared, and all else that is new at the root, where the declared ones are."""
        return [path for path in self.files if path not in LICENSE_FILES and self._looks_legal(path)]

    def _looks_legal(self, path: str) -> bool:
        text = self.dist.payload[path].binary is None
        return "/" not in path or (text and bool(_LEGAL.search(path.rpartition("/")[2])))


def measure(archive: ArchiveLike, target: Target, pinned: Pin) -> Measured:
    """Read `archive`. Raises ArchiveError, PayloadError where it holds no payload."""
    content = _content(archive)
    prefix = _prefix(content, archive.path.name)
    below = {path[len(prefix) :]: data for path, data in content.items() if path.startswith(prefix)}
    members = read(archive.path, lambda _: _raws(below))
    return Measured(target, prefix, Dist(archive.path, target, members, Reference(pinned, b"")))


def provenance(measured: Measured) -> tuple[tuple[str, Finding], ...]:
    """What the verifier's rules about machines and signatures find."""
    checks = (payload_rules.machine, payload_rules.authenticode, payload_rules.issuers, payload_rules.code_signatures)
    return tuple((check.__name__, check(measured.dist)) for check in checks)


def requirements(measured: Measured) -> tuple[tuple[str, Finding], ...]:
    """What the verifier's rules about the tag's promises find."""
    checks = (payload_rules.glibc, payload_rules.libraries, payload_rules.minos, payload_rules.minos_needed)
    return tuple((check.__name__, check(measured.dist)) for check in checks)


def _content(archive: ArchiveLike) -> dict[str, bytes]:
    room = BOUND.bytes
    content: dict[str, bytes] = {}
    try:
        with contextlib.closing(archive_members(archive, BOUND)) as members:
            for path, chunks in members:
                content[path] = _joined(chunks, room)
                room -= len(content[path])
    except Refusal as refusal:
        raise ArchiveError(f"{archive.path.name} is refused: {refusal}; look at where it came from") from None
    return content


def _joined(chunks: Chunks, room: int) -> bytes:
    data = bytearray()
    with contextlib.closing(chunks):
        for chunk in chunks:
            data += chunk
            if len(data) > room:
                raise Refusal(f"it holds more than {BOUND.bytes} bytes")
    return bytes(data)


def _prefix(content: Mapping[str, bytes], name: str) -> str:
    found = [path[: -len(_ANCHOR)] for path in content if f"/{path}".endswith(f"/{_ANCHOR}")]
    if len(found) != 1:
        raise PayloadError(
            f"{name} holds {len(found)} providers ({_ANCHOR}) instead of one; it is no archive of a release"
        )
    return found[0]


def _raws(below: Mapping[str, bytes]) -> Iterator[Raw]:
    for path, data in below.items():
        yield Raw(f"{BIN}{layout.placed(path)}", 0, len(data), None, partial(io.BytesIO, data))


def _version(library: str) -> str:
    return library.rpartition("/")[2]


def _described(component: Mapping[str, Any]) -> str:
    licences = [str(each["license"].get("id", "")) for each in component.get("licenses", ())]
    return " ".join([str(component["version"]), *(f"({licence})" for licence in licences)])


def _floors(dist: Dist) -> dict[str, tuple[int, int]]:
    floors = {"glibc": (0, 0), "macOS": (0, 0)}
    for member in dist.payload.values():
        if member.binary is None:
            continue
        versions = [_numbers(version) for version in member.binary.glibc]
        floors["glibc"] = max(floors["glibc"], *versions, (0, 0))
        slices = [part.minos or (0, 0) for part in member.binary.slices]
        floors["macOS"] = max(floors["macOS"], *slices)
    return floors


def _numbers(version: str) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def committed(folder: Path) -> dict[str, bytes]:
    """The declared legal texts as the project has them, by the vendor's names."""
    return {name: (folder / ours).read_bytes() for name, ours in LICENSE_FILES.items() if (folder / ours).is_file()}
