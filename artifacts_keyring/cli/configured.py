"""The feeds that the configuration of pip, uv, poetry and pdm names here, for commands that are given no URL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from .. import lookup
from ..feeds import Feed
from . import pip_and_twine, uv_and_poetry


class Configured(NamedTuple):
    """A feed, and the variable or file that names it."""

    feed: Feed
    where: str


def feeds(environ: Mapping[str, str]) -> list[Configured]:
    """Each feed once, by the first place that names it. Never raises."""
    found: dict[str, Configured] = {}
    for url, where in _indexes(environ):
        feed = lookup.feed_of(url, environ)
        if feed is not None and feed.kind != "host":
            found.setdefault(feed.index_url, Configured(feed, where))
    return list(found.values())


def _indexes(environ: Mapping[str, str]) -> Iterator[pip_and_twine.Setting]:
    yield from pip_and_twine.indexes(environ)
    yield from uv_and_poetry.indexes(environ)
