"""What tests of declared credentials put into the environment."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest

from artifacts_keyring import declared, feeds, lookup
from artifacts_keyring.credential import Credential
from artifacts_keyring.feeds import Feed
from artifacts_keyring.variables import ACCESS_TOKEN, EXTERNAL_ENDPOINTS, IDENTITIES, PREFIXES

EXTERNAL, OLD_EXTERNAL = EXTERNAL_ENDPOINTS
PREFIX, OLD_PREFIX = PREFIXES
TOKEN, OLD_TOKEN = ACCESS_TOKEN
IDENTITY = IDENTITIES[0]

ORGANISATION = "https://pkgs.dev.azure.com/org/"
FEED = f"{ORGANISATION}_packaging/feed/"
INDEX = f"{FEED}pypi/simple/"
UPLOAD = f"{FEED}pypi/upload/"
SERVER = "https://tfs.example/tfs/Coll/_packaging/feed/pypi/simple/"
CLIENT = "00000000-0000-0000-0000-000000000001"
HOST = "ARTIFACTS_KEYRING_HOSTS"


def entry(endpoint: str, username: str | None = "u", word: str | None = "p", **more: object) -> dict[str, object]:
    return {"endpoint": endpoint, "username": username, "password": word, **more}


def listing(*entries: object) -> str:
    return json.dumps({"endpointCredentials": list(entries)})


def external(*endpoints: str) -> dict[str, str]:
    """Each endpoint with a user name and a password made of its number."""
    return {EXTERNAL: listing(*(entry(url, f"u{n}", f"p{n}") for n, url in enumerate(endpoints)))}


def prefixes(*urls: str) -> dict[str, str]:
    return {PREFIX: ";".join(urls), TOKEN: "token"}


def look(feed: Feed, environ: Mapping[str, str], say: Callable[[str], None] = pytest.fail) -> Credential | None:
    """The credential that is declared for *feed*; *say* hears what is wrong with a better one."""
    found = declared.look(feed, environ)
    if found.fault:
        say(found.fault)
    return found.best.credential if found.best is not None else None


def refusal(service: str, environ: Mapping[str, str]) -> str:
    """Why no credential may be sent to *service*; "" where it may, or is none of ours."""
    address = feeds.ours(service, environ, lookup._covers)
    return feeds.refusal(address, environ) if address is not None else ""
