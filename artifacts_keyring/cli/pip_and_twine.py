"""What pip and twine would do with a feed here, and netrc, which pip and uv read too."""

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

from .. import lookup
from ..credential import Credential
from ..feeds import Feed
from ..provider import caches
from ..system import access
from . import installation
from .check import Check, ask
from .credentials import Stored

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
    """The user's folder; if there is none, a path that does not exist. Never raises."""
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
    found = lookup.feed_of(url, environ) if feed is not None else None
    return found is not None and feed is not None and found.index_url == feed.index_url


def examine(feed: Optional[Feed], environ: Mapping[str, str]) -> tuple[list[Check], list[Stored]]:
    """Whether pip asks keyring, and the passwords that pip, twine and netrc have for *feed*."""
    checks, stored = [], list[Stored]()
    try:
        settings = _settings(environ)
    except OSError as error:
        checks.append(_no_pip(str(error)))
    else:
        checks.append(pip(settings, feed, environ))
        stored += _in_index_urls(settings, feed, environ)
    if feed is not None:
        stored += (*_in_netrc(feed, environ), *_of_twine(feed, environ))
    return checks, stored


def indexes(environ: Mapping[str, str]) -> Iterator[Setting]:
    """Every index that pip is told of, with the variable or file that says so; none if pip does not answer."""
    try:
        settings = _settings(environ)
    except OSError:
        return
    for key in ("index-url", "extra-index-url"):
        setting = settings.get(key, Setting("", ""))
        yield from (Setting(url, setting.where) for url in setting.value.split())


# --- pip


def _settings(environ: Mapping[str, str]) -> dict[str, Setting]:
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


def _no_pip(reason: str) -> Check:
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
    """Whether pip asks keyring, as its network/auth.py decides it (docs/clients.md#who-asks-keyring-at-all)."""
    old = _version() < (23, 1)
    provider = settings.get("keyring-provider", Setting("auto", "its default"))
    if old:
        provider = Setting("auto", "pip before 23.1 knows nothing else")
    silent = settings.get("no-input", Setting("", ""))
    said = f"keyring-provider is {provider.value} ({provider.where})"
    if provider.value == "disabled":
        return Check("pip", False, said, f"pip asks no keyring because of {provider.where}: set it to import")
    if provider.value == "auto" and silent.value.lower() in _TRUE:
        first = "upgrade pip to 23.1 or newer, and " if old else ""
        step = f"pip asks no keyring because of {silent.where}: {first}set PIP_KEYRING_PROVIDER=import beside it"
        return Check("pip", False, f"{said}, and {silent.where} is on", step)
    if provider.value != "subprocess":
        return Check("pip", True, f"{said}: imports keyring, asks it after a 401")
    return _pip_subprocess(settings, feed, environ, f"{said}: ")


def _pip_subprocess(
    settings: Mapping[str, Setting], feed: Optional[Feed], environ: Mapping[str, str], said: str
) -> Check:
    own = installation.scripts()
    program = installation.find_keyring(environ, but=own)
    if program is None or not installation.has_ours(program, environ):
        seen = f"{program} is without this backend" if program else f"there is none outside {own}"
        where = settings["keyring-provider"].where
        step = f"{where} makes pip run a keyring of another environment, and {seen}: set it to import"
        return Check("pip", False, f"{said}{seen}", step)
    nameless = [where for where, url in _indexes(settings, feed, environ) if not userinfo(url)[0]]
    if nameless and _version() < (26, 2):
        step = f"this pip runs keyring only for a URL with a user: write https://ANY@… in {nameless[0]}, or upgrade pip"
        return Check("pip", False, f"{said}{nameless[0]} names no user", step)
    return Check("pip", True, f"{said}runs {program}; before pip 26.2 only with a user in the URL")


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


# --- passwords


def _in_index_urls(
    settings: Mapping[str, Setting], feed: Optional[Feed], environ: Mapping[str, str]
) -> Iterator[Stored]:
    for where, url in _indexes(settings, feed, environ):
        user, password = userinfo(url)
        if password:
            yield Stored("pip", where, Credential(user or "", password))


def _in_netrc(feed: Feed, environ: Mapping[str, str]) -> Iterator[Stored]:
    """uv sends what netrc has for the host and asks no keyring then; pip asks keyring after a 401."""
    names = [Path(environ["NETRC"])] if environ.get("NETRC") else [home(environ) / ".netrc", home(environ) / "_netrc"]
    file = next(filter(access.is_file, names), None)
    if file is None:
        return
    try:
        entry = netrc.netrc(str(file)).authenticators(feed.host)
    except (OSError, netrc.NetrcParseError, UnicodeError):
        return  # clients ignore such a file, too
    if entry is not None and entry[2]:
        yield Stored("uv (netrc)", f"{file}, for {feed.host},", Credential(entry[0] or "", entry[2]))


def _of_twine(feed: Feed, environ: Mapping[str, str]) -> Iterator[Stored]:
    if environ.get("TWINE_PASSWORD"):
        credential = Credential(environ.get("TWINE_USERNAME", ""), environ["TWINE_PASSWORD"])
        yield Stored("twine", "TWINE_PASSWORD", credential)
    file = home(environ) / ".pypirc"
    parser = configparser.RawConfigParser()
    try:
        parser.read(file, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeError):
        return
    for section in parser.sections():
        entry = dict(parser.items(section))
        if entry.get("password") and same(entry.get("repository", ""), feed, environ):
            credential = Credential(entry.get("username", ""), entry["password"])
            yield Stored("twine", f"[{section}] of {file}", credential)
