"""The rules of a finished wheel.

Layout: the package, the payload below it, and in dist-info the licences and the bill of materials.
"""

from __future__ import annotations

import base64
import configparser
import csv
import io
import json
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator
from email.parser import BytesParser
from email.policy import compat32
from functools import partial
from pathlib import Path

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from artifacts_keyring.provider.layout import PACKAGE
from credprovider import hook
from credprovider.payload.tree import LICENSE_FILES
from credprovider.targets import TARGETS, Target
from credprovider.verify import metadata_rules, payload_rules
from credprovider.verify.dist import BIN, NOT_CONCERNED, Dist, Finding, Raw, Reference, Rule, finding, read

_TREE = Path(__file__).resolve().parents[3]
# The whole package, as the tree has it from which this is run.
MODULES = (
    *sorted(path.relative_to(_TREE / PACKAGE).as_posix() for path in (_TREE / PACKAGE).rglob("*.py")),
    "py.typed",
)

_METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENTRY_POINTS = {
    "keyring.backends": {"artifacts_keyring": "artifacts_keyring.backend"},
    "console_scripts": {"artifacts-keyring": "artifacts_keyring.cli.main:main"},
}


def open_wheel(path: Path, reference: Reference) -> Dist:
    """Read the wheel at `path`. Raises UnreadableError."""
    return Dist(path, _target(path), read(path, _members), reference)


def _members(path: Path) -> Iterator[Raw]:
    with zipfile.ZipFile(path) as wheel:
        for info in wheel.infolist():
            yield Raw(info.filename, info.external_attr >> 16, info.file_size, None, partial(wheel.open, info))


def _target(path: Path) -> Target | None:
    """The target that the file's name claims: the first it names, so that a name with two is still looked into."""
    platforms = path.name.rpartition("-")[2].split(".")
    return next((target for target in TARGETS if target.tag in platforms), None)


def _dist_info(dist: Dist) -> str:
    """The metadata folder: the one there is, else the one there should be."""
    found = sorted({member.path.partition("/")[0] for member in dist.members if ".dist-info/" in member.path})
    return found[0] if found else f"{'-'.join(dist.path.name.split('-')[:2])}.dist-info"


def _wheel_file(dist: Dist) -> dict[str, list[str]]:
    message = BytesParser(policy=compat32).parsebytes(dist.data(f"{_dist_info(dist)}/WHEEL") or b"")
    return {key: [str(value) for value in message.get_all(key, [])] for key in message}


# --- the file and its names


def entries(dist: Dist) -> Finding:
    """Names are unique and plain, everything is a regular file that every installer can unpack."""
    faults = [f"{path} is there {n} times" for path, n in Counter(m.path for m in dist.members).items() if n > 1]
    faults += [f"{member.path!r} is no plain relative path" for member in dist.members if not _is_plain(member.path)]
    with zipfile.ZipFile(dist.path) as wheel:
        infos = wheel.infolist()
    for info in infos:
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG) or info.is_dir():
            faults.append(f"{info.filename} is no regular file")
        if info.compress_type not in _METHODS or info.flag_bits & 0x1:
            faults.append(f"{info.filename} is neither stored nor deflated, or encrypted")
    return finding(f"{len(infos)} files", faults)


def _is_plain(path: str) -> bool:
    parts = path.split("/")
    return all(part not in ("", ".", "..") for part in parts) and not re.search(r'[\x00-\x1f\\:*?"<>|]', path)


def record(dist: Dist) -> Finding:
    """RECORD names every file once, with its digest and size, and nothing else."""
    path = f"{_dist_info(dist)}/RECORD"
    text = dist.data(path)
    if text is None:
        return finding("", [f"{path} is missing"])
    try:
        rows = [tuple(row) for row in csv.reader(io.StringIO(text.decode("utf-8", "replace")))]
    except csv.Error as error:  # a field without end; before Python 3.11 also a NUL
        return finding("", [f"{path} cannot be read: {error}"])
    wanted = {(m.path, f"sha256={_record_digest(m.sha256)}", str(m.size)) for m in dist.members if m.path != path}
    wanted.add((path, "", ""))
    faults = [f"RECORD says {','.join(row)}, which is not so" for row in sorted(set(rows) - wanted)]
    faults += [f"RECORD does not say {','.join(row)}" for row in sorted(wanted - set(rows))]
    faults += [f"RECORD says {','.join(row)} {n} times" for row, n in Counter(rows).items() if n > 1]
    return finding(f"{len(rows)} rows", faults)


def _record_digest(sha256: str) -> str:
    return base64.urlsafe_b64encode(bytes.fromhex(sha256)).rstrip(b"=").decode()


def tag(dist: Dist) -> Finding:
    """Its name has exactly one tag, py3-none with the platform of a target, and no build number."""
    try:
        _, _, build, tags = parse_wheel_filename(dist.path.name)
    except InvalidWheelFilename as error:
        return finding("", [f"{error}; an artifacts_keyring-VERSION-py3-none-PLATFORM.whl is wanted"])
    seen, known = sorted(map(str, tags)), [target.wheel_tag for target in TARGETS]
    faults = [] if len(seen) == 1 and seen[0] in known else [f"its tag is {', '.join(seen)}; valid: {', '.join(known)}"]
    faults += [f"it has the build number {build}"] if build else []
    return finding(", ".join(seen), faults)


def names(dist: Dist) -> Finding:
    """File name, metadata folder, METADATA and WHEEL say the same name, version and tag."""
    try:
        name, version, _, tags = parse_wheel_filename(dist.path.name)
    except InvalidWheelFilename:
        return NOT_CONCERNED  # the rule about its tag refuses it
    folder = _dist_info(dist)
    metadata = metadata_rules.parse(dist.data(f"{folder}/METADATA"))
    said: set[Tag] = {Tag(*text.split("-", 2)) for text in _wheel_file(dist).get("Tag", []) if text.count("-") == 2}
    facts = [
        ("its name", name, metadata_rules.DISTRIBUTION),
        ("the metadata folder", folder, f"{PACKAGE}-{version}.dist-info"),
        ("Name in METADATA", metadata and metadata.name, metadata_rules.DISTRIBUTION),
        ("Version in METADATA", metadata and str(metadata.version), str(version)),
        ("Tag in WHEEL", ", ".join(sorted(map(str, said))), ", ".join(sorted(map(str, tags)))),
    ]
    faults = [f"{what} is {seen}, not {wanted}" for what, seen, wanted in facts if seen != wanted]
    return finding(f"{name} {version}", faults)


def purelib(dist: Dist) -> Finding:
    """Only the wheel without a platform says that it is pure."""
    if dist.target is None:
        return NOT_CONCERNED
    seen = _wheel_file(dist).get("Root-Is-Purelib", [])
    wanted = str(not dist.target.self_contained).lower()
    fault = f"WHEEL says Root-Is-Purelib: {', '.join(seen) or 'nothing'}; a wheel for {dist.target.tag} says {wanted}"
    return finding(f"Root-Is-Purelib: {wanted}", [fault] if seen != [wanted] else [])


def contents(dist: Dist) -> Finding:
    """Outside the payload, everything that belongs into a wheel is there, and nothing else."""
    folder = _dist_info(dist)
    wanted = {f"{PACKAGE}/{name}" for name in (*MODULES, "payload.json")}
    wanted |= {f"{folder}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", *_papers())}
    seen = {path for path in dist.by_path if not path.startswith(BIN)}
    faults = [f"{path} is missing" for path in sorted(wanted - seen)]
    faults += [f"{path} does not belong there" for path in sorted(seen - wanted)]
    if faults:
        faults.append("check.py holds a file against the tree that check.py itself stands in")
    return finding(f"{len(seen)} files outside the payload", faults)


def _papers() -> Iterator[str]:
    yield f"sboms/{hook.SBOM_NAME}"
    yield "licenses/LICENSE"
    yield from (f"licenses/{hook.LICENSES}/{name}" for name in LICENSE_FILES.values())


# --- what travels with the payload


def payload_record(dist: Dist) -> Finding:
    """payload.json, which the runtime reads, says what the pin says."""
    if dist.target is None:
        return NOT_CONCERNED
    wanted = hook.describe(dist.reference.pin, dist.target)
    same = dist.data(hook.RECORD) == wanted.encode()
    return finding(
        f"provider {dist.reference.pin.version}, {dist.target.key}",
        [] if same else [f"{hook.RECORD} is missing or not what the pin gives"],
    )


def licences(dist: Dist) -> Finding:
    """Our licence and the vendor's three texts, as the payload has them, are in dist-info."""
    folder = f"{_dist_info(dist)}/licenses"
    return metadata_rules.licences(dist, f"{folder}/LICENSE", f"{folder}/{hook.LICENSES}")


def sbom(dist: Dist) -> Finding:
    """A CycloneDX document names the provider's version and the digest of its tree."""
    if dist.tree is None:
        return NOT_CONCERNED
    path = f"{_dist_info(dist)}/sboms/{hook.SBOM_NAME}"
    try:
        document = json.loads(dist.data(path) or b"")
    except ValueError:
        return finding("", [f"{path} is missing or no JSON"])
    said = set(_texts(document))
    wanted = (("CycloneDX", "format"), (dist.reference.pin.version, "provider"), (dist.tree.sha256, "tree sha256"))
    faults = [f"{path} does not name the {what} {text}" for text, what in wanted if text not in said]
    components = document.get("components", ()) if isinstance(document, dict) else ()
    return finding(f"{len(components)} components, provider {dist.reference.pin.version}", faults)


def _texts(value: object) -> Iterator[str]:
    """Every string value in a JSON document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def requirements(dist: Dist) -> Finding:
    """METADATA admits every supported Python, and asks for no more than the runtime needs."""
    return metadata_rules.requirements(dist, f"{_dist_info(dist)}/METADATA")


def entry_points(dist: Dist) -> Finding:
    """keyring finds the backend, and a person finds the command."""
    parser = configparser.ConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment]  # as importlib.metadata reads it: names keep their case
    try:
        parser.read_string((dist.data(f"{_dist_info(dist)}/entry_points.txt") or b"").decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        return finding("", [f"entry_points.txt cannot be read: {' '.join(str(error).split())}"])
    seen = {section: dict(parser[section]) for section in parser.sections()}
    fault = f"entry_points.txt says {seen}, not {_ENTRY_POINTS}"
    return finding(", ".join(sorted(seen)), [fault] if seen != _ENTRY_POINTS else [])


RULES: tuple[Rule, ...] = (
    Rule("entries", "names are unique and plain, all files regular, stored or deflated", entries),
    Rule("record", "RECORD names every file once, with digest and size, and nothing else", record),
    Rule("tag", "exactly one tag, py3-none with the platform of a target", tag),
    Rule("names", "file name, METADATA and WHEEL say the same name, version and tag", names),
    Rule("purelib", "only the wheel without a platform says that it is pure", purelib),
    Rule("contents", "outside the payload nothing is missing and nothing is extra", contents),
    Rule("payload", "the payload's tree digest is the pinned one", payload_rules.tree),
    Rule("payload-record", "payload.json says what the pin says", payload_record),
    Rule("modes", "what is started is executable, and nothing else", payload_rules.modes),
    Rule("machine", "every ELF, Mach-O and PE file is for the tag's machine, or for all", payload_rules.machine),
    Rule("glibc", "no ELF file needs a newer glibc than the tag says", payload_rules.glibc),
    Rule("libraries", "ELF files are linked with what every such system has", payload_rules.libraries),
    Rule("macos", "no Mach-O file needs a newer macOS than the tag says", payload_rules.minos),
    Rule("macos-needed", "the tag asks for no newer macOS than a file needs", payload_rules.minos_needed),
    Rule("authenticode", "the signature of every PE file verifies", payload_rules.authenticode),
    Rule("issuers", "the authorities behind those signatures are the expected ones", payload_rules.issuers),
    Rule("code-signatures", "every Mach-O file has its code signature", payload_rules.code_signatures),
    Rule("licences", "our licence and the vendor's, as the payload has them, are in dist-info", licences),
    Rule("sbom", "a CycloneDX document names the provider's version and tree digest", sbom),
    Rule("secrets", "no text looks like a credential", metadata_rules.secrets),
    Rule("size", "the index takes a file of this size", metadata_rules.size),
    Rule("description", "the index can show the description (twine check --strict)", metadata_rules.renders),
    Rule("requirements", "every supported Python is admitted, no needless dependency asked for", requirements),
    Rule("entry-points", "keyring finds the backend, a person the command", entry_points),
    Rule("paths", "no path has more than 100 characters, or Windows could not install it", payload_rules.paths),
)
