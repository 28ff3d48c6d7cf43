"""What tests of declared credentials put into the environment."""

from __future__ import annotations

import json

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
