"""What pip, twine and poetry would do with a feed here, and netrc, which all of them and uv read."""

from __future__ import annotations

import configparser
import netrc
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Optional
from urllib.parse import unquote, urlsplit

from .. import feeds
from ..credential import Credential
from ..feeds import Feed
from ..provider import caches
from . import keyrings, tables
from .check import Check, ask
from .credentials import Rival

# As `python -m pip`, but for the current folder, which -m would search first.
_PIP = "import runpy, sys; sys.path.pop(0); runpy.run_module('pip', run_name='__main__', alter_sys=True)"
_VARIANTS = ("global", "user", "site", "env")  # what comes later wins
_SECTIONS = ("global", "install")
_LINE = re.compile(
    r"(?P<variant>\w+):$|  (?P<file>\S.*), exists: \w+$|    (?P<section>[\w-]+)\.(?P<key>[\w-]+): (?P<value>.*)$"
)
_TRUE = ("y", "yes", "t", "true", "on", "1")  # pip's own list


class Setting(NamedTuple):
    """A value, and the variable or the file that it is from."""

    value: str
    where: str


def home(environ: Mapping[str, str]) -> Path:
    """The user's folder; where there is none, a place that does not exist. Never raises."""
    return caches.home(environ) or Path(os.devnull, "home")


def userinfo(url: str) -> tuple[Optional[str], Optional[str]]:
    """User and password in a URL, decoded; None for what is not there."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return None, None
    user, password = parts.username, parts.password
    return unquote(user) if user else None, unquote(password) if password else None


def same(url: str, feed: Optional[Feed], environ: Mapping[str, str]) -> bool:
    """Whether *url* means *feed*, however it is spelled."""
    found = feeds.parse(url, environ) if feed is not None else None
    return found is not None and feed is not None and found.index_url == feed.index_url


# --- pip


def pip_settings(environ: Mapping[str, str]) -> dict[str, Setting]:
    """What pip's files and variables say to `pip install`. Raises OSError, with one line, where pip does not say."""
    done = ask([sys.executable, "-c", _PIP, "config", "debug"], environ)
    if done is None or done.code:
        lines = done.stderr.strip().splitlines() if done is not None else []
        raise OSError(lines[-1] if lines else "it does not answer")
    entries = sorted(_entries(done.stdout.decode(errors="replace")), key=lambda entry: entry[0])
    settings = {key: setting for _, key, setting in entries if setting.value.strip()}
    for name in sorted(environ):
        if name.startswith("PIP_") and environ[name]:
            settings[name[4:].lower().replace("_", "-")] = Setting(environ[name], name)
    return settings


def no_pip(reason: str) -> Check:
    """Why pip did not say what it is told."""
    if "No module named pip" in reason:
        return Check("pip", None, "not in this Python's environment")
    return Check("pip", False, reason, f"pip fails here: {reason}")


def _entries(text: str) -> Iterator[tuple[tuple[int, int], str, Setting]]:
    """(rank, key, setting) of each line of `pip config debug`; a list may go on in the lines below."""
    variant, file = "", ""
    last: Optional[tuple[tuple[int, int], str, Setting]] = None
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            if last is not None:
                last = (*last[:2], last[2]._replace(value=f"{last[2].value}\n{line.strip()}"))
            continue
        if last is not None:
            yield last
        last = None
        variant, file = match["variant"] or variant, match["file"] or file
        if match["key"] and match["section"] in _SECTIONS and variant in _VARIANTS:
            rank = _SECTIONS.index(match["section"]), _VARIANTS.index(variant)
            last = rank, match["key"].lower().replace("_", "-"), Setting(match["value"], f"{match['key']} in {file}")
    if last is not None:
        yield last


def pip(settings: Mapping[str, Setting], feed: Optional[Feed], environ: Mapping[str, str]) -> Check:
    """Whether pip asks keyring, as its network/auth.py decides it (docs/clients.md)."""
    provider = settings.get("keyring-provider", Setting("auto", "its default"))
    silent = settings.get("no-input", Setting("", ""))
    said = f"keyring-provider is {provider.value} ({provider.where})"
    if provider.value == "disabled":
        step = f"pip asks no keyring because {provider.where} says disabled: set it to import, or remove it"
        return Check("pip", False, said, step)
    if provider.value == "auto" and silent.value.strip().lower() in _TRUE:
        step = f"pip asks no keyring because of {silent.where}: set PIP_KEYRING_PROVIDER=import beside it"
        return Check("pip", False, f"{said}, and {silent.where} forbids to ask anyone", step)
    if provider.value != "subprocess":
        return Check("pip", True, f"{said}: imports keyring, asks it after a 401")
    program = keyrings.find(environ, but=keyrings.scripts())
    if program is None or not keyrings.has_ours(program, environ):
        seen = f"{program} is without this backend" if program else f"there is none outside {keyrings.scripts()}"
        step = f"{provider.where} makes pip run a keyring of another environment, and {seen}: set it to import"
        return Check("pip", False, f"{said}; {seen}", step)
    nameless = [where for where, url in _indexes(settings, feed, environ) if not userinfo(url)[0]]
    if nameless and _version() < (26, 2):
        step = f"this pip runs keyring only for a URL with a user: write https://ANY@… in {nameless[0]}, or upgrade pip"
        return Check("pip", False, f"{said}; {nameless[0]} names no user", step)
    return Check("pip", True, f"{said}: runs {program}; before pip 26.2 only with a user in the URL")


def _version() -> tuple[int, ...]:
    from importlib.metadata import version

    return tuple(int(part) for part in version("pip").split(".")[:2] if part.isdecimal())


def _indexes(
    settings: Mapping[str, Setting], feed: Optional[Feed], environ: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """(variable or file, URL) of each index of pip that means *feed*."""
    for key in ("index-url", "extra-index-url"):
        setting = settings.get(key, Setting("", ""))
        yield from ((setting.where, url) for url in setting.value.split() if same(url, feed, environ))


def pip_rivals(settings: Mapping[str, Setting], feed: Feed, environ: Mapping[str, str]) -> Iterator[Rival]:
    """The passwords in index URLs of pip that mean *feed*."""
    for where, url in _indexes(settings, feed, environ):
        user, password = userinfo(url)
        if password:
            yield Rival("pip", where, Credential(user or "", password))


# --- what others keep


def netrc_rivals(feed: Feed, environ: Mapping[str, str]) -> Iterator[Rival]:
    """The entry of netrc for the host of *feed*: uv sends it and asks nobody then, pip asks keyring after a 401."""
    names = [environ["NETRC"]] if environ.get("NETRC") else [home(environ) / ".netrc", home(environ) / "_netrc"]
    file = next((name for name in names if os.path.isfile(name)), None)  # noqa: PTH113 (Path's raises)
    if file is None:
        return
    try:
        entry = netrc.netrc(str(file)).authenticators(feed.host)
    except (OSError, netrc.NetrcParseError, UnicodeError):
        return  # clients pass over it, too
    if entry is not None and entry[2]:
        yield Rival("uv (netrc)", f"{file}, for {feed.host},", Credential(entry[0] or "", entry[2]))


def twine_rivals(feed: Feed, environ: Mapping[str, str]) -> Iterator[Rival]:
    """The password that twine has from its variables or from .pypirc."""
    if environ.get("TWINE_PASSWORD"):
        yield Rival("twine", "TWINE_PASSWORD", Credential(environ.get("TWINE_USERNAME", ""), environ["TWINE_PASSWORD"]))
    file = home(environ) / ".pypirc"
    parser = configparser.RawConfigParser()
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeError):
        return
    for section in parser.sections():
        entry = dict(parser.items(section))
        if entry.get("password") and same(entry.get("repository", ""), feed, environ):
            where = f"[{section}] of {file}"
            yield Rival("twine", where, Credential(entry.get("username", ""), entry["password"]))


def poetry(feed: Feed, environ: Mapping[str, str]) -> Iterator[Check]:
    """Whether poetry may ask keyring; only for who has the feed among poetry's sources."""
    names = list(_sources(feed, environ))
    if not names:
        return
    if environ.get("POETRY_KEYRING_ENABLED", "").strip().lower() in ("false", "0"):
        step = "poetry asks no keyring because of POETRY_KEYRING_ENABLED: unset it"
        yield Check("poetry", False, "POETRY_KEYRING_ENABLED is off", step)
    else:
        yield Check("poetry", None, f"source {', '.join(names)}: asks the keyring of poetry's own environment")


def poetry_rivals(feed: Feed, environ: Mapping[str, str]) -> Iterator[Rival]:
    """The password that poetry has from its variables."""
    for name in _sources(feed, environ):
        variable = f"POETRY_HTTP_BASIC_{re.sub(r'[-.]', '_', name.upper())}"
        if environ.get(f"{variable}_PASSWORD"):
            user = environ.get(f"{variable}_USERNAME", "")
            yield Rival("poetry", f"{variable}_PASSWORD", Credential(user, environ[f"{variable}_PASSWORD"]))


def _sources(feed: Feed, environ: Mapping[str, str]) -> Iterator[str]:
    for file in tables.above("pyproject.toml"):
        sources = tables.entries(tables.read(file), "tool", "poetry", "source")
        yield from (str(one.get("name")) for one in sources if same(str(one.get("url")), feed, environ))
