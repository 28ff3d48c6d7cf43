"""Finding the provider, starting it, and reading whatever it says."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Callable, Optional

import pytest

from artifacts_keyring import variables
from artifacts_keyring.provider import diagnostics, dotnet, failures, provider
from artifacts_keyring.provider.output_filter import LevelFilter, no_window, shown_level
from artifacts_keyring.provider.provider import Program, ProviderError, Query
from tests.conftest import NATIVE, ROOT
from tests.fakes import provider_double
from tests.fakes.azure.provider import BARE, EXE, at_home, empty_home

URL = "https://pkgs.dev.azure.com/org/_packaging/feed/pypi/simple/"
INSIDE = Path("plugins", "netcore", "CredentialProvider.Microsoft")  # in an archive of the vendor's
PATIENT = 60.0
SOON = 1.0 if os.name == "posix" else 10.0  # seconds in which a stand-in has started
DOTNET = f"dotnet{EXE}"
FOREIGN = "win-arm64" if NATIVE.startswith("win") else "linux-arm64"


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The least environment the provider runs in; nothing it could reach."""
    with empty_home(tmp_path) as home:
        home.mkdir(exist_ok=True)
        yield {**BARE, **at_home(home), "HTTPS_PROXY": "http://127.0.0.1:9"}


def named(path: Path, environ: Optional[Mapping[str, str]] = None) -> dict[str, str]:
    """An environment that names the provider at `path`."""
    return {**(environ or {}), "ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH": str(path)}


def gone(pid: int, within: float = 20.0) -> bool:
    """Whether the process ends in time (a zombie has ended)."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        if not _runs(pid):
            return True
        time.sleep(0.02)
    return False


def _runs(pid: int) -> bool:
    if sys.platform != "win32":
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False
    kernel = ctypes.windll.kernel32
    handle = kernel.OpenProcess(0x00100000, False, pid)  # SYNCHRONIZE
    timed_out = 0x102
    try:
        return bool(handle) and kernel.WaitForSingleObject(handle, 0) == timed_out
    finally:
        kernel.CloseHandle(handle)


# Where it is


def as_the_vendor_has_it(tree: Path, root: Path) -> Path:
    """The folder of an unpacked archive of the vendor's."""
    (root / INSIDE.parent).mkdir(parents=True)
    shutil.copytree(tree, root / INSIDE, copy_function=os.link)  # links to folders are not to be had everywhere
    return root


def test_the_real_payload_is_found_by_root_folder_and_file(payload_tree: Callable[[str], Path], tmp_path: Path) -> None:
    tree = payload_tree(NATIVE)
    theirs = as_the_vendor_has_it(tree, tmp_path / "theirs")
    for folder, places in ((tree, [tree]), (theirs / INSIDE, [theirs, theirs / INSIDE])):
        launcher = folder / f"CredentialProvider.Microsoft{EXE}"
        for place in (*places, launcher):
            assert provider.locate(named(place)) == Program((str(launcher),), launcher, "self-contained")


def test_a_folder_with_runtimes_and_a_dll_start_through_dotnet(
    payload_tree: Callable[[str], Path], tmp_path: Path
) -> None:
    tree = payload_tree("any")
    theirs = as_the_vendor_has_it(tree, tmp_path / "theirs")
    root = fake_dotnet(tmp_path / "net", "8.0.31")
    for folder, places in ((tree, [tree]), (theirs / INSIDE, [theirs, theirs / INSIDE])):
        library = folder / "CredentialProvider.Microsoft.dll"
        for place in (*places, library):
            program = provider.locate(named(place, {"DOTNET_ROOT": str(root), "PATH": ""}))
            assert program == Program((str(root / DOTNET), "exec", str(library)), library, "framework-dependent")


def test_a_path_to_nothing_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match=r"ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH=.*nowhere is no credential"):
        provider.locate(named(tmp_path / "nowhere"))


def test_a_package_without_payload_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(provider, "BUNDLED", tmp_path / "bin")
    with pytest.raises(ProviderError, match=r"has no credential provider below .*bin: reinstall artifacts-keyring"):
        provider.locate({})


@pytest.mark.posix
def test_a_file_that_is_not_executable_is_named_with_the_remedy(tmp_path: Path) -> None:
    stand_in = provider_double.make(tmp_path, "nothing")
    stand_in.path.chmod(0o644)
    with pytest.raises(ProviderError, match=r"not executable: run `chmod \+x .*CredentialProvider.Microsoft`"):
        provider.locate(named(stand_in.path))


def fake_dotnet(root: Path, *versions: str) -> Path:
    """A folder laid out as a .NET installation with these runtimes."""
    for version in versions:
        (root / "shared" / "Microsoft.NETCore.App" / version).mkdir(parents=True)
    (root / "host").mkdir(parents=True, exist_ok=True)
    (root / DOTNET).write_text("#!/bin/sh\n")
    (root / DOTNET).chmod(0o755)
    return root


@pytest.fixture
def only_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No dotnet of this machine is looked at."""
    monkeypatch.setattr(dotnet, "_USUAL", ())


@pytest.mark.usefixtures("only_here")
@pytest.mark.parametrize(
    ("versions", "fits"),
    [
        (["8.0.31"], True),
        (["6.0.1", "9.0.0-preview.3"], True),
        (["10.0.0"], True),
        (["7.0.20"], False),
        ([], False),
    ],
)
def test_dotnet_must_be_8_or_newer(tmp_path: Path, versions: list[str], fits: bool) -> None:
    root = fake_dotnet(tmp_path, *versions)
    found = dotnet.find({"DOTNET_ROOT": str(root), "PATH": ""})
    assert found == (root / DOTNET if fits else None)


@pytest.mark.usefixtures("only_here")
def test_an_old_dotnet_is_passed_over_for_a_newer_one(tmp_path: Path) -> None:
    old, new, home = (fake_dotnet(tmp_path / n, v) for n, v in (("a", "6.0.0"), ("b", "8.0.1"), ("c/.dotnet", "9.0.0")))
    environ = {"DOTNET_ROOT": str(old), "PATH": str(new), **at_home(home.parent)}
    assert dotnet.find(environ) == new / DOTNET
    assert dotnet.find({**environ, "PATH": ""}) == home / DOTNET


@pytest.mark.posix
@pytest.mark.usefixtures("only_here")
def test_a_dotnet_link_on_path_is_judged_by_its_target(tmp_path: Path) -> None:
    root = fake_dotnet(tmp_path / "real", "6.0.0")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / DOTNET).symlink_to(root / DOTNET)
    assert dotnet.find({"PATH": str(tmp_path / "bin")}) is None


@pytest.mark.usefixtures("only_here")
@pytest.mark.parametrize("path", ["", ".", "bin", "{here}{sep}."])
def test_a_dotnet_of_the_current_folder_is_never_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    fake_dotnet(tmp_path, "8.0.1")
    fake_dotnet(tmp_path / "bin", "8.0.1")
    monkeypatch.chdir(tmp_path)
    assert dotnet.find({"PATH": path.format(here=tmp_path / "none", sep=os.pathsep)}) is None
    assert dotnet.find({"PATH": f".{os.pathsep}{tmp_path}"}) == tmp_path / DOTNET


@pytest.mark.parametrize(
    ("versions", "seen"), [((), "no dotnet in DOTNET_ROOT, PATH"), (("6.0.0",), f"{DOTNET} has 6")]
)
def test_no_usable_dotnet_names_the_ways_out(
    payload_tree: Callable[[str], Path], tmp_path: Path, versions: tuple[str, ...], seen: str
) -> None:
    if versions:
        fake_dotnet(tmp_path, *versions)
    with pytest.raises(ProviderError) as caught:
        provider.locate(named(payload_tree("any"), {"DOTNET_ROOT": str(tmp_path), "PATH": ""}))
    for words in (seen, "wheel of your platform", "ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH"):
        assert words in str(caught.value)


# How it is started


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, URL),
        ("https://user:s3cret@pkgs.dev.azure.com/x/", "https://pkgs.dev.azure.com/x/"),
        ("https://s3cret@@pkgs.dev.azure.com", "https://pkgs.dev.azure.com"),
        ("https://host/a@b", "https://host/a@b"),
    ],
)
def test_the_user_part_never_gets_into_the_arguments(url: str, shown: str) -> None:
    command = provider.command_line(Program(("p",), Path("p"), ""), Query(url), can_show_dialog=True)
    assert command[:3] == ["p", "-Uri", shown]
    assert "s3cret" not in " ".join(command)


@pytest.mark.parametrize(
    ("query", "dialog", "options"),
    [
        (Query(URL), True, ("false", "true", "false")),
        (Query(URL, retry=True), True, ("true", "true", "false")),
        (Query(URL, interactive=True), True, ("false", "false", "true")),
        (Query(URL, interactive=True), False, ("false", "false", "false")),
    ],
)
def test_options(query: Query, dialog: bool, options: tuple[str, str, str]) -> None:
    command = provider.command_line(Program(("p",), Path("p"), ""), query, dialog)
    values = dict(zip(command[1::2], command[2::2]))
    assert (values["-IsRetry"], values["-NonInteractive"], values["-CanShowDialog"]) == options
    assert values["-OutputFormat"] == "Json"


def test_what_the_child_lacks_is_added_and_what_the_user_set_is_kept(tmp_path: Path) -> None:
    invariant, broker = "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "ARTIFACTS_CREDENTIALPROVIDER_MSAL_ALLOW_BROKER"
    context, diagnostics = "ARTIFACTS_CREDENTIALPROVIDER_PROGRAM_CONTEXT", "DOTNET_EnableDiagnostics"
    added = {invariant: "1", broker: "false", context: "Pip", diagnostics: "0"}
    user = {"A": "b", "HOME": str(tmp_path)}
    assert provider.child_environ(user, "linux") == {**user, **added}
    assert broker not in provider.child_environ({}, "win32")
    theirs = {**user, invariant: "0", broker: "true", context: "Conda", diagnostics: "1"}
    assert provider.child_environ(theirs, "linux") == theirs
    assert broker not in provider.child_environ({"NUGET_CREDENTIALPROVIDER_MSAL_ALLOW_BROKER": "true"}, "linux")


@pytest.mark.parametrize(
    "name",
    ["DOTNET_EnableDiagnostics", "DOTNET_ENABLEDIAGNOSTICS", "dotnet_enablediagnostics", "COMPLUS_ENABLEDIAGNOSTICS"],
)
def test_what_the_user_set_on_windows_is_kept_however_it_is_spelt(name: str) -> None:
    """os.environ there gives every name in upper case."""
    seen = provider.child_environ({name: "1"}, "win32")
    assert {key: value for key, value in seen.items() if "DIAG" in key.upper()} == {name.upper(): "1"}


def test_a_ca_file_known_to_pip_is_known_to_the_provider(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    assert provider.child_environ({"PIP_CERT": str(bundle)}, "linux")["SSL_CERT_FILE"] == str(bundle)
    assert provider.child_environ({"PIP_CERT": str(bundle), "SSL_CERT_FILE": "x"}, "linux")["SSL_CERT_FILE"] == "x"
    assert "SSL_CERT_FILE" not in provider.child_environ({"PIP_CERT": str(tmp_path)}, "linux")


# What it says


def ask(stand_in: provider_double.StandIn, timeout: float = PATIENT, **environ: str) -> provider.Reply:
    full = {**BARE, "ARTIFACTS_KEYRING_NONINTERACTIVE_MODE": "1", **environ}
    return provider.run(provider.locate(named(stand_in.path)), Query(URL, timeout=timeout), full)


def test_an_answer_is_a_credential(tmp_path: Path) -> None:
    reply = ask(provider_double.make(tmp_path, provider_double.answer("t0ken", "user")))
    assert reply.credential == ("user", "t0ken")
    assert "t0ken" not in repr(reply)


def test_exit_code_2_is_no_credential_and_has_the_reason_of_the_debug_output(tmp_path: Path) -> None:
    assert ask(provider_double.make(tmp_path / "a", "nothing")) == provider.Reply(None, "")
    assert ask(provider_double.make(tmp_path / "b", "declined")) == provider.Reply(None, "the sign-in was declined")


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("flood", "more than 65536 bytes"),
        ("not-json", "is no JSON"),
        ("not-utf8", "is not UTF-8"),
        ("half-character", "holds half a character"),
        ("two-objects", "is no JSON"),
        ("no-fields", "has no Username and Password"),
        ("number", "has no Username and Password"),
        ("list", "has no Username and Password"),
        ("empty", "is no JSON"),
        pytest.param("crash", "signal 6", marks=pytest.mark.posix),
        ("no-uri", "exit code 1"),
        ("icu", "libicu is missing"),
        ("openssl", "OpenSSL is missing"),
        ("coreclr", "/proc is not mounted"),
        ("old-dotnet", "install .NET 8"),
        ("silent-255", "died without a word"),
    ],
)
def test_every_fault_is_one_line_with_a_next_step(tmp_path: Path, behaviour: str, words: str) -> None:
    with pytest.raises(ProviderError) as caught:
        ask(provider_double.make(tmp_path, behaviour))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ":" in str(caught.value)


def test_five_megabytes_on_stderr_fill_no_pipe(tmp_path: Path) -> None:
    assert ask(provider_double.make(tmp_path, "chatter")).credential == ("user", "after-chatter")


@pytest.mark.parametrize("behaviour", ["hang", "deaf"])
def test_a_provider_that_hangs_is_stopped_at_the_deadline(tmp_path: Path, behaviour: str) -> None:
    stand_in = provider_double.make(tmp_path, behaviour)
    began = time.monotonic()
    with pytest.raises(ProviderError, match=rf"no answer for https://\S+ within {SOON:.0f} s"):
        ask(stand_in, timeout=SOON)
    assert time.monotonic() - began < 30
    assert gone(stand_in.calls[0].pid)


@pytest.mark.posix
def test_a_silent_death_names_the_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="HOME=/nowhere is not a folder"):
        ask(provider_double.make(tmp_path, "silent-255"), HOME="/nowhere")


def refused(winerror: int, number: int = errno.EACCES) -> OSError:
    """What Windows' Python raises: errno is made of the system's number, and may say something else."""
    error = OSError(number, "its words")
    error.winerror = winerror  # type: ignore[attr-defined, unused-ignore]
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refused(193, errno.ENOEXEC), "is for another processor or system"),
        (refused(216), "is for another processor or system"),
        (refused(2, errno.ENOENT), "is gone (its words), perhaps taken away by a security program"),
        (refused(5), "may not be executed (its words): have the system's rules"),
        (refused(1260, errno.EINVAL), "may not be executed"),
        (refused(8, errno.ENOMEM), "memory is short (its words)"),
        (refused(1455, errno.EINVAL), "memory is short"),
        (refused(13, errno.EINVAL), "cannot be started (its words): check it with"),
        (refused(1, errno.ENOEXEC), "cannot be started (its words): check it with"),
    ],
)
def test_the_numbers_of_windows_are_not_taken_for_those_of_posix(tmp_path: Path, error: OSError, words: str) -> None:
    path = tmp_path / "provider.exe"
    path.touch()
    said = failures.not_started(str(path), path, error, "win32")
    assert words in said and "chmod" not in said and "musl" not in said


@pytest.mark.parametrize("number", [8, 193, 216, 13, 2, 5])
def test_nor_the_other_way_round(tmp_path: Path, number: int) -> None:
    said = failures.not_started("p", tmp_path, OSError(number, "its words"), "linux")
    wrong_machine = number == errno.ENOEXEC
    assert ("another processor" in said) is wrong_machine and "memory" not in said


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0xFFFFFFFF, "died without a word (exit code -1): the host of the feed cannot be reached"),
        (255, "died without a word"),
        (1, "failed with exit code 1:"),
        (0xC000013A, "exit code 0xC000013A, it was interrupted"),
        (0xC0000135, "a DLL that it needs is missing"),
        (0x80131506, "failed with exit code 0x80131506: check"),
    ],
)
def test_exit_codes_of_windows(code: int, words: str) -> None:
    said, silent = failures.died(code, "", {"HOME": "/nowhere"}, "win32")
    assert words in said and "HOME" not in said
    assert silent is ("without a word" in words)


@pytest.mark.posix
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOEXEC, "Exec format error"), "for another processor"),
        (OSError(errno.ENOENT, "No such file"), "its loader is missing"),
        (OSError(errno.EACCES, "Permission denied"), "noexec mount"),
        (OSError(errno.EIO, "Input/output error"), "cannot be started"),
    ],
)
def test_what_the_system_says_about_a_start_is_explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: OSError, words: str
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise error

    stand_in = provider_double.make(tmp_path, "nothing")
    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(ProviderError, match=words):
        ask(stand_in)


def test_a_file_for_another_machine_says_so(tmp_path: Path) -> None:
    stand_in = provider_double.make(tmp_path, "nothing")
    stand_in.path.write_bytes(b"\x7fELF" + bytes(200))
    with pytest.raises(ProviderError, match="for another processor or system"):
        ask(stand_in)


@pytest.mark.parametrize(
    "name",
    [pytest.param("SIGKILL", marks=pytest.mark.posix), "SIGTERM", pytest.param("SIGINT", marks=pytest.mark.posix)],
)
def test_the_provider_does_not_outlive_its_client(tmp_path: Path, name: str) -> None:
    stand_in = provider_double.make(tmp_path, "hang")
    code = (
        "import sys; from tests.integration.test_provider import *; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "ask(provider_double.StandIn(Path(sys.argv[1])))"
    )
    client = subprocess.Popen(
        [sys.executable, "-c", code, str(stand_in.path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + PATIENT
        while not stand_in.calls and time.monotonic() < until:
            time.sleep(0.02)
        client.send_signal(getattr(signal, name))  # on Windows SIGTERM is TerminateProcess
        client.wait(PATIENT)
        assert gone(stand_in.calls[0].pid)
    finally:
        client.kill()
        client.wait()


def test_a_browser_that_keeps_our_pipes_open_does_not_keep_us(tmp_path: Path) -> None:
    last = "browser(); answer('user', 'from-browser'); open(os.path.join(FOLDER, 'ended'), 'w').write(str(time.time()))"
    took = []
    for _ in range(3):
        try:
            assert ask(provider_double.make(tmp_path, last)).credential == ("user", "from-browser")
            took.append(time.time() - float((tmp_path / "ended").read_text()))
        finally:
            os.kill(int((tmp_path / "browser").read_text()), signal.SIGTERM)
    assert min(took) < 0.5, took


def test_no_thread_or_process_is_left(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    ask(provider_double.make(tmp_path, "nothing"))
    assert set(threading.enumerate()) <= before
    if os.name == "posix":
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


# What of it is shown


CHAT = "[Verbose] [CredentialProvider]hid\n[Debug] [CredentialProvider]x\n  more of x\n[LogX] y\n"
CODE = "[Minimal] [CredentialProvider]ATTENTION\n\n    sign in with ABC\n\n"
WOE = "[Error] [CredentialProvider]Failed\n   at Some.Method()\n"


@pytest.mark.parametrize("size", [1, 2, 7, 4096])
@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("Information", CODE + "[Error] [CredentialProvider]Failed\n"),
        ("Error", "[Error] [CredentialProvider]Failed\n"),
        ("Debug", CHAT + CODE + WOE),
    ],
)
def test_messages_below_the_level_are_hidden_however_they_are_cut(level: str, shown: str, size: int) -> None:
    seen: list[str] = []
    screen = LevelFilter(level, seen.append)
    whole = CHAT + CODE + WOE
    for start in range(0, len(whole), size):
        screen(whole[start : start + size])
    assert "".join(seen) == shown


WINDOW = "[Minimal] [CredentialProvider]Use the opened dialog or browser window to log in. It may be elsewhere.\n"


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("level", ["Minimal", "Warning"])
def test_a_hint_follows_the_first_word_of_a_window(size: int, level: str) -> None:
    """Kind L: whatever else is shown."""
    seen: list[str] = []
    screen = LevelFilter(level, seen.append, "hint\n")
    whole = CHAT + WINDOW + CODE + WINDOW
    for start in range(0, len(whole), size):
        screen(whole[start : start + size])
    visible = [WINDOW, CODE, WINDOW] if level == "Minimal" else ["", "", ""]
    assert "".join(seen) == f"{visible[0]}hint\n{visible[1]}{visible[2]}"


BROKER, DEVICE_FLOW = variables.BROKER, variables.DEVICE_FLOW


@pytest.mark.parametrize(
    ("environ", "platform", "wait", "display"),
    [
        ({BROKER[0]: "false"}, "linux", "90 s", True),
        ({BROKER[1]: "False"}, "linux", "90 s", True),
        ({BROKER[0]: "true"}, "linux", "180 s", True),
        ({}, "darwin", "180 s", False),
        ({}, "win32", "180 s", False),
        ({BROKER[0]: "false", DEVICE_FLOW[0]: "20"}, "win32", "20 s", False),
        ({BROKER[0]: "false", DEVICE_FLOW[1]: "1800"}, "linux", "1800 s", True),
        ({BROKER[0]: "false", DEVICE_FLOW[0]: "soon"}, "linux", "90 s", True),
    ],
)
def test_when_the_code_follows(environ: dict[str, str], platform: str, wait: str, display: bool) -> None:
    """Kind L: the number is the provider's own time-out, once for each way that it tries with a window."""
    said = no_window(environ, platform)
    assert said.startswith(f"no window? A code follows after {wait}; ")
    assert f"set {variables.SHOW_DIALOG[0]}=false" in said
    assert ("unset DISPLAY" in said) is display


def test_text_without_a_level_is_shown_at_once() -> None:
    seen: list[str] = []
    screen = LevelFilter("Information", seen.append)
    screen("enter the co")
    assert seen == ["enter the co"]


@pytest.mark.parametrize(
    ("wanted", "interactive", "level"),
    [
        ("", True, "Information"),
        ("", False, None),
        ("debug", False, "Debug"),
        ("WARNING", False, "Warning"),
        ("warning", True, "Minimal"),
        ("nonsense", False, None),
    ],
)
def test_the_users_verbosity_is_honoured_but_hides_no_prompt(wanted: str, interactive: bool, level: str) -> None:
    assert shown_level({"ARTIFACTS_KEYRING_VERBOSITY": wanted}, interactive) == level


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("[Warning] [CredentialProvider]A task was canceled.\n", "the sign-in was not completed in time"),
        (
            "[Verbose] [CredentialProvider]Response: Unauthorized\n",
            f"{diagnostics.NO_ACCESS} (no session token: Azure DevOps said Unauthorized)",
        ),
        ("[Verbose] [CredentialProvider]Response: NotFound\n", "no session token: Azure DevOps said NotFound"),
        ("[Warning] [CredentialProvider]The operation was canceled.\n", "the sign-in was not completed in time"),
        (
            "Attempting to acquire bearer token using provider 'MSAL Silent'\n\tErrorCode: invalid_grant\n"
            "Microsoft.Identity.Client.MsalUiRequiredException: AADSTS700082: The refresh token has expired\n"
            "Attempting to acquire bearer token using provider 'MSAL Device Code'\n\tErrorCode: access_denied\n",
            "the sign-in was declined",
        ),
        (
            "Microsoft.Identity.Client.MsalServiceException: AADSTS50105: not assigned to a role\n",
            "AADSTS50105: not assigned to a role",
        ),
        (
            "[Warning] [CredentialProvider]Warning: Using plain-text fallback token cache\n"
            "[Warning] [CredentialProvider]odd thing\n",
            "odd thing",
        ),
        ("[Verbose] [CredentialProvider]Response: OK\n", None),
    ],
)
def test_reasons_found_in_the_debug_output(stderr: str, reason: Optional[str]) -> None:
    assert diagnostics.login_reason(stderr) == reason


@pytest.mark.parametrize("words", ["\x1b[2J\x07cleared", "one\rother", "one\u2028other", "\u202egnp.exe"])
def test_a_reason_never_steers_the_terminal(words: str) -> None:
    """Servers choose these words; found by fuzzing."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in words)
    for place in (
        "HttpRequestException: ",
        "[Error] [CredentialProvider]",
        "ErrorCode: invalid_grant, MsalException: ",
    ):
        reason = diagnostics.login_reason(f"{place}{words}\r\n")
        assert reason is not None and reason.isprintable() and len(reason) <= 300
    assert diagnostics.login_reason(f"HttpRequestException: {words}\r\n") == shown
    assert diagnostics.login_reason(f"[Error] [CredentialProvider]{words}\r\n") == shown
    assert diagnostics.unprefixed_words(f"died {words.splitlines()[-1]}").isprintable()


# The real one


def through_the_class(tree: Path, environ: Mapping[str, str], url: str = URL) -> tuple[list[Optional[str]], str]:
    """What CredentialProvider().get_credentials returns in a process of its own, and its stderr."""
    code = (
        "import json, sys; from artifacts_keyring import CredentialProvider; "
        "print(json.dumps(CredentialProvider().get_credentials(sys.argv[1])))"
    )
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code, url],
        env=named(tree, {**environ, "PYTHONPATH": path}),
        capture_output=True,
        text=True,
        timeout=PATIENT,
        check=True,
    )
    return json.loads(done.stdout), done.stderr


@pytest.mark.provider
def test_the_real_provider_answers_a_declared_credential(
    payload_tree: Callable[[str], Path], bare: dict[str, str]
) -> None:
    entry = {"endpoint": URL, "username": "someone", "password": "p/w=="}
    bare["ARTIFACTS_CREDENTIALPROVIDER_EXTERNAL_FEED_ENDPOINTS"] = json.dumps({"endpointCredentials": [entry]})
    assert through_the_class(payload_tree(NATIVE), bare) == (["someone", "p/w=="], "")


@pytest.mark.provider
def test_the_real_provider_answers_an_access_token_for_a_prefix(
    payload_tree: Callable[[str], Path], bare: dict[str, str]
) -> None:
    bare["VSS_NUGET_URI_PREFIXES"] = "https://pkgs.dev.azure.com/org/"
    bare["VSS_NUGET_ACCESSTOKEN"] = "t0ken"
    found, stderr = through_the_class(payload_tree(NATIVE), bare)
    assert (found[1], stderr) == ("t0ken", "")


@pytest.mark.windows
@pytest.mark.provider
def test_the_real_provider_finds_nothing_and_says_so_in_one_line(
    payload_tree: Callable[[str], Path], bare: dict[str, str]
) -> None:
    found, stderr = through_the_class(payload_tree(NATIVE), bare)
    assert found == [None, None]
    assert len(stderr.splitlines()) == 1
    assert stderr.startswith(f"artifacts-keyring: {URL} cannot be reached (")
    assert "doctor" in stderr


@pytest.mark.provider
@pytest.mark.posix
def test_the_real_provider_without_a_usable_home(payload_tree: Callable[[str], Path], bare: dict[str, str]) -> None:
    found, stderr = through_the_class(payload_tree(NATIVE), {**bare, "HOME": "/proc/nowhere"})
    assert found == [None, None]
    assert stderr.splitlines()[-1].startswith("artifacts-keyring: the credential provider died without a word")
    assert "HOME=/proc/nowhere" in stderr


def test_the_real_launcher_of_another_machine(payload_tree: Callable[[str], Path], bare: dict[str, str]) -> None:
    if shutil.which("qemu-aarch64-static") and Path("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists():
        pytest.skip("this machine runs arm64 programs through qemu's binfmt handler")
    found, stderr = through_the_class(payload_tree(FOREIGN), bare)
    assert found == [None, None]
    assert "for another processor or system than this one" in stderr
