"""What uv and poetry would do with a feed here, by their variables and TOML files."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Optional

from ..credential import DEFAULT_USERNAME, Credential
from ..feeds import Feed
from ..system import access
from .check import Check
from .credentials import Stored
from .pip_and_twine import Setting, home, same, userinfo

_READS_TOML = sys.version_info >= (3, 11)  # Python's own parser came with it
_PROVIDER = "UV_KEYRING_PROVIDER"
_INDEXES = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")


class Index(NamedTuple):
    """An index of uv's: what its URL says, and where that stands."""

    name: str
    url: str
    authenticate: str
    where: str


class Settings(NamedTuple):
    """What uv is told, and which files this Python cannot read."""

    provider: Setting
    indexes: list[Index]
    unread: list[Path]


def examine(feed: Optional[Feed], environ: Mapping[str, str]) -> tuple[list[Check], list[Stored]]:
    """Whether uv and poetry ask keyring, judged only if they are told of *feed*; and the passwords that they have."""
    told = _settings(environ)
    ours = [index for index in told.indexes if same(index.url, feed, environ)]
    unread = "it needs Python 3.11 to be read"
    checks = [Check("uv", None, f"{path} is not looked at: {unread}") for path in told.unread]
    checks += [_uv(index, told.provider, environ) for index in ours]
    if not ours:
        says = f"keyring-provider is {told.provider.value} ({told.provider.where})"
        checks.append(Check("uv", None, f"{says}; it asks only with subprocess, and for a URL with a user in it"))
    sources = list(_sources(feed, environ)) if feed is not None else []
    if sources:
        checks.append(_poetry(sources, environ))
    return checks, [*_of_uv(ours, environ), *_of_poetry(sources, environ)]


def indexes(environ: Mapping[str, str]) -> Iterator[Setting]:
    """Every index that uv, poetry and pdm are told of, with the variable or file that says so."""
    yield from (Setting(index.url, index.where) for index in _settings(environ).indexes)
    for file in _above("pyproject.toml"):
        for tool in ("poetry", "pdm"):
            for source in _entries(_read(file), "tool", tool, "source"):
                yield Setting(str(source.get("url", "")), f"[[tool.{tool}.source]] {source.get('name', '')} in {file}")


# --- uv


def _uv(index: Index, provider: Setting, environ: Mapping[str, str]) -> Check:
    """Whether uv asks keyring for *index* (docs/clients.md#who-asks-keyring-at-all)."""
    if _password(index, environ) is not None:
        return Check("uv", None, f"{index.where} has a user and a password: asks no keyring")
    if index.authenticate == "never":
        step = f"uv asks no keyring because {index.where} says never: remove it"
        return Check("uv", False, f"{index.where}: never", step)
    if provider.value != "subprocess":
        step = f"uv asks no keyring for {index.where}: set {_PROVIDER}=subprocess ({provider.where}: {provider.value})"
        return Check("uv", False, f"keyring-provider is {provider.value} ({provider.where})", step)
    user = _user(index, environ)
    if not user and index.authenticate != "always":
        step = f"uv asks no keyring for a URL without a user: write https://{DEFAULT_USERNAME}@… in {index.where}"
        return Check("uv", False, f"{index.where} names no user", step)
    limit = "" if user else f", but for no download of a lock file: that needs https://{DEFAULT_USERNAME}@… there"
    return Check("uv", True, f"runs `keyring` for {index.where}{limit}")


def _settings(environ: Mapping[str, str]) -> Settings:
    """By uv's variables and its files of project, user and system; the first one that names a provider counts."""
    files = list(_files(environ))
    found = [(path, _own(path)) for path in files]
    provider = Setting("disabled", "as nothing sets it")
    for path, own in reversed(found):
        for table in (_table(own, "pip"), own):
            if isinstance(table.get("keyring-provider"), str):
                provider = Setting(table["keyring-provider"], f"keyring-provider in {path}")
    if environ.get(_PROVIDER):
        provider = Setting(environ[_PROVIDER], _PROVIDER)
    indexes = [*_of_variables(environ), *(index for path, own in found for index in _of_file(path, own))]
    return Settings(provider, indexes, [] if _READS_TOML else files)


def _files(environ: Mapping[str, str]) -> Iterator[Path]:
    if environ.get("UV_CONFIG_FILE"):
        yield Path(environ["UV_CONFIG_FILE"])
        return
    if environ.get("UV_NO_CONFIG", "").lower() in ("1", "true"):
        return
    project = _project()
    if project is not None:
        yield project
    places = [_configuration(environ), Path(environ.get("PROGRAMDATA", "") if sys.platform == "win32" else "/etc")]
    yield from filter(access.is_file, (folder / "uv" / "uv.toml" for folder in places if folder.is_absolute()))


def _project() -> Optional[Path]:
    """The nearest uv.toml, or pyproject.toml with a table of uv's; of one folder the former."""
    own = {path.parent: path for path in _above("pyproject.toml") if _own(path) or not _READS_TOML}
    own.update({path.parent: path for path in _above("uv.toml")})
    return max(own.values(), key=lambda path: len(path.parts), default=None)


def _own(path: Path) -> Mapping[str, Any]:
    found = _read(path)
    return _table(found, "tool", "uv") if path.name == "pyproject.toml" else found


def _of_variables(environ: Mapping[str, str]) -> Iterator[Index]:
    for variable in _INDEXES:
        for word in environ.get(variable, "").split():
            name, equals, url = word.partition("=")
            named = equals and re.fullmatch(r"[\w.-]+", name)
            yield Index(name if named else "", url if named else word, "auto", variable)


def _of_file(path: Path, own: Mapping[str, Any]) -> Iterator[Index]:
    for entry in _entries(own, "index"):
        what = f"[[{'tool.uv.' if path.name == 'pyproject.toml' else ''}index]] {entry.get('name', '')}".strip()
        authenticate = str(entry.get("authenticate", "auto"))
        yield Index(str(entry.get("name", "")), str(entry.get("url", "")), authenticate, f"{what} in {path}")
    for table in (own, _table(own, "pip")):
        for key in ("index-url", "extra-index-url"):
            urls = table.get(key, [])
            for url in urls if isinstance(urls, list) else [urls]:
                yield Index("", str(url), "auto", f"{key} in {path}")


def _variable(index: Index) -> str:
    return f"UV_INDEX_{re.sub(r'[^A-Z0-9]', '_', index.name.upper())}"


def _user(index: Index, environ: Mapping[str, str]) -> Optional[str]:
    return (environ.get(f"{_variable(index)}_USERNAME") if index.name else None) or userinfo(index.url)[0]


def _password(index: Index, environ: Mapping[str, str]) -> Optional[Setting]:
    variable = f"{_variable(index)}_PASSWORD"
    if index.name and environ.get(variable):
        return Setting(environ[variable], variable)
    password = userinfo(index.url)[1]
    return Setting(password, index.where) if password else None


def _of_uv(indexes: list[Index], environ: Mapping[str, str]) -> Iterator[Stored]:
    for index in indexes:
        password = _password(index, environ)
        if password is not None:
            yield Stored("uv", password.where, Credential(_user(index, environ) or "", password.value))


# --- poetry


def _sources(feed: Feed, environ: Mapping[str, str]) -> Iterator[str]:
    for file in _above("pyproject.toml"):
        sources = _entries(_read(file), "tool", "poetry", "source")
        yield from (str(one.get("name")) for one in sources if same(str(one.get("url")), feed, environ))


def _poetry(sources: list[str], environ: Mapping[str, str]) -> Check:
    if environ.get("POETRY_KEYRING_ENABLED", "").strip().lower() in ("false", "0"):
        step = "poetry asks no keyring because of POETRY_KEYRING_ENABLED: unset it"
        return Check("poetry", False, "POETRY_KEYRING_ENABLED is off", step)
    return Check("poetry", None, f"source {', '.join(sources)}: asks the keyring of poetry's own environment")


def _of_poetry(sources: list[str], environ: Mapping[str, str]) -> Iterator[Stored]:
    """By its variables, else by auth.toml, as poetry has it."""
    macos = sys.platform == "darwin"
    usual = home(environ) / "Library" / "Application Support" if macos else _configuration(environ)
    file = Path(environ.get("POETRY_CONFIG_DIR") or usual / "pypoetry") / "auth.toml"
    for name in sources:
        entry = _table(_read(file), "http-basic", name)
        variable = f"POETRY_HTTP_BASIC_{re.sub(r'[-.]', '_', name.upper())}"
        user = environ.get(f"{variable}_USERNAME") or str(entry.get("username", ""))
        if environ.get(f"{variable}_PASSWORD"):
            yield Stored("poetry", f"{variable}_PASSWORD", Credential(user, environ[f"{variable}_PASSWORD"]))
        elif isinstance(entry.get("password"), str) and entry["password"]:
            yield Stored("poetry", f"http-basic.{name} in {file}", Credential(user, entry["password"]))


# --- files


def _configuration(environ: Mapping[str, str]) -> Path:
    """The folder where programs keep the user's configuration."""
    if sys.platform == "win32":
        return Path(environ.get("APPDATA") or home(environ) / "AppData" / "Roaming")
    return Path(environ.get("XDG_CONFIG_HOME") or home(environ) / ".config")


def _above(name: str) -> Iterator[Path]:
    """Every file *name* in the current folder and the folders above it, the nearest first. Never raises."""
    try:
        here = Path.cwd()
    except OSError:
        return
    yield from filter(access.is_file, (folder / name for folder in (here, *here.parents)))


def _read(path: Path) -> Mapping[str, Any]:
    """The tables of a TOML file; {} if it is not there, is no TOML, or cannot be read."""
    if not _READS_TOML:
        return {}
    from importlib import import_module  # type checkers of older Pythons do not know tomllib

    try:
        found: Mapping[str, Any] = import_module("tomllib").loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def _table(tables: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    found: Any = tables
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _entries(tables: Mapping[str, Any], *names: str) -> list[Mapping[str, Any]]:
    """The tables of the list below these names."""
    found = _table(tables, *names[:-1]).get(names[-1])
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
