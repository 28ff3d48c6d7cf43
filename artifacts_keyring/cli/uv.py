"""What uv would do with a feed here: its variables, uv.toml, pyproject.toml (docs/clients.md)."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

from ..credential import Credential
from ..feeds import Feed
from . import tables
from .check import Check
from .clients import Setting, home, same, userinfo
from .credentials import Rival

_PROVIDER = "UV_KEYRING_PROVIDER"
_INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")
_USER = "VssSessionToken"


class Index(NamedTuple):
    """An index of uv's: what its URL says, and where that stands."""

    name: str
    url: str
    authenticate: str
    where: str


class Settings(NamedTuple):
    """What uv is told, and which files could not be read by this Python."""

    provider: Setting
    indexes: list[Index]
    unread: list[Path]


def settings(environ: Mapping[str, str]) -> Settings:
    """uv's variables and its files: of the project, of the user, of the system; the first to name a provider counts."""
    files = list(_files(environ))
    found = [(path, _own(path)) for path in files]
    provider = Setting("disabled", "as nothing sets it")
    for path, own in reversed(found):
        for table in (tables.table(own, "pip"), own):
            if isinstance(table.get("keyring-provider"), str):
                provider = Setting(table["keyring-provider"], f"keyring-provider in {path}")
    if environ.get(_PROVIDER):
        provider = Setting(environ[_PROVIDER], _PROVIDER)
    indexes = [*_of_variables(environ), *(index for path, own in found for index in _of_file(path, own))]
    return Settings(provider, indexes, [] if tables.READABLE else files)


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    if environ.get("UV_CONFIG_FILE"):
        yield Path(environ["UV_CONFIG_FILE"])
        return
    if environ.get("UV_NO_CONFIG", "").lower() in ("1", "true"):
        return
    project = _project()
    if project is not None:
        yield project
    if sys.platform == "win32":
        folders = [Path(environ[name]) for name in ("APPDATA", "PROGRAMDATA") if environ.get(name)]
    else:
        folders = [Path(environ.get("XDG_CONFIG_HOME") or home(environ) / ".config"), Path("/etc")]
    yield from (path for path in (folder / "uv" / "uv.toml" for folder in folders) if tables.exists(path))


def _project() -> Optional[Path]:
    """The nearest uv.toml, or pyproject.toml with a table of uv's; of one folder the former."""
    own = {path.parent: path for path in tables.above("pyproject.toml") if _own(path) or not tables.READABLE}
    own.update({path.parent: path for path in tables.above("uv.toml")})
    return max(own.values(), key=lambda path: len(path.parts), default=None)


def _own(path: Path) -> Mapping[str, Any]:
    found = tables.read(path)
    return tables.table(found, "tool", "uv") if path.name == "pyproject.toml" else found


def _of_variables(environ: Mapping[str, str]) -> Iterator[Index]:
    for variable in _INDEXES:
        for word in environ.get(variable, "").split():
            name, equals, url = word.partition("=")
            named = equals and re.fullmatch(r"[\w.-]+", name)
            yield Index(name if named else "", url if named else word, "auto", variable)


def _of_file(path: Path, own: Mapping[str, Any]) -> Iterator[Index]:
    for entry in tables.entries(own, "index"):
        what = f"[[index]] {entry.get('name', '')}".strip()
        authenticate = str(entry.get("authenticate", "auto"))
        yield Index(str(entry.get("name", "")), str(entry.get("url", "")), authenticate, f"{what} in {path}")
    for table in (own, tables.table(own, "pip")):
        for key in ("index-url", "extra-index-url"):
            urls = table.get(key, [])
            for url in urls if isinstance(urls, list) else [urls]:
                yield Index("", str(url), "auto", f"{key} in {path}")


def examine(found: Settings, feed: Optional[Feed], environ: Mapping[str, str]) -> Iterator[Check]:
    """Whether uv asks keyring for *feed*; judged only where uv is told of the feed."""
    for path in found.unread:
        yield Check("uv", None, f"{path} is not looked at: it needs Python 3.11 to be read")
    ours = [index for index in found.indexes if same(index.url, feed, environ)]
    for index in ours:
        yield _asks(index, found.provider, environ)
    if not ours:
        says = f"keyring-provider is {found.provider.value} ({found.provider.where})"
        yield Check("uv", None, f"{says}; it asks only with subprocess, and for a URL with a user in it")


def _asks(index: Index, provider: Setting, environ: Mapping[str, str]) -> Check:
    if _credential(index, environ) is not None:
        return Check("uv", None, f"{index.where} has a user and a password: asks no keyring")
    if index.authenticate == "never":
        return Check(
            "uv", False, f"{index.where}: never", f"uv asks no keyring because {index.where} says never: remove it"
        )
    if provider.value != "subprocess":
        step = f"uv asks no keyring for {index.where}: set {_PROVIDER}=subprocess ({provider.where}: {provider.value})"
        return Check("uv", False, f"keyring-provider is {provider.value} ({provider.where})", step)
    user = _user(index, environ)
    if not user and index.authenticate != "always":
        step = f"uv asks no keyring for a URL without a user: write https://{_USER}@… in {index.where}"
        return Check("uv", False, f"{index.where} names no user", step)
    limit = "" if user else f", but for no download of a lock file: that needs https://{_USER}@… there"
    return Check("uv", True, f"runs `keyring` for {index.where}{limit}")


def _variable(index: Index) -> str:
    return f"UV_INDEX_{re.sub(r'[^A-Z0-9]', '_', index.name.upper())}"


def _user(index: Index, environ: Mapping[str, str]) -> Optional[str]:
    return (environ.get(f"{_variable(index)}_USERNAME") if index.name else None) or userinfo(index.url)[0]


def _credential(index: Index, environ: Mapping[str, str]) -> Optional[Setting]:
    """The password of an index, and where it stands."""
    variable = f"{_variable(index)}_PASSWORD"
    if index.name and environ.get(variable):
        return Setting(environ[variable], variable)
    password = userinfo(index.url)[1]
    return Setting(password, index.where) if password else None


def rivals(found: Settings, feed: Feed, environ: Mapping[str, str]) -> Iterator[Rival]:
    """The passwords that uv has for *feed*."""
    for index in found.indexes:
        password = _credential(index, environ)
        if password is not None and same(index.url, feed, environ):
            yield Rival("uv", password.where, Credential(_user(index, environ) or "", password.value))
