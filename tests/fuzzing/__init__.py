"""Fuzzing of everything that reads what others wrote: the targets, their corpus, and how an input is changed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path

CORPUS = Path(__file__).resolve().parent.parent / "corpus"

# What mutation puts in: the pieces that the rules under test are about.
_WORDS = (
    *("https://", "http://", "://", "//", "/", "\\", "?", "#", "@", ":", ":443", ":80", ":0", "%2F", "%40", "%ff"),
    *(".", "..", "./", "../", "*.", "[", "]", "[::1]", "127.0.0.1", "localhost", "xn--", "ü", "ß", "ſ", "。", "／"),
    *("pkgs.dev.azure.com", "org.pkgs.visualstudio.com", ".pkgs.vsts.me", "tfs.example", "evil.example", "u:p@"),
    *("_packaging", "/pypi/simple/", "/pypi/upload/", "DefaultCollection", "feed@Local", "tfs/", ";", ",", " "),
    *("\n", "\r", "\t", "\0", "\x1b[2J", "\x7f", "\u2028", "\ufeff", "␊", "␀", "=", '"', "'", "{", "}", "\\u0040"),
    *('"endpoint"', '"password"', '"username"', "endpointCredentials", "null", "true", "1e999", "9" * 40, "[" * 99),
    *("[target.any]", "[[target]]", "sha256", "bytes = 0x7fffffff", '"""', "nan", "lock-version = 2"),
    *("file ", "dir ", "link ../x", "hard a", "fifo a", "twin ", "con", "aux.txt", "C:", "~", "a" * 300, "e\u0301"),
    *("[Error] [CredentialProvider]", "[Warning] [CredentialProvider]", "[Minimal] ", "AADSTS50076", "HRESULT: "),
    *("Using MSAL cache at ", "ErrorCode: ", "HttpRequestException: ", "{what}", "{0}", "acquire session token: "),
)
_BYTES = (b"\xff", b"\xed\xa0\x80", b"PK\x03\x04", b"PK\x05\x06", b"ustar", b"\x00" * 512, b"\xff\xff\xff\xff")
TOKENS: tuple[bytes, ...] = (*(word.encode() for word in _WORDS), *_BYTES)

# (what is done, where, with what): each number is taken modulo the choices that there are.
Edit = tuple[int, int, int]


def entries(name: str) -> list[Path]:
    """The corpus of a target, in the order of the names."""
    return sorted(path for path in (CORPUS / name).iterdir() if path.suffix in (".txt", ".json"))


def read(path: Path) -> bytes:
    """The input that a corpus file holds: a .txt as it is without its last line feed, a .json in base64."""
    if path.suffix == ".json":
        return base64.b64decode(json.loads(path.read_text(encoding="utf-8"))["base64"], validate=True)
    return path.read_bytes().replace(b"\r\n", b"\n").removesuffix(b"\n")


def mutated(data: bytes, edits: Iterable[Edit]) -> bytes:
    """*data* after *edits*; the same for the same edits, whoever draws them."""
    for kind, place, choice in edits:
        at, token = place % (len(data) + 1), TOKENS[choice % len(TOKENS)]
        length = choice % 17
        data = (
            data[:at] + token + data[at:],
            data[:at] + token + data[at + len(token) :],
            data[:at] + data[at + 1 + length :],
            data[:at] + bytes([choice % 256]) + data[at + 1 :],
            data[:at] + data[at : at + length] + data[at:],
            data[:at],
        )[kind % 6]
    return data
