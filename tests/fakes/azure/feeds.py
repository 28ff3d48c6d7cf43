"""Package feeds: PEP 503 and PEP 691 index, files, and the legacy upload API."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
import uuid
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import quote

from tests.fakes.azure.server import Answer, Request, as_json

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
PKGS, LEGACY = "pkgs.dev.azure.com", ".pkgs.visualstudio.com"
BLOBS = "files.vsblob.vsassets.io"  # where Azure DevOps sends a download to, with a signature in the URL
SIGNATURE = "sig=by-the-feed"


@dataclass
class Feed:
    """One feed; tests set the fields at any time.

    organisation: on a server on premises its collection, with the folder before it ("tfs/Collection").
    fault: "" or one of server.FAULTS, for every request after the first `sound` ones; index_bytes: the root
    index is padded to at least this size; files: name -> content; views: name -> files promoted to it, beside
    "local", which holds all; upstream: those of the files that only an upstream has so far: their packages are for
    members, until one of them downloads the file.
    """

    organisation: str
    name: str
    public: bool = False
    project: str = ""
    host: str = PKGS
    on_premises: bool = False
    fault: str = ""
    sound: int = 0
    index_bytes: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    views: dict[str, set[str]] = field(default_factory=dict)
    upstream: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        """The index URL, as a user configures it."""
        return self.url_on(self.host)

    @property
    def upload_url(self) -> str:
        """The upload URL."""
        return f"https://{self.host}{self._base(self.host)}/pypi/upload/"

    def url_on(self, host: str, view: str = "") -> str:
        """The index URL on another host of the organisation, or of a view."""
        return f"https://{host}{self._base(host)}{'@' if view else ''}{view}/pypi/simple/"

    def download_url(self, file: str) -> str:
        """The URL by which its index links to a file."""
        return self._link(self.host, file, "")[0]

    @property
    def legacy_host(self) -> str:
        """The organisation's own host, its older spelling."""
        return f"{self.organisation}{LEGACY}".lower()

    @property
    def hosted(self) -> bool:
        """Whether Azure DevOps itself holds the feed, and no server on premises."""
        return self.host in (PKGS, self.legacy_host)

    def stands_at(self, host: str, scope: str, name: str) -> bool:
        """Whether it has this address: by names in any case, or by the ids that download links have."""
        return (
            (host == self.host or (self.hosted and host in (PKGS, self.legacy_host)))
            and name.lower() in (self.name.lower(), _id(self.name))
            and scope.lower() in (self._scope(host, self.project).lower(), self._scope(host, _id(self.project)).lower())
        )

    def _scope(self, host: str, project: str) -> str:
        organisation = "" if host.endswith(LEGACY) else self.organisation
        return "/".join(filter(None, (organisation, project)))

    def _base(self, host: str) -> str:
        scope = self._scope(host, self.project)
        return quote(f"{'/' if scope else ''}{scope}/_packaging/{self.name}")

    def with_user(self, user: str) -> str:
        """The index URL with a user name in it."""
        return self.url.replace("https://", f"https://{user}@", 1)

    def add(self, name: str, version: str = "1.0", requires: Sequence[str] = ()) -> str:
        """Store an importable wheel; returns its file name."""
        file, content = wheel(name, version, requires)
        self.files[file] = content
        return file

    def next_fault(self) -> str:
        """The fault of the request that is being answered."""
        if self.fault and self.sound > 0:
            self.sound -= 1
            return ""
        return self.fault

    def withholds(self, rest: str) -> bool:
        """Whether `rest` below the feed is a page or file of a package that has to come from an upstream first."""
        package = [_normal(part) for part in rest.strip("/").split("/")[2:3]]  # pypi/simple/PACKAGE
        return any(_project(file) in package for file in self.upstream)

    def serve(self, request: Request, rest: str, view: str = "") -> Answer:
        """Answer an authorised request for `rest`, the path below the feed or one of its views."""
        files = self._seen(view.lower())
        if files is None:
            return Answer(404, f"The view '{view}' does not exist.".encode())
        if request.step == "upload":
            return Answer(405) if request.method != "POST" or view else self._upload(request)
        if request.step == "file":
            return self._file(request, files.get(rest.rpartition("/")[2]))
        project = rest.removeprefix("/pypi/simple").strip("/")
        return self._page(request, project, files, view) if project else self._index(request, files)

    def _seen(self, view: str) -> Optional[Mapping[str, bytes]]:
        if view in ("", "local"):
            return self.files
        promoted = self.views.get(view)
        return None if promoted is None else {file: self.files[file] for file in sorted(promoted)}

    def _file(self, request: Request, content: Optional[bytes]) -> Answer:
        if content is None:
            return Answer(404)
        if request.method == "HEAD":
            return Answer(405)
        self.upstream -= {file for file in self.upstream if self.files[file] == content}
        if self.hosted:
            place = f"https://{BLOBS}/{hashlib.sha256(content).hexdigest()}?{SIGNATURE}"
            return Answer(303, b"", (("Location", place),))
        return Answer(200, content, (("Content-Type", "application/zip"),))

    def _index(self, request: Request, seen: Mapping[str, bytes]) -> Answer:
        names = sorted({_project(file) for file in seen})
        if JSON_TYPE in request.headers.get("Accept", ""):
            return as_json({"meta": {"api-version": "1.0"}, "projects": [{"name": n} for n in names]}, 200, JSON_TYPE)
        line = b'<a href="padding/">padding</a><br/>\n'
        padding = line * (self.index_bytes // len(line) + 1) if self.index_bytes else b""
        return _page("".join(f'<a href="{name}/">{name}</a><br/>\n' for name in names).encode() + padding)

    def _page(self, request: Request, project: str, seen: Mapping[str, bytes], view: str) -> Answer:
        wanted = _normal(project)
        found = [file for file in sorted(seen) if _project(file) == wanted]
        if not found:
            return Answer(404)
        links = [(file, *self._link(request.host, file, view)) for file in found]
        if JSON_TYPE in request.headers.get("Accept", ""):
            files = [{"filename": f, "url": url, "hashes": {"sha256": digest}} for f, url, digest in links]
            return as_json({"meta": {"api-version": "1.0"}, "name": wanted, "files": files}, 200, JSON_TYPE)
        rows = (f'<a href="{html.escape(url)}#sha256={digest}">{f}</a><br/>\n' for f, url, digest in links)
        return _page("".join(rows).encode())

    def _link(self, host: str, file: str, view: str) -> tuple[str, str]:
        # By ids, as Azure DevOps does it: the link does not begin as the index URL that the user configured.
        scope = self._scope(host, _id(self.project))
        feed = f"{'/' if scope else ''}{scope}/_packaging/{_id(self.name)}{'@' if view else ''}{view}"
        version = file.split("-")[1].removesuffix(".tar.gz")
        url = f"https://{host}{feed}/pypi/download/{_project(file)}/{version}/{file}"
        return url, hashlib.sha256(self.files[file]).hexdigest()

    def _upload(self, request: Request) -> Answer:
        fields = _multipart(request)
        file, content = fields.get("content", ("", b""))
        if not file:
            return Answer(400, b"the form has no file 'content'")
        if file in self.files:
            return Answer(409, f"The feed already contains file '{file}'.".encode())
        declared = fields.get("sha256_digest", ("", b""))[1].decode()
        if declared and declared != hashlib.sha256(content).hexdigest():
            return Answer(400, b"sha256_digest is not that of the content")
        self.files[file] = content
        return Answer(202)


def wheel(name: str, version: str, requires: Sequence[str] = ()) -> tuple[str, bytes]:
    """File name and content of an importable wheel with one empty module."""
    module = _normal(name).replace("-", "_")
    info = f"{module}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {one}\n" for one in requires)
    members = {
        f"{module}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{member},{_record_hash(text)},{len(text.encode())}\n" for member, text in members.items()]
    members[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"])
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for member, text in members.items():
            archive.writestr(member, text)
    return f"{module}-{version}-py3-none-any.whl", content.getvalue()


def _id(name: str) -> str:
    """The id by which Azure DevOps calls what has this name; "" for no name."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name.lower())) if name else ""


def _record_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _multipart(request: Request) -> dict[str, tuple[str, bytes]]:
    # By hand: the email package is free to change line ends inside a wheel.
    boundary = request.headers["Content-Type"].partition("boundary=")[2].strip('"').encode()
    fields = {}
    for part in (b"\r\n" + request.body).split(b"\r\n--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        parameters = dict(re.findall(r'\b(name|filename)="([^"]*)"', head.decode()))
        fields[parameters.get("name", "")] = (parameters.get("filename", ""), content)
    return fields


def _page(links: bytes) -> Answer:
    return Answer(200, b"<!DOCTYPE html><html><body>\n" + links + b"</body></html>\n", (("Content-Type", "text/html"),))


def _project(file: str) -> str:
    return _normal(file.split("-")[0])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
