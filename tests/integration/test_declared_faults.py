"""Kind E: the culprit is named. What is wrong with a declaration, in one line, and nothing of it is ever sent."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artifacts_keyring import console, lookup, session, value_checks
from artifacts_keyring.lookup import feed_of
from artifacts_keyring.provider import provider
from tests.conftest import NATIVE, ROOT
from tests.fakes.azure import AzureWorld, empty_home
from tests.fakes.azure.server import as_json
from tests.fakes.declared_environ import (
    CLIENT,
    EXTERNAL,
    IDENTITY,
    INDEX,
    OLD_EXTERNAL,
    OLD_PREFIX,
    OLD_TOKEN,
    ORGANISATION,
    PREFIX,
    SERVER,
    TOKEN,
    entry,
    external,
    listing,
    prefixes,
)
from tests.unit.test_declared import find

MACROS = [
    "$(System.AccessToken)",
    "$(cat /run/secrets/token)",
    "$[variables.token]",
    "${{ secrets.AZURE_TOKEN }}",
    "${TOKEN}",
    "${TOKEN:-}",
    "$TOKEN",
    "$AZURE_TOKEN_2",
    "$token",
    "$azureToken",
    "$env:TOKEN",
    "${env:TOKEN}",
    "$ENV:azure_pat",
    "%TOKEN%",
    "%azure_token%",
    "%env.TOKEN%",
    "#{TOKEN}",
    "#{TOKEN}#",
    "{{ token }}",
    "((token))",
    "<< parameters.token >>",
    "__TOKEN__",
    "@@TOKEN@@",
    "@Microsoft.KeyVault(SecretUri=https://vault.example/secrets/x/)",
]
PLACEHOLDERS = ["<token>", "<your personal access token>", "***", "********", "…", "...", "••••••"]
# What Azure DevOps and Entra give out has these shapes; then passwords that people think up.
TOKENS = [
    "abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrst",
    "8x" * 32 + "JQQJ99AKACAAAAAAAAAAAAASAZDO1a2b",
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.eyJhdWQiOiI0OTliODRhYyJ9.c2lnbmF0dXJl_-x",
    "pa$$word",
    "$ecretPhrase",
    "$5.00",
    "100%",
    "50%off%",
    "{curly}",
    "a<b>c",
    "it's",
    "#1!",
    "x$(y)",
    "correct horse battery staple",
    "**star**",
]


MALFORMED = [
    ("{", 1, 2),
    ('{"endpointCredentials": [{"endpoint": "hunter2" "username": 1}]}', 1, 49),
    ('{"endpointCredentials":\n[{"password": "hunter2"\n"x"}]}', 3, 1),
    ('{"endpointCredentials": [{"password": "hunter2\\q"}]}', 1, 47),
    ('{"endpointCredentials": [{"password": "hunter2\n"}]}', 1, 47),
    ("hunter2", 1, 1),
    ("X" + listing(entry(INDEX)), 1, 1),
    (listing(entry(INDEX, "hunter2")) + " hunter2", 1, None),
    ("{'endpointCredentials': 'hunter2'}", 1, 2),
]


@pytest.mark.parametrize(("text", "line", "column"), MALFORMED)
@pytest.mark.parametrize("variable", [EXTERNAL, OLD_EXTERNAL, IDENTITY])
def test_malformed_json_is_one_line_that_says_where_and_then_on(
    variable: str, text: str, line: int, column: int | None
) -> None:
    lines: list[str] = []
    assert find(INDEX, {variable: text, **prefixes(ORGANISATION)}, lines.append) == ("VssSessionToken", "token")
    (said,) = lines
    assert said.startswith(f"{variable} is not valid JSON (line {line}, column {column if column else ''}")
    assert "hunter2" not in said and "\n" not in said


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        "5",
        '"hunter2"',
        "{}",
        '{"endpointCredentials": {}}',
        '{"endpointCredentials": "hunter2"}',
        "[" * 9999,
    ],
)
def test_json_of_another_shape_is_one_line(text: str) -> None:
    lines: list[str] = []
    assert find(INDEX, {EXTERNAL: text, **prefixes(ORGANISATION)}, lines.append) == ("VssSessionToken", "token")
    (said,) = lines
    assert said.startswith(EXTERNAL) and "hunter2" not in said and "\n" not in said and len(said) < 250


def test_where_no_place_is_known_none_is_named() -> None:
    lines: list[str] = []
    assert find(INDEX, {EXTERNAL: "[" * 200_000}, lines.append) is None
    assert lines[0].startswith(f"{EXTERNAL} is not valid JSON, nothing in it is used: write ")


def test_what_a_line_says_to_write_is_understood() -> None:
    lines: list[str] = []
    find(INDEX, {EXTERNAL: "{"}, lines.append)
    text = lines[0].rpartition(": write ")[2].replace("URL", INDEX)
    for placeholder, meant in (('"username": "…"', '"username": "u"'), ('"password": "…"', '"password": "p"')):
        assert placeholder in text
        text = text.replace(placeholder, meant)
    assert find(INDEX, {EXTERNAL: text}) == ("u", "p")


UNPLACED: list[object] = [
    None,
    5,
    "hunter2",
    [],
    {},
    {"password": "hunter2"},
    entry("hunter2"),
    entry("ftp://hunter2/"),
    entry("https://hunter2 hunter2/"),
    entry("https://pkgs.dev.azure.com/org/../x", "hunter2"),
    {**entry(INDEX), "endpoint": 5},
    entry(f"{INDEX}\udcff", "hunter2"),
    entry("$(hunter2)"),
    entry("https://pkgs.dev.azure.com/$(hunter2)/_packaging/feed/pypi/simple/"),
    entry("https://pkgs.dev.azure.com/org/_packaging/%HUNTER2%/pypi/simple/", "hunter2"),
    entry(f"'{INDEX}'", "hunter2"),
]
UNUSABLE = [
    entry(INDEX, "hunter2", None),
    entry(INDEX, "hunter2", ""),
    {**entry(INDEX), "password": ["hunter2"]},
    {**entry(INDEX), "password": True},
    entry(INDEX, "hunter2", "hunter2\ud800"),
    entry(INDEX, "hunter2", "$(hunter2)"),
    entry(INDEX, "hunter2", "hunter2\nhunter2"),
]


@pytest.mark.parametrize("bad", UNPLACED)
def test_an_entry_that_cannot_be_placed_is_one_line_and_the_others_count(bad: object) -> None:
    lines: list[str] = []
    assert find(INDEX, {EXTERNAL: listing(entry(SERVER), bad, entry(INDEX, "good"))}, lines.append) == ("good", "p")
    assert find(INDEX, {EXTERNAL: listing(entry(SERVER), bad)}, lines.append) is None
    assert lines[0] == lines[1]
    assert lines[0].startswith(f"{EXTERNAL}: entry 2 has ") and "hunter2" not in lines[0] and "\n" not in lines[0]


@pytest.mark.parametrize("bad", UNUSABLE)
def test_an_entry_without_a_usable_password_is_one_line_where_nothing_else_fits_as_well(bad: object) -> None:
    """Kind E: another entry of the same feed answers without a word, and another feed hears nothing of it."""
    lines: list[str] = []
    assert find(INDEX, {EXTERNAL: listing(bad, entry(INDEX, "good"))}) == ("good", "p")
    assert find(INDEX, {EXTERNAL: listing(entry(INDEX, "good"), bad)}) == ("good", "p")
    assert find(f"{ORGANISATION}_packaging/x/", {EXTERNAL: listing(bad, entry(ORGANISATION))}) == ("u", "p")
    assert find(INDEX, {EXTERNAL: listing(entry(SERVER), bad)}, lines.append) is None
    assert find(INDEX, {EXTERNAL: listing(entry(ORGANISATION), bad)}, lines.append) == ("u", "p")
    assert lines[0] == lines[1]
    assert lines[0].startswith(f"{EXTERNAL}: entry 2 has ") and "hunter2" not in lines[0] and "\n" not in lines[0]


@pytest.mark.parametrize("name", [TOKEN, OLD_TOKEN])
def test_a_token_of_bytes_that_are_no_text_is_one_line(name: str) -> None:
    lines: list[str] = []
    environ = {PREFIX: ORGANISATION, name: "hunter2\udcff"}
    assert find(INDEX, environ, lines.append) is None
    assert lines == [f"{name} holds bytes that are no text: set it to the value alone"]


def test_a_bad_prefix_is_one_line_and_the_others_count() -> None:
    lines: list[str] = []
    assert find(INDEX, prefixes("hunter2", ORGANISATION), lines.append) is not None
    (said,) = lines
    assert said.startswith(f"{PREFIX}: entry 1 is no URL") and "hunter2" not in said


@pytest.mark.parametrize("text", [*MACROS, *PLACEHOLDERS])
def test_what_looks_like_no_token_is_said_and_not_sent(text: str) -> None:
    for environ, where in (
        ({**prefixes(ORGANISATION), TOKEN: f" {text}\r\n"}, TOKEN),
        ({OLD_PREFIX: ORGANISATION, OLD_TOKEN: text}, OLD_TOKEN),
        ({EXTERNAL: listing(entry(INDEX, "u", text))}, f"{EXTERNAL}: entry 1 has a password that"),
        ({OLD_EXTERNAL: text}, OLD_EXTERNAL),
        ({IDENTITY: text}, IDENTITY),
        ({IDENTITY: listing({"endpoint": INDEX, "clientId": text})}, f"{IDENTITY}: entry 1 has a clientid that"),
        ({IDENTITY: listing({"endpoint": INDEX, "clientId": CLIENT, "clientCertificateFilePath": text})}, IDENTITY),
        ({PREFIX: text, TOKEN: "token"}, PREFIX),
        ({EXTERNAL: listing(entry(text))}, f"{EXTERNAL}: entry 1 has an endpoint that"),
    ):
        lines: list[str] = []
        assert find(INDEX, environ, lines.append) is None
        (said,) = lines
        assert said.startswith(where) and (value_checks.MACRO in said or "is a placeholder: " in said)


@pytest.mark.parametrize("text", TOKENS)
def test_what_could_be_a_token_is_one(text: str) -> None:
    assert find(INDEX, {**prefixes(ORGANISATION), TOKEN: text}) == ("VssSessionToken", text)
    assert find(INDEX, {EXTERNAL: listing(entry(INDEX, "u", text))}) == ("u", text)


@pytest.mark.parametrize("url", [f"{ORGANISATION}my%20proj/", f"{ORGANISATION}b%C3%A4r%41%42/", "https://[::1]/x/"])
def test_a_quoted_sign_in_a_url_is_no_macro(url: str) -> None:
    assert value_checks.of_url(url) == ""


@pytest.mark.parametrize("around", ["\n", "\r\n", " ", "\t", "\ufeff", "\ufeff \n"])
def test_what_a_file_of_secrets_puts_around_a_token_is_taken_off(around: str) -> None:
    """Kind E: at either end, of a token, a password, a user, an endpoint."""
    for left, right in ((around, ""), ("", around), (around, around)):
        word = f"{left}p{right}"
        assert find(INDEX, {**prefixes(ORGANISATION), TOKEN: word}) == ("VssSessionToken", "p")
        assert find(INDEX, {EXTERNAL: listing(entry(f"{left}{INDEX}{right}", f"{left}u{right}", word))}) == ("u", "p")


@pytest.mark.parametrize(
    ("token", "what"),
    [
        ("sesame\nhunter2", "holds a line break"),
        ("sesame\r\nhunter2", "holds a line break"),
        ("sesame\u2028hunter2", "holds a line break"),
        ("sesame\x1bhunter2", "holds a control character"),
        ("sesame\x00hunter2", "holds a control character"),
        ("'token'", "stands in an extra pair of quotes: remove them"),
        ('"token"', "stands in an extra pair of quotes: remove them"),
        ("sesame\udcffhunter2", "holds bytes that are no text"),
    ],
)
def test_a_token_that_no_header_carries_is_said_and_not_sent(token: str, what: str) -> None:
    lines: list[str] = []
    assert find(INDEX, {**prefixes(ORGANISATION), TOKEN: token}, lines.append) is None
    assert find(INDEX, {EXTERNAL: listing(entry(INDEX, "u", token))}, lines.append) is None
    assert lines[0].startswith(f"{TOKEN} {what}")
    assert lines[1].startswith(f"{EXTERNAL}: entry 1 has a password that {what}")
    assert not any(part in line for line in lines for part in ("sesame", "hunter2"))


@pytest.mark.parametrize("user", ["$(USER)", "a\nb", "u\udfff", "<user>"])
def test_a_user_that_is_none_costs_no_credential(user: str) -> None:
    """And is not sent either."""
    assert find(INDEX, {EXTERNAL: listing(entry(INDEX, user))}) == ("VssSessionToken", "p")


@pytest.mark.parametrize("variable", [EXTERNAL, OLD_EXTERNAL, IDENTITY])
@pytest.mark.parametrize("quote", ["'{}'", '"{}"', " '{}'\n", "`{}`"])
def test_json_in_quotes_is_said(variable: str, quote: str) -> None:
    """The provider, which others ask with the same variable, cannot read it either (see below)."""
    whole = listing(entry(INDEX, "hunter2", "hunter2", clientId="c"))
    for text in (quote.format(whole), json.dumps(whole)):
        lines: list[str] = []
        assert find(INDEX, {variable: text}, lines.append) is None
        assert lines == [f"{variable} stands in an extra pair of quotes: remove them"]


@pytest.mark.parametrize(
    ("environ", "line"),
    [
        ({PREFIX: ORGANISATION}, f"{TOKEN} is not set, and {PREFIX} gives no credential without it"),
        ({PREFIX: ORGANISATION, TOKEN: ""}, f"{TOKEN} is empty, and {PREFIX} gives"),
        ({PREFIX: ORGANISATION, TOKEN: " \n"}, f"{TOKEN} is empty, and {PREFIX} gives"),
        ({PREFIX: ORGANISATION, OLD_TOKEN: ""}, f"{OLD_TOKEN} is empty, and {PREFIX} gives"),
        ({OLD_PREFIX: ORGANISATION}, f"{OLD_TOKEN} is not set, and {OLD_PREFIX} gives"),
        ({OLD_PREFIX: ORGANISATION, TOKEN: ""}, f"{TOKEN} is empty, and {OLD_PREFIX} gives"),
        ({TOKEN: "p"}, f"{TOKEN} has no effect without {PREFIX}, and keeps the provider from signing in: "),
        ({OLD_TOKEN: "p"}, f"{OLD_TOKEN} has no effect without {OLD_PREFIX}, and keeps the provider from signing in: "),
        ({TOKEN: "p", PREFIX: ""}, f"{TOKEN} has no effect without {PREFIX}, and keeps the provider from signing in: "),
        ({IDENTITY: listing(entry(INDEX))}, f"{IDENTITY}: entry 1 has no clientId: "),
        ({EXTERNAL: listing(entry(INDEX, "u", ""))}, f"{EXTERNAL}: entry 1 has a password that is empty: "),
    ],
)
def test_what_is_missing_is_named(environ: dict[str, str], line: str) -> None:
    lines: list[str] = []
    assert find(INDEX, environ, lines.append) is None
    (said,) = lines
    assert said.startswith(line)


def test_a_token_without_prefixes_is_no_news_where_something_else_is_declared() -> None:
    assert find(INDEX, {**external(INDEX), TOKEN: "p"}) == ("u0", "p0")


@pytest.mark.parametrize(
    "environ",
    [
        {PREFIX: "https://tfs.example/"},
        {PREFIX: "https://tfs.example/tfs", TOKEN: "$(TOKEN)"},
        {EXTERNAL: listing(entry(SERVER, "u", ""))},
        {EXTERNAL: f"'{listing(entry(SERVER))}'"},
        {IDENTITY: listing(entry(SERVER))},
    ],
)
def test_a_server_of_ones_own_is_ours_although_its_declaration_is_no_good(environ: dict[str, str]) -> None:
    """Else its users would never hear what is wrong."""
    lines: list[str] = []
    assert feed_of(SERVER, environ) is not None
    assert find(SERVER, environ, lines.append) is None
    assert len(lines) == 1


# With a feed, the real provider, and a person's or a client's look-up


class Desk:
    """A world with a private feed, and what a client's and a person's look-up say to it."""

    def __init__(self, world: AzureWorld, tree: Path, home: Path) -> None:
        self.world, self.feed = world, world.feed("org", "feed")
        self.environ = {
            **world.environ(home),
            "ARTIFACTS_KEYRING_NONINTERACTIVE_MODE": "true",
            "ARTIFACTS_KEYRING_CREDENTIALPROVIDER_PATH": str(tree),
            "ARTIFACTS_KEYRING_TIMEOUT": "60",
        }

    def asked(self, command: str, code: int, **environ: str) -> str:
        """What `keyring get` or `artifacts-keyring login` says; its line on stderr, or else what is on stdout."""
        words = {
            "get": ("keyring", "-b", "artifacts_keyring.ArtifactsKeyringBackend", "get", self.feed.url, "u"),
            "login": ("artifacts_keyring", "login", self.feed.url),
        }
        done = subprocess.run(
            [sys.executable, "-m", *words[command]],
            cwd=ROOT,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, f"{done.stdout}{done.stderr}"
        (line,) = (done.stderr or done.stdout).splitlines()
        return line


@pytest.fixture
def desk(tmp_path: Path, payload_tree: Callable[[str], Path]) -> Iterator[Desk]:
    with AzureWorld() as world, empty_home(tmp_path) as home:
        yield Desk(world, payload_tree(NATIVE), home)


FIRST = f"{EXTERNAL}: entry 1 has a password that"
FAULTS = [
    ({PREFIX: ORGANISATION, TOKEN: ""}, f"{TOKEN} is empty"),
    ({TOKEN: "p"}, f"{TOKEN} has no effect without {PREFIX}"),
    ({OLD_PREFIX: ORGANISATION, OLD_TOKEN: "$(System.AccessToken)"}, f"{OLD_TOKEN} {value_checks.MACRO}"),
    (
        {EXTERNAL: listing(entry(INDEX, "u", "${{ secrets.X }}"))},
        f"{EXTERNAL}: entry 1 has a password that {value_checks.MACRO}",
    ),
    ({EXTERNAL: listing(entry(INDEX, "u", ""))}, f"{FIRST} is empty"),
    ({EXTERNAL: f"'{listing(entry(INDEX))}'"}, f"{EXTERNAL} {value_checks.QUOTED}"),
    ({EXTERNAL: "{"}, f"{EXTERNAL} is not valid JSON (line 1, column 2), nothing in it is used: write "),
    (
        {PREFIX: "https://pkgs.dev.azure.com/or", TOKEN: "$(X)"},
        f"{PREFIX} is set, but gives no credential for {INDEX}: add",
    ),
    ({PREFIX: "$(X)", TOKEN: "p"}, f"{PREFIX} {value_checks.MACRO}"),
]


@pytest.mark.provider
@pytest.mark.parametrize("command", ["get", "login"])
@pytest.mark.parametrize(
    ("environ", "line"), [FAULTS[0], *(pytest.param(*row, marks=pytest.mark.slow) for row in FAULTS[1:])]
)
def test_a_fault_is_one_line_and_no_request_carries_it(
    desk: Desk, command: str, environ: dict[str, str], line: str
) -> None:
    """Kind E: in a look-up and in `login`."""
    said = desk.asked(command, 1, **environ)
    assert said.startswith(f"artifacts-keyring: {line}")
    assert {request.auth for request in desk.world.requests} == {"none"}


@pytest.mark.provider
def test_a_public_feed_hears_nothing_of_a_fault(desk: Desk) -> None:
    desk.feed.public = True
    assert desk.asked("login", 0, **{PREFIX: ORGANISATION, TOKEN: ""}) == f"{INDEX} is public: it needs no login"


@pytest.mark.provider
@pytest.mark.parametrize(
    "environ",
    [
        prefixes(ORGANISATION),
        *(
            pytest.param(environ, marks=pytest.mark.slow)
            for environ in (external(INDEX[:-1]), {OLD_PREFIX: INDEX, OLD_TOKEN: "x"})
        ),
    ],
)
def test_a_login_with_a_refused_token_names_its_variable(desk: Desk, environ: dict[str, str]) -> None:
    """Kind E: in every spelling, and without a second try that could not help."""
    name = next(name for name in (TOKEN, OLD_TOKEN, EXTERNAL) if name in environ)
    said = desk.asked("login", 1, **environ)
    assert said.startswith(f"artifacts-keyring: the token declared in {name} is refused (401) by {INDEX}: ")
    assert [request.auth for request in desk.world.requests] == ["none", "basic"]


@pytest.mark.provider
def test_a_login_with_a_good_token_says_that_there_is_nothing_to_sign_in(desk: Desk) -> None:
    environ = {**prefixes(ORGANISATION), TOKEN: desk.world.token("org")}
    assert desk.asked("login", 0, **environ) == f"{TOKEN} gives the credential for {INDEX}: there is nothing to sign in"


def identity(desk: Desk) -> dict[str, str]:
    endpoint = f"http://127.0.0.1:{desk.world.server.server_port}/msi/token"
    return {
        IDENTITY: listing({"endpoint": INDEX, "clientId": CLIENT}),
        "IDENTITY_ENDPOINT": endpoint,
        "IDENTITY_HEADER": "header",
    }


@pytest.mark.provider
@pytest.mark.parametrize("command", ["get", "login"])
def test_the_refused_token_of_an_identity_names_its_variable(desk: Desk, command: str) -> None:
    environ = identity(desk)
    desk.world.identity.access_tokens = Deaf()
    said = desk.asked(command, 1, **environ)
    assert said.startswith(
        f"artifacts-keyring: the token of the identity declared in {IDENTITY} is refused (401) by {INDEX}"
    )
    assert desk.world.steps.count("managed-identity") == 1


class Deaf(set):  # type: ignore[type-arg]
    """A set that keeps nothing: no access token opens a feed."""

    def add(self, _item: object) -> None:
        """Nothing."""


@pytest.mark.windows
@pytest.mark.provider
@pytest.mark.parametrize(
    ("port", "reason"),
    [
        (0, "this machine's identity service said: Identity not found"),
        (9, "no identity service of this machine answers"),
    ],
)
def test_an_identity_that_gets_no_token_names_its_variable(
    desk: Desk, port: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = as_json({"error": "invalid_request", "error_description": "Identity not found"}, 400)
    monkeypatch.setattr(desk.world.identity, "managed", lambda _request: refusal)
    environ = {**identity(desk), "IDENTITY_HEADER": "", "IDENTITY_ENDPOINT": ""}
    service = f"http://127.0.0.1:{port or desk.world.server.server_port}"
    said = desk.asked("get", 1, **environ, AZURE_POD_IDENTITY_AUTHORITY_HOST=service)
    assert said.startswith(
        f"artifacts-keyring: the identity declared in {IDENTITY} got no token for {INDEX} ({reason})"
    )


@pytest.mark.slow
@pytest.mark.provider
@pytest.mark.parametrize("better", [{EXTERNAL: listing(entry(INDEX, "u", "$(X)"))}, {PREFIX: INDEX, TOKEN: "$(X)"}])
def test_an_identity_answers_where_a_password_is_a_macro(desk: Desk, better: dict[str, str]) -> None:
    """The provider would prefer the password, and send it."""
    organisation = {IDENTITY: listing({"endpoint": ORGANISATION, "clientId": CLIENT})}
    feed = lookup.feed_of(INDEX, {})
    assert feed is not None
    found = session.ask(feed, {**desk.environ, **identity(desk), **organisation, **better}, False)
    assert found is not None and found.username == CLIENT


@pytest.mark.provider
def test_an_empty_variable_is_named_where_nobody_can_sign_in(desk: Desk) -> None:
    said = desk.asked("get", 1, **{EXTERNAL: ""})
    assert said.startswith(f"artifacts-keyring: {EXTERNAL} is empty, and {INDEX} needs a sign-in then, ")


@pytest.mark.slow
@pytest.mark.provider
@pytest.mark.parametrize("name", [TOKEN, OLD_TOKEN])
def test_the_real_provider_refuses_to_sign_in_beside_a_token_alone(
    name: str, payload_tree: Callable[[str], Path], desk: Desk
) -> None:
    """What the line says of it."""
    query = provider.Query(INDEX, interactive=True, timeout=60)
    reply = provider.run(provider.locate(desk.environ), query, {**desk.environ, name: "p"})
    assert reply.credential is None
    assert desk.world.requests == []


@pytest.mark.provider
def test_the_real_provider_reads_no_json_in_quotes(desk: Desk) -> None:
    for text, found in ((listing(entry(INDEX)), ("u", "p")), (f"'{listing(entry(INDEX))}'", None)):
        reply = provider.run(provider.locate(desk.environ), provider.Query(INDEX), {**desk.environ, EXTERNAL: text})
        assert reply.credential == found


def test_the_hint_is_shown_as_meant(capfd: pytest.CaptureFixture[str]) -> None:
    """Kind E: the redactor knows the form of the hint, and a real password in the same form all the same."""
    lookup.look_up(INDEX, None, {EXTERNAL: "{", "ARTIFACTS_KEYRING_NONINTERACTIVE_MODE": "true", "HTTPS_PROXY": "x:"})
    console.say('{"password": "…x"}', {})
    said = capfd.readouterr().err
    assert '{"endpointCredentials": [{"endpoint": "URL", "username": "…", "password": "…"}]}' in said
    assert '{"password": "***"}' in said
