"""The rules of a finished sdist: it must be able to become a wheel with neither network nor vendor."""

from __future__ import annotations

import re
import stat
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from packaging.utils import InvalidSdistFilename, parse_sdist_filename

from artifacts_keyring.provider.layout import PACKAGE
from credprovider import hook, lockfile
from credprovider.errors import PinError
from credprovider.targets import NON_SC, by_key
from credprovider.verify import metadata_rules, payload_rules
from credprovider.verify.dist import BIN, Dist, Finding, Raw, Reference, Rule, finding, read
from credprovider.verify.wheel_rules import MODULES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SUFFIX = ".tar.gz"

_LIBRARY = Path(__file__).parents[1]
# What a wheel cannot be built without.
_REQUIRED = (
    "PKG-INFO",
    "pyproject.toml",
    "hatch_build.py",
    "LICENSE",
    "README.md",
    lockfile.LOCK_NAME,
    *(f"{PACKAGE}/{name}" for name in MODULES),
    *(f"scripts/credprovider/{path.relative_to(_LIBRARY).as_posix()}" for path in sorted(_LIBRARY.rglob("*.py"))),
)
# What may come with it: sources, and what tests and benchmarks read.
_ALLOWED = re.compile(
    r"\.gitignore|[A-Z]+\.md"
    rf"|{re.escape(hook.LICENSES)}/[^/]+"
    r"|docs/(?:[a-z-]+/)*[a-z-]+\.(?:md|svg)"
    r"|scripts/(?:[a-z_]+/)*[a-z_]+\.(?:py|json|toml|txt)"
    r"|(?:tests|benchmarks)/(?:[a-z_]+/)*[A-Za-z_0-9.-]+\.(?:py|json|toml|txt|md|csv|svg|cdx\.json)"
)


def open_sdist(path: Path, reference: Reference) -> Dist:
    """Read the sdist at `path`. Raises UnreadableError."""
    return Dist(path, by_key(NON_SC), read(path, _members), reference)


def _members(path: Path) -> Iterator[Raw]:
    top = f"{path.name.removesuffix(_SUFFIX)}/"
    with tarfile.open(path, "r:gz") as sdist:
        for info in sdist:
            kind = stat.S_IFREG if info.isreg() else stat.S_IFDIR if info.isdir() else stat.S_IFLNK
            owner = (info.uid, info.gid, info.uname, info.gname)
            opened = partial(sdist.extractfile, info) if info.isreg() else _nothing
            yield Raw(info.name.removeprefix(top), kind | info.mode, info.size, owner, opened)


def _nothing() -> None:
    return None


def entries(dist: Dist) -> Finding:
    """Regular files only, each once, with plain paths below one folder, without an owner."""
    faults = [f"{path} is there {n} times" for path, n in Counter(m.path for m in dist.members).items() if n > 1]
    for member in dist.members:
        if not stat.S_ISREG(member.mode):
            faults.append(f"{member.path} is no regular file")
        if any(part in ("", ".", "..") for part in member.path.split("/")) or "\\" in member.path:
            faults.append(f"{member.path!r} is no plain path below the top folder")
        if member.owner != (0, 0, "", ""):
            faults.append(f"{member.path} belongs to {member.owner}")
    return finding(f"{len(dist.members)} files", faults)


def names(dist: Dist) -> Finding:
    """File name, top folder and PKG-INFO say the same name and version."""
    try:
        name, version = parse_sdist_filename(dist.path.name)
    except InvalidSdistFilename as error:
        return finding("", [f"{error}; an artifacts_keyring-VERSION.tar.gz is wanted"])
    metadata = metadata_rules.parse(dist.data("PKG-INFO"))
    facts = [
        ("its name", dist.path.name, f"{PACKAGE}-{version}{_SUFFIX}"),
        ("Name in PKG-INFO", metadata and metadata.name, metadata_rules.DISTRIBUTION),
        ("Version in PKG-INFO", metadata and str(metadata.version), str(version)),
    ]
    faults = [f"{what} is {seen}, not {wanted}" for what, seen, wanted in facts if seen != wanted]
    return finding(f"{name} {version}", faults)


def contents(dist: Dist) -> Finding:
    """What a wheel is built from is there; caches, CI, other payloads and stray files are not."""
    seen = {path for path in dist.by_path if not path.startswith(BIN)}
    faults = [f"{path} is missing" for path in _REQUIRED if path not in seen]
    extra = sorted(path for path in seen - set(_REQUIRED) if not _ALLOWED.fullmatch(path))
    faults += [f"{path} does not belong there" for path in extra]
    return finding(f"{len(seen)} files outside the payload", faults)


def pinned(dist: Dist) -> Finding:
    """The pin in it is the pin that it is held against."""
    try:
        same = lockfile.parse(tomllib.loads((dist.data(lockfile.LOCK_NAME) or b"").decode())) == dist.reference.pin
    except (PinError, ValueError) as error:
        return finding("", [f"{lockfile.LOCK_NAME} is no pin: {error}"])
    fault = f"{lockfile.LOCK_NAME} is not the pin that it is held against"
    return finding(f"provider {dist.reference.pin.version}", [] if same else [fault])


def licences(dist: Dist) -> Finding:
    """Our licence and the vendor's three texts, as the payload has them, are where a wheel takes them from."""
    return metadata_rules.licences(dist, "LICENSE", hook.LICENSES)


def requirements(dist: Dist) -> Finding:
    """PKG-INFO admits every supported Python, and asks for no more than the runtime needs."""
    return metadata_rules.requirements(dist, "PKG-INFO")


# A rule that wheels have too has the same name there.
RULES: tuple[Rule, ...] = (
    Rule("entries", "regular files, each once, below one folder, without an owner", entries),
    Rule("names", "file name, top folder and PKG-INFO say the same name and version", names),
    Rule("contents", "what a wheel is built from is there; caches, CI and stray files are not", contents),
    Rule("payload", "the payload's tree digest is the pinned one", payload_rules.tree),
    Rule("pin", "the pin in it is the one it is held against", pinned),
    Rule("modes", "what is started is executable, and nothing else", payload_rules.modes),
    Rule("machine", "every ELF, Mach-O and PE file is for its folder's machine, or for all", payload_rules.machine),
    Rule("authenticode", "the signature of every PE file verifies", payload_rules.authenticode),
    Rule("issuers", "the authorities behind those signatures are the expected ones", payload_rules.issuers),
    Rule("code-signatures", "every Mach-O file has its code signature", payload_rules.code_signatures),
    Rule("licences", "our licence and the vendor's, as the payload has them, are there", licences),
    Rule("secrets", "no text looks like a credential", metadata_rules.secrets),
    Rule("size", "the index takes a file of this size", metadata_rules.size),
    Rule("description", "the index can show the description (twine check --strict)", metadata_rules.renders),
    Rule("requirements", "every supported Python is admitted, no needless dependency asked for", requirements),
    Rule("paths", "no path has more than 100 characters, or Windows could not install it", payload_rules.paths),
)
