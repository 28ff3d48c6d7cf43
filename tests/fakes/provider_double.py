"""A stand-in for the credential provider, for what the real one does not do on demand.

`make(folder, plain, retry=…, interactive=…)` writes an executable whose behaviour depends on how it is asked; every
call is recorded. Behaviours are rows of BEHAVIOURS; an Answer is what the real one would print.
"""

from __future__ import annotations

import importlib
import io
import json
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple, Optional

from tests.fakes.azure.provider import EXE

PROMPT = (
    "    To sign in, use a web browser to open the page https://microsoft.com/devicelogin and enter the code ABC123"
)

BEHAVIOURS = {
    "nothing": "sys.exit(2)",
    "hang": "time.sleep(600)",
    "deaf": "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
    "flood": "out(b'x' * 1_000_000)",
    "chatter": "err(b'[Verbose] [CredentialProvider]nothing new\\n' * 120_000); answer('user', 'after-chatter')",
    "not-json": "out(b'Hello there\\n')",
    "not-utf8": 'out(b\'{"Username":"u","Password":"\\xff\\xfe"}\')',
    "half-character": 'out(b\'{"Username":"u","Password":"\\\\ud800s3cret"}\')',
    "two-objects": "answer('user', 'one'); answer('user', 'two')",
    "no-fields": 'out(b\'{"Username": "u"}\')',
    "number": 'out(b\'{"Username": "u", "Password": 5}\')',
    "list": "out(b'[1]')",
    "empty": "pass",
    "crash": "err(b'Unhandled exception. System.OutOfMemoryException\\n'); os.abort()",
    "silent-255": "sys.exit(255)",
    "no-uri": "sys.exit(1)",
    "icu": 'err(b"Couldn\'t find a valid ICU package installed on the system."); sys.exit(134)',
    "openssl": "err(b'No usable version of libssl was found\\n'); sys.exit(134)",
    "coreclr": "err(b'Failed to create CoreCLR, HRESULT: 0x8007000E\\n'); sys.exit(137)",
    "old-dotnet": "err(b'You must install or update .NET to run this application.\\n'); sys.exit(150)",
    "prompt": "err(PROMPT); wait_for('signed-in'); answer('user', 'signed-in')",
    "browser": "browser(); answer('user', 'from-browser')",
    "declined": "err(b'[Verbose] [CredentialProvider]x\\n\\tErrorCode: authorization_declined\\n'); sys.exit(2)",
}

_SCRIPT = """import json, os, signal, sys, time
if sys.platform == "win32":
    import msvcrt
    [msvcrt.setmode(number, os.O_BINARY) for number in (1, 2)]
FOLDER, PROMPT = {folder!r}, {prompt!r}.encode()
def out(data):
    while data:
        data = data[os.write(1, data):]
def err(data):
    while data:
        data = data[os.write(2, data):]
def answer(user, password):
    out(json.dumps({{"Username": user, "Password": password}}).encode() + b"\\n")
def browser():
    import subprocess
    wait = [sys.executable, "-ISc", "import time; time.sleep(120)"]
    with open(os.path.join(FOLDER, "browser"), "w") as file:
        file.write(str(subprocess.Popen(wait, close_fds=False).pid))
def wait_for(name):
    while not os.path.exists(os.path.join(FOLDER, name)):
        time.sleep(0.01)
call = {{"argv": sys.argv[1:], "environ": dict(os.environ), "pid": os.getpid()}}
with open(os.path.join(FOLDER, "calls"), "a") as calls:
    calls.write(json.dumps(call) + "\\n")
if "-NonInteractive false" in " ".join(sys.argv):
    {interactive}
elif "-IsRetry true" in " ".join(sys.argv):
    {retry}
else:
    {plain}
"""


class Call(NamedTuple):
    """One start of the stand-in."""

    argv: list[str]
    environ: dict[str, str]
    pid: int

    def option(self, name: str) -> str:
        """The value after `name`."""
        return self.argv[self.argv.index(name) + 1]


class StandIn(NamedTuple):
    """The executable, and where it keeps what it was asked."""

    path: Path

    @property
    def calls(self) -> list[Call]:
        """Every start, in order."""
        record = self.path.parent / "calls"
        return [Call(**json.loads(line)) for line in record.read_text().splitlines()] if record.exists() else []

    def sign_in(self) -> None:
        """What "prompt" waits for."""
        (self.path.parent / "signed-in").touch()


def answer(password: str, user: str = "VssSessionToken") -> str:
    """The behaviour of answering with a credential."""
    return f"answer({user!r}, {password!r})"


def make(folder: Path, plain: str, *, retry: Optional[str] = None, interactive: Optional[str] = None) -> StandIn:
    """Write the executable; each argument is a key of BEHAVIOURS or what answer() returns; plain is the default."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = {"plain": plain, "retry": retry or plain, "interactive": interactive or plain}
    code = {how: BEHAVIOURS.get(what, what) for how, what in chosen.items()}
    script = _SCRIPT.format(folder=str(folder), prompt=PROMPT, **code)
    path = folder / f"CredentialProvider.Microsoft{EXE}"
    path.write_bytes(executable(script))
    path.chmod(0o755)
    return StandIn(path)


def executable(script: str, options: str = "-IS") -> bytes:
    """A Python script as this system starts it: with a first line, or behind pip's launcher and in an archive."""
    if sys.platform != "win32":
        return f"#!{sys.executable} {options}\n{script}".encode()
    launcher = Path(str(importlib.import_module("pip._vendor.distlib").__file__)).with_name("t64.exe").read_bytes()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("__main__.py", script)
    return launcher + f'#!"{sys.executable}" {options}\r\n'.encode() + content.getvalue()
