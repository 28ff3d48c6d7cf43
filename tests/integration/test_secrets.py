"""What a provider says on stdout is for the client alone: no terminal, log, report or exception has it.

Every command is run with well-behaved and misbehaving providers, and all that it says is searched for the password.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Callable
from urllib.parse import quote

import pytest

from artifacts_keyring import log
from tests.conftest import ROOT
from tests.fakes import provider_double
from tests.fakes.azure import AzureWorld, empty_home

PASSWORD = 'hunter2"&/\\漢 hunter3'
SPELLED = json.dumps({"Username": "me", "Password": PASSWORD})
AS_IT_IS = PASSWORD.encode()
# What a provider does; each says the password on stdout, as an answer or in some other way.
PROVIDERS = {
    "well-behaved": f"err(b'[Debug] [CredentialProvider]Command-line v1\\n'); answer('me', {PASSWORD!r})",
    "silent": f"answer('me', {PASSWORD!r})",
    "repeats its answer": f"out({SPELLED.encode()!r}); err({SPELLED.encode()!r} + b'\\n'); sys.exit(2)",
    "answers on stderr, too": f"err({SPELLED.encode()!r} + b'\\n'); out({SPELLED.encode()!r})",
    "throws": f"out({SPELLED.encode()!r}); err(b'Unhandled exception. Bad: ' + {AS_IT_IS!r} + b'\\n'); sys.exit(134)",
    "complains": f"err(b'[Error] [CredentialProvider]no use: ' + {AS_IT_IS!r} + b'\\n'); out({SPELLED.encode()!r})"
    "; sys.exit(2)",
    "MSAL complains": f"err(b'MsalServiceException: ' + {AS_IT_IS!r} + b'\\n'); out({SPELLED.encode()!r}); sys.exit(2)",
    "other quotes": f"out({repr({'Password': PASSWORD}).encode()!r}); err({repr(PASSWORD).encode()!r}); sys.exit(3)",
    "several lines": f"out({json.dumps(json.loads(SPELLED), indent=1).encode()!r}); err({AS_IT_IS!r}); sys.exit(1)",
    "two answers": f"out({SPELLED.encode() * 2!r}); err({SPELLED.encode()!r} + {AS_IT_IS!r})",
    "plain text": f"out(b'Password: ' + {AS_IT_IS!r} + b'\\n'); err(b'[Warning] ' + {AS_IT_IS!r} + b'\\n')",
    "for a URL": f"out({SPELLED.encode()!r}); err({quote(PASSWORD).encode()!r} + b'\\n'); sys.exit(4)",
    "hangs": f"out({SPELLED.encode()!r}); err(b'[Error] [CredentialProvider]' + {AS_IT_IS!r} + b'\\n'); time.sleep(9)",
    "nothing on stderr": f"out({AS_IT_IS!r})",
    "another field": f"out({json.dumps({'password': PASSWORD}).encode()!r}); err({AS_IT_IS!r}); sys.exit(2)",
}
ON_WINDOWS = ("well-behaved", "throws")
# One process for all commands, none of which may remember what another was told.
EVERYTHING = """
import contextlib, os
from artifacts_keyring import CredentialProvider, lookup
from artifacts_keyring.cli.main import main
def again():
    lookup.MEMORY.forget()
    lookup._SAID.clear()
for command in (["doctor", URL], ["doctor", URL, "--json"], ["login", URL], ["logout"]):
    main(command)
    again()
print(lookup.look_up(URL, None, os.environ))
again()
try:
    print(lookup.find(URL, os.environ))
except lookup.LookupFailed as error:
    import traceback
    traceback.print_exc()
again()
predecessor = CredentialProvider()
predecessor.get_credentials(URL)
print(predecessor, vars(predecessor))
"""


@pytest.fixture(scope="module")
def url() -> Iterator[tuple[AzureWorld, str]]:
    with AzureWorld() as world:
        yield world, world.feed("org", "feed").url


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home that nobody else uses: one of the commands is `logout`."""
    with empty_home(tmp_path) as empty:
        yield empty


def said(words: list[str], environ: dict[str, str]) -> tuple[str, str]:
    """Both streams of a Python with these arguments."""
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, encoding="utf-8", check=False)
    return done.stdout, done.stderr


@pytest.mark.parametrize(
    "provider",
    [name if name in ON_WINDOWS else pytest.param(name, marks=pytest.mark.slow) for name in PROVIDERS],
)
def test_no_output_holds_what_a_provider_said_on_stdout(
    provider: str, url: tuple[AzureWorld, str], home: Path, tmp_path: Path
) -> None:
    made = provider_double.make(tmp_path / "provider", PROVIDERS[provider])
    report = tmp_path / "log"
    environ = {
        **url[0].environ(home),
        "PYTHON_KEYRING_BACKEND": "artifacts_keyring.backend.ArtifactsKeyringBackend",
        "ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH": str(made.path),
        "ARTIFACTS_KEYRING_LOG_PATH": str(report),
        "ARTIFACTS_KEYRING_VERBOSITY": "Debug",
        "ARTIFACTS_KEYRING_TIMEOUT": "2",
        "ARTIFACTS_KEYRING_NONINTERACTIVE_MODE": "true",
        "ARTIFACTS_CREDENTIALPROVIDER_DEVICEFLOWTIMEOUTSECONDS": "0.1",
    }
    out, err = said(["-c", EVERYTHING.replace("URL", repr(url[1]))], environ)
    assert "✗ look-up" in out or "✓ look-up" in out
    assert "hunter" not in out + err
    out, err = said(["-m", "keyring", "get", url[1], "me"], environ)
    assert out in ("", f"{PASSWORD}\n") and "hunter" not in err
    assert len(made.calls) > 5 and "hunter" not in report.read_text()


@pytest.mark.parametrize(
    "spell",
    [
        str,
        lambda text: json.dumps(text)[1:-1],
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
        quote,
        lambda text: quote(text, safe=""),
        lambda text: base64.b64encode(text.encode()).decode(),
    ],
)
def test_a_password_is_known_in_every_spelling(spell: Callable[[str], str]) -> None:
    spelled = spell(PASSWORD)
    assert spelled.rstrip("=") not in log.without_answer(f"before {spelled} after", SPELLED.encode())


def test_a_password_is_known_in_the_code_page_of_a_console() -> None:
    read = PASSWORD.encode().decode("cp850")
    assert read != PASSWORD and "hunter" not in log.without_answer(f"before {read} after", SPELLED.encode())


def test_what_is_no_secret_stays() -> None:
    line = "[Warning] [CredentialProvider]no token for me at https://pkgs.dev.azure.com/org/"
    assert log.without_answer(line, SPELLED.encode()) == line
    assert log.without_answer(line, b"") == line


def test_an_answer_of_any_size_costs_no_time() -> None:
    for stdout in (b'{"a":' * 13_000, b"{" * 65_536, os.urandom(65_536)):
        assert log.without_answer("word " * 10_000, stdout)
