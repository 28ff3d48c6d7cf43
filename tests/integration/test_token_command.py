"""ARTIFACTS_KEYRING_TOKEN_COMMAND: a program of the user's own prints the token, in the provider's place."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from artifacts_keyring import lookup
from artifacts_keyring.provider import token_command
from artifacts_keyring.provider.provider import ProviderError
from artifacts_keyring.system import programs
from tests.conftest import NATIVE, ROOT
from tests.fakes import provider_double
from tests.fakes.azure import AzureWorld, Feed, empty_home
from tests.fakes.declared_environ import EXTERNAL, PREFIX, TOKEN, entry, listing
from tests.fakes.user_machine import one_line
from tests.integration.test_lookup import Place
from tests.integration.test_provider import gone
from tests.integration.test_secrets import EVERYTHING, said

NAME = "ARTIFACTS_KEYRING_TOKEN_COMMAND"


class Desk(Place):
    """A place with a command, and a provider that must not be started."""

    def command(self, does: str, arguments: str = "") -> provider_double.StandIn:
        """Let the command do this."""
        made = provider_double.make(self.folder / "the command", does)
        self.environ[NAME] = f'"{made.path}" {arguments}'
        return made


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    lookup.MEMORY.forget()
    lookup._SAID.clear()
    yield
    lookup.MEMORY.forget()


@pytest.fixture
def world() -> Iterator[AzureWorld]:
    with AzureWorld() as made:
        yield made


@pytest.fixture
def desk(world: AzureWorld, tmp_path: Path) -> Iterator[Desk]:
    with empty_home(tmp_path) as home:
        made = Desk(world, tmp_path, home)
        # A person could be asked, and a provider is there: neither is.
        made.environ["ARTIFACTS_KEYRING_NONINTERACTIVE_MODE"] = "false"
        provider = made.stand_in(provider_double.answer("of-the-provider"))
        yield made
        assert provider.calls == []


@pytest.fixture
def feed(world: AzureWorld) -> Feed:
    return world.feed("org", "feed", project="project")


def prints(text: str, words: str = "") -> str:
    """The behaviour of printing *text*, and *words* on stderr."""
    return f"err({words.encode()!r}); out({text.encode()!r})"


# What it prints


@pytest.mark.parametrize("form", ["{0}", "{0}\n", "{0}\r\n", "\ufeff{0}\n"])
def test_a_line_is_a_token(desk: Desk, feed: Feed, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    token = desk.world.token("org")
    made = desk.command(prints(form.format(token)), 'get "two words" --resource x')
    assert desk.look_up(feed.url) == ("VssSessionToken", token)
    assert desk.look_up(feed.url, "me") == ("me", token)
    (call,) = made.calls  # remembered
    assert call.argv == ["get", "two words", "--resource", "x"]
    told = {name: call.environ.get(f"ARTIFACTS_KEYRING_{name}") for name in ("URL", "ORGANISATION", "FEED")}
    assert told == {"URL": feed.url, "ORGANISATION": "org", "FEED": "feed"}
    assert NAME not in call.environ
    assert [(r.auth, r.status) for r in desk.world.requests] == [("none", 401), ("basic", 200)]
    assert capsys.readouterr() == ("", "")


def test_the_answer_of_a_provider_is_an_answer(desk: Desk, feed: Feed) -> None:
    token = desk.world.token("org")
    desk.command(f"answer('someone', {token!r})")
    assert desk.look_up(feed.url) == ("someone", token)


FAULTS = {
    "empty": (prints(""), "is empty: it has to print the token alone, on one line"),
    "empty, with words": (prints("\n", "not logged in\n"), "is empty (not logged in)"),
    "several lines": (prints("WARNING: old\nsecret-token\n"), "has several lines"),
    "an error object": (prints('{"error": "secret-token"}\n'), "is no JSON object with Username and Password"),
    "half an object": (prints('{"Username": "secret-token"'), "is no JSON object with Username and Password"),
    "exit code": ("err(b'Please run az login\\n'); out(b'secret-token'); sys.exit(3)", "code 3 (Please run az login)"),
    "words of stdout": ("err(b'no: secret-token\\n'); out(b'secret-token'); sys.exit(2)", "code 2 (no: ***)"),
    "hang": ("hang", "gave no answer within 2 s"),
    "hang with words": ("err(b'Sign in at https://x\\n'); time.sleep(600)", "within 2 s (Sign in at https://x)"),
    "flood": ("flood", "wrote more than 65536 bytes as its answer"),
    "macro": (prints("$(SecretToken)\n"), "is a macro that nothing has expanded"),
    "quoted": (prints('"secret-token"\n'), "stands in an extra pair of quotes"),
    "not UTF-8": ("out(b'secret-token\\xff\\n')", "is not UTF-8"),
    "UTF-16": ("out('secret-token'.encode('utf-16'))", "is not UTF-8"),
    "control": (prints("secret\x00token\n"), "holds a control character"),
}
NOT_ON_WINDOWS = ("hang with words", "half an object", "empty, with words", "quoted", "UTF-16", "macro")


@pytest.mark.parametrize(
    "fault",
    [pytest.param(name, marks=pytest.mark.slow) if name in NOT_ON_WINDOWS else name for name in FAULTS],
)
def test_every_fault_is_one_line_and_no_prompt(
    desk: Desk, feed: Feed, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    does, words = FAULTS[fault]
    made = desk.command(does)
    # Enough for every program to start; those that hang are waited for.
    desk.environ["ARTIFACTS_KEYRING_TIMEOUT"] = "2" if fault.startswith("hang") and sys.platform != "win32" else "20"
    desk.environ["ARTIFACTS_KEYRING_LOG_PATH"] = str(desk.folder / "log")
    words = words.replace("2 s", "20 s") if sys.platform == "win32" else words
    assert desk.look_up(feed.url) is None
    said = capsys.readouterr()
    line = one_line(said.err)
    assert NAME in line and words in line and said.out == ""
    assert "ecret" not in line + (desk.folder / "log").read_text()
    assert [request.auth for request in desk.world.requests] == ["none"]
    assert all(gone(call.pid) for call in made.calls)
    assert desk.look_up(feed.url) is None and len(made.calls) == 1  # remembered, too


def test_a_refused_token_is_one_line_with_the_commands_last_words(
    desk: Desk, feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    desk.command(prints("secret-token\n", "noise\nToken of subscription X\n"))
    assert desk.look_up(feed.url) is None
    line = one_line(capsys.readouterr().err)
    assert f"the token of the command in {NAME} is refused (401) by {feed.url}" in line
    assert "its last line: Token of subscription X" in line and "secret" not in line


def test_its_stderr_is_shown_as_the_providers_is(desk: Desk, feed: Feed, capsys: pytest.CaptureFixture[str]) -> None:
    token = desk.world.token("org")
    desk.command(prints(f"{token}\n", f"a hint about {token}\n"))
    desk.environ["ARTIFACTS_KEYRING_VERBOSITY"] = "Debug"
    assert desk.look_up(feed.url) == ("VssSessionToken", token)
    assert capsys.readouterr() == ("", "a hint about ***\n")


def test_a_public_feed_gets_what_is_at_hand_and_no_word(
    desk: Desk, world: AzureWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    feed = world.feed("org", "open", project="project", public=True)
    desk.command("sys.exit(1)")
    assert desk.look_up(feed.url) is None
    assert capsys.readouterr() == ("", "")
    lookup.MEMORY.forget()
    token = world.token("org")
    desk.command(prints(token))
    assert desk.look_up(feed.url) == ("VssSessionToken", token)


def test_what_is_declared_comes_first_and_what_is_not_declared_for_the_feed_does_not_stop_it(
    desk: Desk, feed: Feed
) -> None:
    token = desk.world.token("org")
    made = desk.command(prints(token))
    desk.environ[EXTERNAL] = listing(entry(feed.url))
    assert desk.look_up(feed.url) == ("u", "p")
    assert made.calls == []
    lookup.MEMORY.forget()
    desk.environ[EXTERNAL] = listing(entry(feed.url.replace("/org/", "/another/")))
    assert desk.look_up(feed.url) == ("VssSessionToken", token)
    lookup.MEMORY.forget()
    desk.environ.update({EXTERNAL: "", PREFIX: feed.url, TOKEN: ""})
    assert desk.look_up(feed.url) == ("VssSessionToken", token)
    assert len(made.calls) == 2


def test_one_command_serves_several_organisations(desk: Desk, world: AzureWorld) -> None:
    tokens = {name: world.token(name) for name in ("one", "two")}
    made = desk.command(f"out({tokens!r}[os.environ['ARTIFACTS_KEYRING_ORGANISATION']].encode())")
    for name, token in tokens.items():
        for feed in (world.feed(name, "a"), world.feed(name, "b")):
            assert desk.look_up(feed.url) == ("VssSessionToken", token)
    assert len(made.calls) == 2


# Which program it is


def locate(line: str, platform: str = sys.platform, **environ: str) -> tuple[str, ...]:
    return token_command.locate({NAME: line, **environ}, platform).command


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program in a folder whose name has a blank."""
    return provider_double.make(tmp_path / "a folder", "nothing").path


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("{name}", ()),
        ("{name} a 'b c' \"d e\"", ("a", "b c", "d e")),
        ('"{path}" a $HOME ~ *|x;y > z', ("a", "$HOME", "~", "*|x;y", ">", "z")),
        ("{name} --template '{{{{.token}}}}'", ("--template", "{{.token}}")),
        (" {name}\n  a\n", ("a",)),
    ],
)
@pytest.mark.posix
def test_words_are_those_of_a_shell_and_nothing_is_expanded(program: Path, line: str, arguments: tuple[str]) -> None:
    found = locate(line.format(name=program.name, path=program), PATH=str(program.parent))
    assert found == (str(program), *arguments)


@pytest.mark.parametrize(
    ("line", "rest"),
    [
        ("{name}", ()),
        ('{name} a  "b ""c" \\d\\', ('a  "b ""c" \\d\\',)),
        ('"{path}" \'a b\' "c"', ("'a b' \"c\"",)),
        ('"{path}"', ()),
    ],
)
def test_on_windows_each_program_splits_its_own_command_line(program: Path, line: str, rest: tuple[str]) -> None:
    environ = {"PATH": str(program.parent), "PATHEXT": program.suffix}
    found = locate(line.format(name=program.name, path=program), "win32", **environ)
    assert found == (str(program), *rest)


@pytest.mark.posix
def test_the_users_folder_is_known(program: Path) -> None:
    assert locate(f"~/{program.name} x", HOME=str(program.parent)) == (str(program), "x")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("no-such-program x", "begins with no-such-program, which is in no folder of PATH: install it"),
        ("./CredentialProvider.Microsoft", "which is no program"),
        ("a/b", "which is no program"),
        ("$(TokenCommand)", "is a macro that nothing has expanded"),
        ("<command>", "is a placeholder"),
    ],
)
def test_a_command_that_cannot_be_is_one_line(
    program: Path, monkeypatch: pytest.MonkeyPatch, line: str, words: str
) -> None:
    monkeypatch.chdir(program.parent)
    with pytest.raises(ProviderError) as caught:
        locate(line, PATH=str(program.parent))
    assert NAME in str(caught.value) and words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.posix
def test_a_quote_that_is_not_closed_is_one_line() -> None:
    with pytest.raises(ProviderError, match=r"cannot be split into words \(No closing quotation\): write it as"):
        locate("cat 'x", PATH="/bin")


def test_a_program_of_the_current_folder_is_never_run(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(program.parent)
    for path in ("", ".", str(program.parent / "none")):
        with pytest.raises(ProviderError, match="is in no folder of PATH"):
            locate(program.name, PATH=path)
    for name in (f"./{program.name}", f"none/../{program.name}", f"../{program.parent.name}/{program.name}"):
        assert programs.find(name, {"PATH": str(program.parent)}) is None
    assert programs.find(str(program), {"PATH": ""}) == program


def test_a_file_that_is_no_program_of_this_system_is_one_line(
    desk: Desk, feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    made = desk.command("nothing")
    made.path.write_bytes(b"\x7fELF, or so it says")
    assert desk.look_up(feed.url) is None
    assert "cannot be started" in one_line(capsys.readouterr().err)


@pytest.mark.skipif(sys.platform != "win32", reason="consoles are Windows' own")
def test_a_batch_file_is_a_program(desk: Desk, feed: Feed) -> None:
    """az is one there."""
    token = desk.world.token("org")
    folder = desk.folder / "a folder"
    folder.mkdir()
    (folder / "az.cmd").write_text(f'@if "%~2"=="two words" echo {token}\r\n')
    desk.environ.update({NAME: 'az get "two words"', "PATH": f"{folder};{desk.environ['PATH']}"})
    assert desk.look_up(feed.url) == ("VssSessionToken", token)


# Around it


def test_a_client_that_it_runs_does_not_run_it_again(desk: Desk, feed: Feed) -> None:
    """Its own keyring asks this backend: for a feed that is declared, it has an answer, and no command."""
    token = desk.world.token("org")
    ask = f"[sys.executable, '-m', 'keyring', 'get', {feed.url!r}, 'x']"
    declared = {EXTERNAL: listing(entry(feed.url, "u", token)), "PYTHONPATH": str(ROOT)}
    made = desk.command(
        f"import subprocess; sys.stdout.flush(); subprocess.run({ask}, env={{**os.environ, **{declared!r}}})"
    )
    desk.environ["PYTHON_KEYRING_BACKEND"] = "artifacts_keyring.backend.ArtifactsKeyringBackend"
    assert desk.look_up(feed.url) == ("VssSessionToken", token)
    assert len(made.calls) == 1


@pytest.mark.parametrize("how", ["kill", "interrupt"])
@pytest.mark.posix
def test_it_ends_with_its_client(desk: Desk, feed: Feed, how: str) -> None:
    made = desk.command("hang")
    script = f"import os\nfrom artifacts_keyring import lookup\nlookup.look_up({feed.url!r}, None, os.environ)"
    client = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=desk.environ, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not made.calls and time.monotonic() < until:
        time.sleep(0.05)
    client.send_signal(9 if how == "kill" else 2)
    client.wait()
    assert gone(made.calls[0].pid)


# The commands


@pytest.fixture
def real(world: AzureWorld, tmp_path: Path, payload_tree: Callable[[str], Path]) -> Iterator[Desk]:
    """A desk with the real provider, which doctor starts to see that it runs."""
    with empty_home(tmp_path) as home:
        made = Desk(world, tmp_path, home)
        made.use(payload_tree(NATIVE))
        backend = {"PYTHON_KEYRING_BACKEND": "artifacts_keyring.backend.ArtifactsKeyringBackend"}
        made.environ.update({**backend, "PYTHONUTF8": "1"})
        yield made


COMMANDS = """
import os, sys
from artifacts_keyring import lookup
from artifacts_keyring.cli.main import main
codes = []
for command in (["doctor", URL], ["doctor", URL, "--json"], ["login", URL]):
    codes.append(main(command))
    lookup.MEMORY.forget()
    lookup._SAID.clear()
print(codes)
"""


@pytest.mark.provider
@pytest.mark.parametrize(("good", "codes"), [(True, "[0, 0, 0]"), (False, "[1, 1, 1]")])
def test_doctor_names_the_command_and_what_the_feed_says(real: Desk, feed: Feed, good: bool, codes: str) -> None:
    token = real.world.token("org") if good else "secret-token"
    made = real.command(prints(token, "a hint\n"), "get --output tsv")
    script = COMMANDS.replace("URL", repr(feed.url))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=real.environ, capture_output=True, encoding="utf-8", check=True
    )
    assert f"✓ token command: {made.path} …, in place of the provider" in done.stdout, done.stdout
    refusal = f"the token of the command in {NAME} is refused (401) by {feed.url}"
    if good:
        assert f"(command: {NAME}); the feed answers 200" in done.stdout
        assert f"{NAME} gives the credential for {feed.url}: there is nothing to sign in" in done.stdout
    else:
        assert f"next step: {refusal}" in done.stdout and refusal in done.stderr
    assert done.stdout.splitlines()[-1] == codes, done.stdout
    assert token not in done.stdout + done.stderr
    checks = json.loads(done.stdout[done.stdout.index("[\n") : done.stdout.rindex("\n]") + 2])
    assert [check["ok"] for check in checks if check["name"] == "token command"] == [True]


@pytest.mark.provider
def test_doctor_says_that_there_is_no_such_command(real: Desk) -> None:
    words = [sys.executable, "-m", "artifacts_keyring", "doctor", "--json"]
    environ = {**real.environ, NAME: "no-such-program"}
    done = subprocess.run(words, cwd=ROOT, env=environ, capture_output=True, encoding="utf-8", check=False)
    (check,) = [check for check in json.loads(done.stdout) if check["name"] == "token command"]
    assert not check["ok"] and check["step"].startswith(f"{NAME} begins with no-such-program")


# What it prints is for the client alone

SECRET = 'hunter2"&/\\漢 hunter3'
SPELLED = json.dumps({"Username": "me", "Password": SECRET})
LEAKS = {
    "a token": prints(f"{SECRET}\n", f"got {SECRET}\n"),
    "an object": prints(SPELLED, f"got {SPELLED} {SECRET}\n"),
    "fails": f"out({SECRET.encode()!r}); err({SECRET.encode()!r}); sys.exit(3)",
    "several lines": prints(f"{SECRET}\n{SECRET}\n", f"{SECRET}\n"),
    "half an object": prints(SPELLED[:-1], SPELLED),
    "hangs": f"out({SECRET.encode()!r}); err({SECRET.encode()!r}); time.sleep(60)",
    "works": "works",
}
# Every process that is started anywhere below says with what it was.
WATCH = """
import os, sys
def watch(event, arguments):
    if event == "subprocess.Popen":
        with open(RECORD, "a", encoding="utf-8") as record:
            print(*map(repr, (*arguments, dict(os.environ))), file=record)
sys.addaudithook(watch)
"""


@pytest.mark.parametrize(
    "leak",
    [name if name in ("works", "fails") else pytest.param(name, marks=pytest.mark.slow) for name in LEAKS],
)
def test_no_output_no_other_process_and_no_report_holds_it(
    leak: str, world: AzureWorld, feed: Feed, tmp_path: Path
) -> None:
    token = world.token("org") if leak == "works" else "hunter"
    with empty_home(tmp_path) as home:
        desk = Desk(world, tmp_path, home)
        desk.stand_in("nothing")
        made = desk.command(prints(token, f"got {token}") if leak == "works" else LEAKS[leak])
        record, report = tmp_path / "record", tmp_path / "log"
        watch = WATCH.replace("RECORD", repr(str(record)))
        more = {"VERBOSITY": "Debug", "TIMEOUT": "3" if leak == "hangs" else "30", "LOG_PATH": str(report)}
        environ = {**desk.environ, **{f"ARTIFACTS_KEYRING_{name}": value for name, value in more.items()}}
        out, err = said(["-c", watch + EVERYTHING.replace("URL", repr(feed.url))], environ)
    assert "look-up" in out and made.calls, err
    started = record.read_text("utf-8")
    assert str(made.path.name) in started
    assert token not in out + err + started + report.read_text("utf-8")
