"""The rules about what travels with the payload: licences, metadata, texts without secrets, size."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator

from packaging.metadata import ExceptionGroup, Metadata
from packaging.specifiers import SpecifierSet

from credprovider.payload.tree import LICENSE_FILES
from credprovider.verify.dist import BIN, Dist, Finding, Member, finding

DEPENDENCIES = frozenset({"httpx", "keyring", "truststore"})
DISTRIBUTION = "artifacts-keyring"

# "One wheel for every Python there is and will be": the oldest, some of later, and none before.
_ADMITTED_PYTHONS = ("3.9", "3.10", "3.14", "3.99")
_REFUSED_PYTHON = "3.8"

# Texts that are a credential by their form alone. Not listed: what needs its surroundings to be one.
_SECRETS: tuple[tuple[str, re.Pattern[bytes]], ...] = (
    ("private key", re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}")),
    ("Azure DevOps token", re.compile(rb"\b[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}\b")),
    ("JSON web token", re.compile(rb"\beyJ[\w-]{16,}\.eyJ[\w-]{16,}\.[\w-]{16,}")),
    ("GitHub token", re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{60,})")),
    ("package index token", re.compile(rb"\bpypi-AgE[\w-]{60,}")),
    ("cloud access key", re.compile(rb"\bAKIA[0-9A-Z]{16}\b")),
)


def licences(dist: Dist, own: str, vendor: str) -> Finding:
    """Our licence is at `own`, the vendor's texts are in the folder `vendor` as the payload has them."""
    texts = ((f"{vendor}/{ours}", _vendor_text(dist, name)) for name, ours in LICENSE_FILES.items())
    pairs = [(own, dist.reference.license), *texts]
    faults = [_differs(path, dist.data(path), wanted) for path, wanted in pairs]
    figures = f"{len(pairs)} texts, {sum(len(dist.data(path) or b'') for path, _ in pairs)} bytes"
    return finding(figures, [fault for fault in faults if fault])


def _vendor_text(dist: Dist, name: str) -> bytes | None:
    return dist.payload[name].data if name in dist.payload else None


def _differs(path: str, text: bytes | None, wanted: bytes | None) -> str:
    if text is None:
        return f"{path} is missing"
    # The vendor ships the same texts with either kind of line end, by platform.
    same = wanted is None or text.replace(b"\r\n", b"\n") == wanted.replace(b"\r\n", b"\n")
    return "" if same else f"{path} is not the text it should be"


def secrets(dist: Dist) -> Finding:
    """No text outside the payload holds what looks like a credential."""
    texts = [member for member in dist.members if member.data and not member.path.startswith(BIN)]
    faults = [
        _place(member, found.start()) + f" looks like a {name}"
        for member in texts
        for name, pattern in _SECRETS
        if (found := pattern.search(member.data))
    ]
    return finding(f"{len(texts)} texts, {len(_SECRETS)} patterns", faults)


def _place(member: Member, offset: int) -> str:
    line = member.data.count(b"\n", 0, offset) + 1
    return f"{member.path}, line {line}"


def size(dist: Dist) -> Finding:
    """The index takes a file of this size."""
    limit, seen = dist.reference.limit, dist.path.stat().st_size
    figures = f"{seen / 1e6:.2f} MB of {limit / 1e6:.2f} MB"
    return finding(figures, [f"its {seen} bytes are more than the index takes ({limit})"] if seen > limit else [])


# --- metadata


def parse(data: bytes | None) -> Metadata | None:
    """The core metadata in `data`; None if it is missing or not valid."""
    if data is None:
        return None
    try:
        return Metadata.from_email(data, validate=True)
    except ExceptionGroup:
        return None


def renders(dist: Dist) -> Finding:
    """The index can show the description: what `twine check --strict` says."""
    from twine.commands import check  # slow to import, and only this rule needs it
    from twine.exceptions import TwineException

    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            refused = check.check([str(dist.path)], strict=True)
    except (TwineException, ValueError) as error:
        return finding("", [f"twine cannot read it: {error}"])
    words = " ".join(said.getvalue().split())
    return finding("twine check --strict", [f"twine check --strict refuses it: {words}"] if refused else [])


def requirements(dist: Dist, path: str) -> Finding:
    """The metadata at `path` admits every supported Python, and asks for no more than the runtime needs."""
    metadata = parse(dist.data(path))
    if metadata is None:
        return finding("", [f"{path} is missing or no valid core metadata"])
    faults = list(_python_faults(metadata.requires_python or SpecifierSet()))
    names = {requirement.name for requirement in metadata.requires_dist or ()}
    if names != DEPENDENCIES:
        faults.append(
            f"it depends on {', '.join(sorted(names)) or 'nothing'}, not on {', '.join(sorted(DEPENDENCIES))}"
        )
    faults += [f"{needed} names a URL" for needed in metadata.requires_dist or () if needed.url]
    return finding(f"Python {metadata.requires_python}; {', '.join(map(str, metadata.requires_dist or ()))}", faults)


def _python_faults(admitted: SpecifierSet) -> Iterator[str]:
    refused = [version for version in _ADMITTED_PYTHONS if version not in admitted]
    if refused:
        yield f"Requires-Python {str(admitted)!r} refuses {', '.join(refused)}"
    if _REFUSED_PYTHON in admitted:
        yield f"Requires-Python {str(admitted)!r} admits {_REFUSED_PYTHON}, where this does not run"
