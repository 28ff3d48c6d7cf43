"""A release page on the loopback interface: its API, its download addresses, and the storage behind them.

Answers have the shape of GitHub's REST API, "Get a release by tag name": all fields that it
documents are there, so that nothing can come to rely on a shorter one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union

from tests.fakes.servers import Answer, Handler, Server, content, redirect, serve, status

PROJECT = "microsoft/artifacts-credprovider"
_MADE = "2026-11-20T08:00:00Z"
_HOUR = {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "59", "X-RateLimit-Resource": "core"}
Body = Union[bytes, Path]


@dataclass
class ReleasePage:
    """The API (which answers the download addresses, too) and the storage that these redirect to."""

    api: Server
    storage: Server

    def publish(self, version: str, files: Mapping[str, Body], **changed: object) -> dict[str, Any]:
        """Publish a release with these assets; `changed` are fields of its assets that say something else."""
        assets = [{**self.asset(version, name, body), **changed} for name, body in files.items()]
        answer = self.release(version, assets)
        self.answer(version, content(json.dumps(answer).encode(), "application/json; charset=utf-8", **_HOUR))
        for asset, body in zip(assets, files.values()):
            self._store(version, str(asset["name"]), body)
        return answer

    def answer(self, version: str, answer: Answer) -> None:
        """What the API says when it is asked for this version."""
        self.api.answers[f"/repos/{PROJECT}/releases/tags/v{version}"] = answer

    def release(self, version: str, assets: list[dict[str, Any]]) -> dict[str, Any]:
        """A release as the API describes it."""
        base = f"{self.api.url}/repos/{PROJECT}/releases"
        return {
            "url": f"{base}/7",
            "assets_url": f"{base}/7/assets",
            "upload_url": f"{base}/7/assets{{?name,label}}",
            "html_url": f"{self.api.url}/{PROJECT}/releases/tag/v{version}",
            "id": 7,
            "author": _user(),
            "node_id": "RE_7",
            "tag_name": f"v{version}",
            "target_commitish": "master",
            "name": f"v{version}",
            "draft": False,
            "immutable": False,
            "prerelease": False,
            "created_at": _MADE,
            "updated_at": _MADE,
            "published_at": _MADE,
            "assets": assets,
            "tarball_url": f"{self.api.url}/repos/{PROJECT}/tarball/v{version}",
            "zipball_url": f"{self.api.url}/repos/{PROJECT}/zipball/v{version}",
            "body": "Fixes.",
        }

    def asset(self, version: str, name: str, body: Body) -> dict[str, Any]:
        """An asset as the API describes it."""
        data = body if isinstance(body, bytes) else body.read_bytes()
        return {
            "url": f"{self.api.url}/repos/{PROJECT}/releases/assets/{len(name)}",
            "id": len(name),
            "node_id": "RA_1",
            "name": name,
            "label": "",
            "uploader": _user(),
            "content_type": "application/gzip" if name.endswith("gz") else "application/zip",
            "state": "uploaded",
            "size": len(data),
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
            "download_count": 12,
            "created_at": _MADE,
            "updated_at": _MADE,
            "browser_download_url": f"{self.api.url}/{PROJECT}/releases/download/v{version}/{name}",
        }

    def _store(self, version: str, name: str, body: Body) -> None:
        place = f"/github-production-release-asset/1/{version}-{name}?sig=SECRET"
        self.api.answers[f"/{PROJECT}/releases/download/v{version}/{name}"] = redirect(f"{self.storage.url}{place}")
        self.storage.answers[place] = _sent(body)


def spent(code: int, reset: int) -> Answer:
    """The refusal of a client whose hourly allowance is used up until `reset` (Unix time)."""
    headers = {**_HOUR, "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(reset)}
    return status(code, headers)


def slow_down(seconds: int) -> Answer:
    """The refusal of a client that asks too often (a "secondary" limit)."""
    return status(429, {"Retry-After": str(seconds), **_HOUR})


def _user() -> dict[str, Any]:
    return {"login": "releaser", "id": 1, "node_id": "U_1", "type": "User", "site_admin": False}


def _sent(body: Body) -> Answer:
    def answer(handler: Handler) -> None:
        data = body if isinstance(body, bytes) else body.read_bytes()
        handler.send(200, data, {"Content-Type": "application/octet-stream"})

    return answer


@contextmanager
def release_page() -> Iterator[ReleasePage]:
    """A release page without releases, until the end of the block."""
    with serve() as api, serve() as storage:
        yield ReleasePage(api, storage)
