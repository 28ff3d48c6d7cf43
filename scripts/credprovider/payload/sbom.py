"""The bill of materials of an embedded provider: a CycloneDX 1.6 document, made from its own files.

Everything in it is read in the payload (`deps.json`, `runtimeconfig.json`, LICENSE, ThirdPartyNotices.txt)
or in the pin. What neither says, such as the licence of most NuGet packages, is left out and not guessed.
Field names are those of the CycloneDX 1.6 JSON schema; purls follow the purl specification's nuget and github types.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from artifacts_keyring.provider.layout import PROGRAM, placed
from credprovider.errors import PayloadError
from credprovider.lockfile import Pin, PinnedTarget
from credprovider.payload.tree import LICENSE_FILES
from credprovider.targets import Keyed, by_key

_LICENSE, _NOTICES, _ = LICENSE_FILES
_RUNTIME_PACK = "runtimepack."
# sha256 over the letters of the MIT licence's permission, condition and disclaimer, whatever the layout.
_MIT = "81a61d35f6891e560d80c95e831624d3270eb7ccf5f492522851169cb355ddab"
_MIT_START = "permissionisherebygranted"
_NOTICE = re.compile(r"^%% (.+?) NOTICES AND INFORMATION BEGIN HERE\s*=+(.*?)=+\s*^END OF ", re.DOTALL | re.MULTILINE)
_GITHUB = re.compile(r"https://github\.com/([^/]+/[^/]+)/")
_MALFORMED = (OSError, ValueError, KeyError, TypeError, AttributeError)

Json = dict[str, Any]


@dataclass(frozen=True)
class _Library:
    """One entry of deps.json. `key` is its name with its version, `files` those of the payload that it brought."""

    key: str
    name: str
    version: str
    type: str
    sha512: str
    depends_on: tuple[str, ...]
    files: tuple[str, ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True)
class _Facts:
    """What a payload says of itself."""

    provider: _Library
    others: tuple[_Library, ...]
    framework: str
    licence: str
    notices: Mapping[str, str]


def render(root: Path, pinned: Pin, target: Keyed) -> str:
    """The CycloneDX document of the verified payload `root` of `target`: the same text for the same payload and pin.

    Raises PayloadError if the payload does not describe itself as this version of the provider.
    """
    row = pinned.targets[target.key]
    facts = _read(root, pinned.version)
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{pinned.asset_url(row.key)}#{row.tree.sha256}')}",
        "version": 1,
        # no timestamp: the same payload must give the same wheel
        "metadata": {"lifecycles": [{"phase": "build"}], "component": _provider(facts, pinned, row)},
        "components": [_component(library, facts) for library in facts.others],
        "dependencies": [
            {"ref": library.key, "dependsOn": sorted(library.depends_on)} for library in (facts.provider, *facts.others)
        ],
    }
    return json.dumps(document, indent=2) + "\n"


# --- components


def _provider(facts: _Facts, pinned: Pin, row: PinnedTarget) -> Json:
    repository = _GITHUB.match(pinned.release_url)
    purl = {"purl": f"pkg:github/{repository[1].lower()}@v{pinned.version}"} if repository else {}
    return {
        "type": "application",
        "bom-ref": facts.provider.key,
        "supplier": {"name": "Microsoft"},
        "name": PROGRAM,
        "version": pinned.version,
        "licenses": [{"license": {"id": facts.licence} if facts.licence else {"name": f"see {_LICENSE}"}}],
        **purl,
        "externalReferences": _references(repository[0] if repository else "", pinned, row),
        "properties": _properties(
            ("target", row.key),
            ("platform-tag", by_key(row.key).tag),
            ("tree:sha256", row.tree.sha256),
            ("tree:files", str(row.tree.files)),
            ("tree:bytes", str(row.tree.bytes)),
            *(("index-file", f"{file.name} sha256:{file.sha256}") for file in (row.index_file,) if file),
            ("dotnet-framework", facts.framework),
            *(("license-file", name) for name in LICENSE_FILES),
        ),
        "evidence": _evidence(facts.provider),
    }


def _references(repository: str, pinned: Pin, row: PinnedTarget) -> list[Json]:
    digest = {"hashes": [{"alg": "SHA-256", "content": row.asset.sha256}]} if row.asset.sha256 else {}
    source = [{"type": "vcs", "url": repository.rstrip("/")}] if repository else []
    page = pinned.release_url.replace("/releases/download/", "/releases/tag/")
    return [
        {"type": "distribution", "url": pinned.asset_url(row.key), **digest},
        {"type": "release-notes", "url": page},
        *source,
    ]


def _component(library: _Library, facts: _Facts) -> Json:
    name = library.name[len(_RUNTIME_PACK) :] if library.type == "runtimepack" else library.name
    known = facts.notices.get(library.name.lower())
    # a package that brought no file was used to build the provider, or its newer copy comes with .NET
    component: Json = {
        "type": "platform" if library.type == "runtimepack" else "library",
        "bom-ref": library.key,
        "name": name,
        "version": library.version,
        "scope": "required" if library.files else "excluded",
    }
    if library.sha512:
        component["hashes"] = [{"alg": "SHA-512", "content": library.sha512}]
    if known:
        component["licenses"] = [{"license": {"id": known}}]
    if library.type != "project":  # a project is the vendor's own and no package
        component["purl"] = f"pkg:nuget/{quote(name, safe='')}@{quote(library.version, safe='')}"
    if library.dropped:
        component["pedigree"] = {"notes": f"left out of the payload: {', '.join(library.dropped)}"}
    if library.files:
        component["evidence"] = _evidence(library)
    return component


def _properties(*pairs: tuple[str, str]) -> list[Json]:
    return [{"name": f"artifacts-keyring:{name}", "value": value} for name, value in pairs]


def _evidence(library: _Library) -> Json:
    return {"occurrences": [{"location": path} for path in library.files]}


# --- what the payload says


def _read(root: Path, version: str) -> _Facts:
    try:
        libraries = _libraries(root, _json(root / f"{PROGRAM}.deps.json"))
        framework = _framework(_json(root / f"{PROGRAM}.runtimeconfig.json"))
        licence, notices = (_text(root / placed(name)) for name in (_LICENSE, _NOTICES))
    except _MALFORMED as error:
        raise PayloadError(
            f"{root} does not describe itself as a .NET program ({type(error).__name__}: {error}); "
            "delete the payload and build again, or look whether the vendor changed its form"
        ) from error
    named = [library for library in libraries if library.name == PROGRAM]
    if [library.version for library in named] != [version]:
        seen = ", ".join(library.key for library in named) or "nothing"
        raise PayloadError(
            f"{PROGRAM}.deps.json names {seen}; the pin says {PROGRAM}/{version}; "
            "make the pin again with scripts/pin.py"
        )
    own = named[0]
    others = tuple(library for library in libraries if library.name != PROGRAM)
    provider = replace(own, files=_unclaimed(root, libraries))
    return _Facts(provider, others, framework, _spdx(licence), _noticed(notices, others))


def _json(path: Path) -> Json:
    data: Json = json.loads(path.read_text(encoding="utf-8-sig"))
    return data


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig", errors="replace")


def _libraries(root: Path, deps: Json) -> list[_Library]:
    used: Json = deps["targets"][deps["runtimeTarget"]["name"]]
    keys = {key.rpartition("/")[0]: key for key in deps["libraries"]}
    return [_library(root, key, entry, used.get(key, {}), keys) for key, entry in sorted(deps["libraries"].items())]


def _library(root: Path, key: str, entry: Json, used: Json, keys: Mapping[str, str]) -> _Library:
    name, _, version = key.rpartition("/")
    paths = sorted(_paths(used))
    return _Library(
        key=key,
        name=name,
        version=version,
        type=entry["type"],
        sha512=_hex(entry["sha512"]),
        depends_on=tuple(keys[dependency] for dependency in used.get("dependencies", {})),
        files=tuple(path for path in paths if (root / path).is_file()),
        dropped=tuple(path.rpartition("/")[2] for path in paths if not (root / path).is_file()),
    )


def _paths(used: Json) -> Iterable[str]:
    """Where the files of a library lie: flat beside the program, except what is for one platform or language."""
    for group in ("runtime", "native"):
        yield from (path.rpartition("/")[2] for path in used.get(group, {}))
    yield from used.get("runtimeTargets", {})
    for path, entry in used.get("resources", {}).items():
        yield f"{entry['locale']}/{path.rpartition('/')[2]}"


def _hex(sha512: str) -> str:
    """The hexadecimal form of `sha512-<base64>`, "" for a library without one."""
    return base64.b64decode(sha512.partition("-")[2], validate=True).hex()


def _framework(config: Json) -> str:
    """Which .NET runs the program: brought along, or at least needed."""
    options = config["runtimeOptions"]
    if "includedFrameworks" in options:
        return ", ".join(f"{one['name']} {one['version']}, included" for one in options["includedFrameworks"])
    needed, forward = options["framework"], options.get("rollForward", "Minor")
    return f"{needed['name']} {needed['version']}, not included, rollForward {forward}"


def _unclaimed(root: Path, libraries: Iterable[_Library]) -> tuple[str, ...]:
    claimed = {path for library in libraries if library.name != PROGRAM for path in library.files}
    every = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    return tuple(sorted(every - claimed))


# --- licences


def _noticed(notices: str, libraries: Iterable[_Library]) -> dict[str, str]:
    """The licences that the vendor's notices give, by lower-case name of the library."""
    sections = {title.lower(): _spdx(text) for title, text in _NOTICE.findall(notices)}
    found = {}
    for library in libraries:
        name = library.name.lower()
        for title, licence in sections.items():
            if licence and name in re.split(r"[\s()]+", title):
                found[name] = licence
    return found


def _spdx(text: str) -> str:
    """The SPDX identifier of a licence text, "" unless it is MIT and nothing else."""
    letters = re.sub(r"[^a-z]", "", text.lower())
    body = letters[max(letters.find(_MIT_START), 0) :]
    return "MIT" if hashlib.sha256(body.encode()).hexdigest() == _MIT else ""
