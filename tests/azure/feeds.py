"""Package feeds: PEP 503 and PEP 691 index, files, and the legacy upload API."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.azure.server import Answer, Request, as_json

JSON_TYPE = "application/vnd.pypi.simple.v1+json"


@dataclass
class Feed:
    """One feed; tests set the fields at any time.

    fault: "" or one of server.FAULTS, for every request after the first `sound` ones;
    index_bytes: the root index is padded to at least this size; files: name -> content.
    """

    organisation: str
    name: str
    public: bool = False
    project: str = ""
    host: str = "pkgs.dev.azure.com"
    fault: str = ""
    sound: int = 0
    index_bytes: int = 0
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def base(self) -> str:
        """The path of the feed on its host."""
        organisation = "" if self.host.endswith(".visualstudio.com") else f"/{self.organisation}"
        project = f"/{self.project}" if self.project else ""
        return f"{organisation}{project}/_packaging/{self.name}"

    @property
    def url(self) -> str:
        """The index URL, as a user configures it."""
        return f"https://{self.host}{self.base}/pypi/simple/"

    @property
    def upload_url(self) -> str:
        """The upload URL."""
        return f"https://{self.host}{self.base}/pypi/upload/"

    @property
    def authorization_endpoint(self) -> str:
        """Where this organisation's session tokens are made, as the feed's headers announce it."""
        if self.host.endswith(".visualstudio.com"):
            return f"https://{self.organisation}.vssps.visualstudio.com/"
        return f"https://vssps.dev.azure.com/{self.organisation}/"

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

    def serve(self, request: Request, rest: str) -> Answer:
        """Answer an authorised request for `rest`, the path below the feed."""
        if request.step == "upload":
            return self._upload(request) if request.method == "POST" else Answer(405)
        if request.step == "file":
            content = self.files.get(rest.rpartition("/")[2])
            return Answer(404) if content is None else Answer(200, content, (("Content-Type", "application/zip"),))
        project = rest.removeprefix("/pypi/simple").strip("/")
        return self._page(request, project) if project else self._index(request)

    def _index(self, request: Request) -> Answer:
        names = sorted({_project(file) for file in self.files})
        if JSON_TYPE in request.headers.get("Accept", ""):
            return as_json({"meta": {"api-version": "1.0"}, "projects": [{"name": n} for n in names]}, 200, JSON_TYPE)
        line = b'<a href="padding/">padding</a><br/>\n'
        padding = line * (self.index_bytes // len(line) + 1) if self.index_bytes else b""
        return _page("".join(f'<a href="{name}/">{name}</a><br/>\n' for name in names).encode() + padding)

    def _page(self, request: Request, project: str) -> Answer:
        wanted = _normal(project)
        found = [file for file in sorted(self.files) if _project(file) == wanted]
        if not found:
            return Answer(404)
        links = [(file, *self._link(request, file, wanted)) for file in found]
        if JSON_TYPE in request.headers.get("Accept", ""):
            files = [{"filename": f, "url": url, "hashes": {"sha256": digest}} for f, url, digest in links]
            return as_json({"meta": {"api-version": "1.0"}, "name": wanted, "files": files}, 200, JSON_TYPE)
        rows = (f'<a href="{html.escape(url)}#sha256={digest}">{f}</a><br/>\n' for f, url, digest in links)
        return _page("".join(rows).encode())

    def _link(self, request: Request, file: str, project: str) -> tuple[str, str]:
        version = file.split("-")[1].removesuffix(".tar.gz")
        url = f"https://{request.host}{self.base}/pypi/download/{project}/{version}/{file}"
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
