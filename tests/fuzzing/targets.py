"""What must hold whatever is read: one small function for each parser of foreign input.

Each takes bytes, and fails an assertion (or lets an unexpected exception out) where its parser breaks a promise.
The checks use other libraries than the parsers do, wherever there are some.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import stat
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Optional
from urllib.parse import SplitResult, unquote, urlsplit

from credprovider import lockfile
from credprovider.errors import ArchiveError, PayloadError, PinError
from credprovider.lockfile import Tree
from credprovider.payload import archive as unpacker
from credprovider.payload import tree as trees

from artifacts_keyring import declared, lookup, value_checks
from artifacts_keyring.feeds import Feed
from artifacts_keyring.provider import diagnostics, provider
from artifacts_keyring.provider.output_filter import LEVELS, LevelFilter
from artifacts_keyring.variables import (
    ACCESS_TOKEN,
    DECLARING,
    EXTERNAL_ENDPOINTS,
    HOSTS,
    HOSTS_OF_PROVIDER,
    IDENTITIES,
    INSECURE_HOSTS,
    PREFIXES,
    in_force,
    value,
)
from tests.fakes import archives, declared_environ
from tests.fakes.archives import Item, Made

# Seeds write control characters as Unicode's pictures of them: an input has one line for each variable.
_CONTROLS = {0x2400 + code: chr(code) for code in range(32)} | {0x2421: "\x7f"}
SECRET = "hunter2"  # whatever seeds and mutations make of it: where it stands, it must not be said
_VENDORS = re.compile(
    r"pkgs\.(dev\.azure\.com|codedev\.ms|codeapp\.ms)|[a-z0-9_.-]+\.pkgs\.(visualstudio\.com|vsts\.me)"
)
_LOOPBACK = re.compile(r"localhost|\[::1\]|127(\.\d{1,3}){3}")


# --- the lock loader


def lock(data: bytes) -> None:
    """Only PinError comes out, as one line; what is accepted is written and read again as the same, and is safe."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, lockfile.LOCK_NAME)
        path.write_bytes(data)
        try:
            found = lockfile.load(path)
        except PinError as error:
            assert _is_line(str(error).replace(folder, "")), str(error)
            return
    assert lockfile.parse_text(lockfile.render(found)) == found
    release = urlsplit(found.release_url)
    assert release.scheme == "https" and release.hostname and "@" not in found.release_url
    assert not {"", ".", ".."}.intersection(release.path.split("/")[1:]) and not release.query and not release.fragment
    for target in found.targets.values():
        assert "/" not in target.asset.name
        assert not {"", ".", ".."}.intersection(target.index_file.prefix.split("/")[:-1])
        assert 0 < target.tree.files <= lockfile.MAX_FILES and 0 < target.tree.bytes <= lockfile.MAX_BYTES


# --- the archive unpacker

_BOUNDS = Tree("0" * 64, 20, 4000)
_TYPES = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "link": tarfile.SYMTYPE,
    "hard": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
}


def archive(data: bytes) -> None:
    """Nothing is written beside the folder, nothing stays after a refusal, what stands there is what was pinned.

    The first line of *data* says the form and the prefix. Forms: "items" (a line for each member: its kind and its
    name), "tar" (an uncompressed one, whose checksums are put right), "tar.gz" and "zip" (bytes as they are).
    """
    head, _, body = data.partition(b"\n")
    form, _, prefix = head.decode("utf-8", "replace").partition(" ")
    with tempfile.TemporaryDirectory() as folder:
        outer = Path(folder)
        (outer / "deep" / "place").mkdir(parents=True)
        for made in _archives(outer, form, prefix, body):
            _unpacked(made, outer / "deep" / "place")
            assert sorted(path.name for path in outer.iterdir()) == sorted({"deep", made.path.name})
            assert [path.name for path in (outer / "deep").iterdir()] == ["place"]
            made.path.unlink()


def _archives(outer: Path, form: str, prefix: str, body: bytes) -> Iterator[Made]:
    if form == "items":
        for kind in archives.KINDS:
            yield archives.make(kind, outer, _items(body), prefix)
    elif form == "tar":
        archives.write_raw_tar(outer / "payload.tar.gz", _with_checksums(body))
        yield Made(outer / "payload.tar.gz", "tar.gz", prefix)
    else:
        made = Made(outer / "payload.bin", form if form in archives.KINDS else "zip", prefix)
        made.path.write_bytes(body)
        yield made


def _items(body: bytes) -> list[Item]:
    lines = [_text(line).partition(" ") for line in body.split(b"\n")[:30]]
    # A lone surrogate can be written into neither container.
    return [_item(kind, name.encode("utf-8", "replace").decode()) for kind, _, name in lines if len(name) < 60_000]


def _item(kind: str, name: str) -> Item:
    type_ = _TYPES.get(kind, tarfile.REGTYPE)
    linked = type_ in (tarfile.SYMTYPE, tarfile.LNKTYPE)
    data = kind.encode("utf-8", "replace") if type_ == tarfile.REGTYPE else b""
    return Item(name, data, type_, "../x" if linked else "")


def _with_checksums(body: bytes) -> bytes:
    """The blocks of a tar, those that look like headers with the checksum that belongs to them."""
    blocks = [body[at : at + 512].ljust(512, b"\0") for at in range(0, len(body), 512)]
    return b"".join(_summed(block) if block[257:262] == b"ustar" else block for block in blocks)


def _summed(block: bytes) -> bytes:
    total = sum(block[:148]) + sum(block[156:]) + 8 * 32
    return block[:148] + b"%06o\0 " % total + block[156:]


def _unpacked(made: Made, place: Path) -> None:
    into = place / "into"
    assert not _accepted(made, _BOUNDS, into) and list(place.iterdir()) == []
    contents = _contents(made)
    if contents is None:
        return
    tree = archives.tree_of(contents)
    # What no file system here can hold is refused by writing, not by reading.
    if tree.files and _accepted(made, tree, into):
        assert archives.contents(into) == contents
        assert all(path.is_dir() or stat.S_ISREG(path.lstat().st_mode) for path in into.rglob("*"))
        assert not _accepted(made, _BOUNDS, into) and archives.contents(into) == contents
        trees.verify(into, tree)
        shutil.rmtree(into)
    assert list(place.iterdir()) == []


def _accepted(made: Made, tree: Tree, into: Path) -> bool:
    try:
        trees.unpack(made, tree, into)
    except (ArchiveError, PayloadError) as error:
        assert _is_line(str(error)), str(error)
        return False
    return True


def _contents(made: Made) -> Optional[dict[str, bytes]]:
    """What the archive holds for the unpacker, if anything."""
    try:
        with contextlib.closing(unpacker.archive_members(made, _BOUNDS)) as taken:
            found = {path: b"".join(chunks) for path, chunks in taken}
    except unpacker.Refusal as refusal:
        assert _is_line(str(refusal)), str(refusal)
        return None
    for path in found:
        assert not {"", ".", ".."}.intersection(path.split("/")) and "\\" not in path and ":" not in path
    assert len({path.casefold() for path in found}) == len(found), "one file where case does not count"
    return found


# --- the service-string parser


def service(data: bytes) -> None:
    """Nothing raises; an accepted host is Azure's or the user's, also to another library; one URL for one feed.

    The first line of *data* is the service, each further line NAME=value.
    """
    text, environ = _asked(data)
    line = declared_environ.refusal(text, environ)
    assert not line or (_is_line(line) and SECRET not in line.replace(urlsplit_host(text), ""))
    feed = lookup.feed_of(text, environ)
    if feed is None:
        return
    assert not line
    assert _VENDORS.fullmatch(feed.host) or _is_users(feed, environ), feed
    assert feed.scheme == "https" or _may_be_plain(feed.host, environ), feed
    assert _same_host(text, feed.host)
    if feed.url:
        assert lookup.feed_of(feed.url, environ) == feed
        assert lookup.feed_of(feed.index_url, environ) == feed._replace(kind="index", url=feed.index_url)
        canonical = urlsplit(feed.url)
        assert canonical.username is None and canonical.password is None and canonical.hostname
        assert f"[{canonical.hostname}]" == feed.host if "[" in feed.host else canonical.hostname == feed.host
        assert feed.url.isascii() and not canonical.query and not canonical.fragment


def urlsplit_host(text: str) -> str:
    """What a refusal may say of a service: its host."""
    return text.partition("://")[2].partition("/")[0].rpartition("@")[2].lower() or "\0"


def _same_host(text: str, host: str) -> bool:
    """Whether urllib reads the host that we read, as far as both say it in ASCII."""
    seen = urlsplit(text if "://" in text else f"https://{text}").hostname or ""
    return (f"[{seen}]" if ":" in seen else seen) == host or not seen.isascii()


def _is_users(feed: Feed, environ: Mapping[str, str]) -> bool:
    """Whether a variable of the user spells this host, or in a list of hosts one that it stands below."""
    labels = feed.host.split(".")
    above = {".".join(labels[at:]) for at in range(len(labels))}
    listed = _spelled(environ, (HOSTS, INSECURE_HOSTS, *HOSTS_OF_PROVIDER))
    return feed.host in _spelled(environ, DECLARING) or bool(above & listed)


def _spelled(environ: Mapping[str, str], names: tuple[str, ...]) -> set[str]:
    """Every host-like piece of these variables, also as JSON reads it, and coded."""
    texts = [environ.get(name, "") for name in names]
    texts += [inner for text in texts for inner in _strings(_json(text))]
    pieces = {piece.strip(".*") for text in texts for piece in re.split(r"[\s/@,;\"'?#\\=]+", text.lower())}
    pieces |= {re.sub(r":\d*$", "", piece) for piece in pieces}
    return {coded for piece in pieces for coded in (piece, _coded(piece)) if coded}


def _coded(host: str) -> str:
    try:
        return host.encode("idna").decode().lower()
    except UnicodeError:
        return ""


def _may_be_plain(host: str, environ: Mapping[str, str]) -> bool:
    labels = host.split(".")
    above = {".".join(labels[at:]) for at in range(len(labels))}
    return bool(_LOOPBACK.fullmatch(host) or above & _spelled(environ, (INSECURE_HOSTS,)))


# --- the declared-credential parser


def declaration(data: bytes) -> None:
    """Nothing raises, nothing secret is said, and no credential goes to another origin than it is declared for.

    *data* is as in `service`.
    """
    text, environ = _asked(data)
    feed = lookup.feed_of(text, environ)
    lines: list[str] = []
    declared.hosts(environ)
    if feed is None:
        return
    found = declared_environ.look(feed, environ, lines.append)
    for line in lines:
        assert _is_line(line) and SECRET not in line, line
    if found is not None:
        assert found.password and found.password not in repr(found._replace(username=""))
        assert ":".join(found).encode(), "or no client could send it"
        assert found.password in _declared_for(feed, environ), feed
    _handed_over(feed, declared.for_provider(feed, environ), environ)


def _declared_for(feed: Feed, environ: Mapping[str, str]) -> set[str]:
    """The passwords of everything that is declared for this very scheme, host and port."""
    entries = [entry for entry in _entries(environ, EXTERNAL_ENDPOINTS) if _is_origin(entry.get("endpoint"), feed)]
    words = {value_checks.bare(str(entry["password"])) for entry in entries if "password" in entry}
    listed = value(environ, PREFIXES).split(";")
    token = {value_checks.bare(value(environ, ACCESS_TOKEN))}
    return words | (token if any(_is_origin(text, feed) for text in listed) else set())


def _handed_over(feed: Feed, changes: Mapping[str, str], environ: Mapping[str, str]) -> None:
    assert not any(changes.get(name) for name in (*EXTERNAL_ENDPOINTS, *PREFIXES, *ACCESS_TOKEN))
    assert set(changes) <= {*DECLARING, *ACCESS_TOKEN, HOSTS_OF_PROVIDER[0]}
    if HOSTS_OF_PROVIDER[0] in changes:
        assert changes[HOSTS_OF_PROVIDER[0]].rpartition(";")[2] == feed.host and _is_users(feed, environ)
    if IDENTITIES[0] not in changes:
        return
    (only,) = json.loads(changes[IDENTITIES[0]])["endpointCredentials"]
    assert only.pop("endpoint") == feed.index_url
    same = [entry for entry in _entries(environ, IDENTITIES) if _is_origin(entry.get("endpoint"), feed)]
    fields = {str(name).lower() for name in only}
    assert any(fields == set(entry) - {"endpoint"} for entry in same)


def _entries(environ: Mapping[str, str], names: tuple[str, ...]) -> list[dict[str, object]]:
    """The entries of a JSON variable, names of fields in lower case."""
    name = in_force(environ, names)
    answer = _lower(_json(environ[name]) if name else None).get("endpointcredentials")
    return [_lower(entry) for entry in answer] if isinstance(answer, list) else []


def _lower(item: object) -> dict[str, object]:
    return {str(name).lower(): part for name, part in item.items()} if isinstance(item, dict) else {}


def _is_origin(url: object, feed: Feed) -> bool:
    """Whether urllib reads the feed's scheme, host and port in *url*."""
    try:
        seen = urlsplit(value_checks.bare(str(url)))
        port = seen.port
    except ValueError:
        return False
    usual = 443 if feed.scheme == "https" else 80
    return (seen.scheme, _host(seen), port or usual) == (feed.scheme, feed.host, feed.port or usual)


def _host(seen: SplitResult) -> str:
    host = seen.hostname or ""
    return f"[{host}]" if ":" in host else host if host.isascii() else _coded(host)


# --- the reader of the provider's output


def output(data: bytes) -> None:
    """Only ProviderError comes out and its words never depend on the answer; reasons are one line; screens whole."""
    try:
        found = provider.parse(data)
    except provider.ProviderError as error:
        assert re.sub(r"\d+ bytes", "N bytes", str(error)) in _answers_said(), str(error)
    else:
        answer = json.loads(data.decode("utf-8-sig"))
        assert (found.username, found.password) == (answer["Username"], answer["Password"]) and found.password
        assert "".join(found).encode()
        assert "***" in repr(found) and repr(found.password) not in repr(found._replace(username=""))
    text = data.decode("utf-8", "replace")
    for reason in (
        diagnostics.login_reason(text),
        diagnostics.startup_reason(text),
        diagnostics.unprefixed_words(text),
    ):
        assert reason is None or (_is_line(reason) and len(reason) <= 300), reason
    diagnostics.offline(text)
    for level in LEVELS:
        assert _shown(level, [text]) == _shown(level, list(text))


def _answers_said() -> set[str]:
    said = set()
    for wrong in (b"\xff", b"{", b"{}", rb'{"Username": "\udc00", "Password": "p"}'):
        try:
            provider.parse(wrong)
        except provider.ProviderError as error:
            said.add(re.sub(r"\d+ bytes", "N bytes", str(error)))
    return said


def _shown(level: str, pieces: list[str]) -> str:
    shown: list[str] = []
    show = LevelFilter(level, shown.append)
    for piece in pieces:
        show(piece)
    return "".join(shown)


# --- what they share


def _asked(data: bytes) -> tuple[str, dict[str, str]]:
    """Service and environment; bytes that are no UTF-8 become what os.environ makes of them."""
    first, *lines = data.split(b"\n")
    pairs = (_text(line).partition("=") for line in lines)
    return _text(first), {name: text for name, found, text in pairs if found}


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape").translate(_CONTROLS)


def _is_line(text: str) -> bool:
    """Whether a terminal shows *text* as one line and does nothing else."""
    return all(sign.isprintable() for sign in text)


def _json(text: str) -> object:
    try:
        return json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None


def _strings(item: object) -> Iterator[str]:
    if isinstance(item, str):
        yield from (item, unquote(item))
    elif isinstance(item, (dict, list)):
        for part in (*item.values(), *item) if isinstance(item, dict) else item:
            yield from _strings(part)


TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "lock": lock,
    "archive": archive,
    "feeds": service,
    "declared": declaration,
    "provider": output,
}
