"""`artifacts-keyring`: log in ahead of an install, log out, and find out what is wrong."""

from __future__ import annotations

import argparse
import difflib
import io
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional

from .. import __version__
from ..variables import ENTRA_TOKENS, PIPELINE, TOKEN_COMMAND, unsigned

if TYPE_CHECKING:
    from typing import NoReturn

    from ..credential import Credential
    from ..feeds import Feed
    from ..provider.caches import Cache

OK, FAILED, USAGE = 0, 1, 2

_CODES = "exit codes: 0 done, 1 not done (a line says why), 2 bad input"
_URL = "https://pkgs.dev.azure.com/ORG/_packaging/FEED/pypi/simple/"
_OVERVIEW = f"""artifacts-keyring {__version__}: pip, uv, twine, poetry, pdm and hatch get their
credentials for Azure Artifacts from here.

  artifacts-keyring login URL     sign in ahead of an install
  artifacts-keyring doctor URL    why does my client get no package?
  artifacts-keyring logout        remove what the provider has cached
  artifacts-keyring --help        options and exit codes

URL is a feed's, such as
  {_URL}
and not needed if pip, uv, poetry or pdm is configured with one feed here.
"""
_EXAMPLE = f"example:\n  %(prog)s \\\n    {_URL}\n\n{_CODES}"


class _Parser(argparse.ArgumentParser):
    """Says which valid word was probably meant."""

    words: tuple[str, ...] = ()

    def __init__(self, **given: Any) -> None:  # noqa: ANN401
        super().__init__(**given, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message: str) -> NoReturn:
        seen = re.search(r"invalid choice: '([^']*)'|unrecognized arguments: (\S+)", message)
        if seen is None or "maybe you meant" in message:  # newer Pythons say so themselves
            super().error(message)
        near = difflib.get_close_matches(seen[1] or seen[2], self.words, 1)
        super().error(f"{message}; did you mean {near[0]}?" if near else message)


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run one command; return its exit code (0 done, 1 not done, 2 bad input)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # the console's code page may lack a letter of a path
    options = _parser().parse_args(arguments)
    try:
        code = int(options.run(options))
        if sys.stdout is not None:
            sys.stdout.flush()
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:  # the reader is gone; without this, the interpreter's own flush would fail, too
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        return FAILED
    except Exception as error:  # no traceback for any error
        return _fail(_unexpected(error), FAILED)
    return code


def _unexpected(error: Exception) -> str:
    from ..lookup import unexpected

    return unexpected(error, os.environ)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="artifacts-keyring",
        description="Log in ahead of an install, log out, and find out what is wrong.",
        epilog=_CODES,
    )
    parser.words = ("login", "logout", "doctor", "--version", "--help", "--dry-run", "--json")
    parser.add_argument("--version", action="version", version=f"artifacts-keyring {__version__}")
    parser.set_defaults(run=_overview)
    commands = parser.add_subparsers(metavar="COMMAND")
    login = commands.add_parser("login", help="sign in to a feed; you see the prompt", epilog=_EXAMPLE)
    login.add_argument("url", nargs="?", help="the feed's index or upload URL; else the one that is configured here")
    login.set_defaults(run=_login)
    logout = commands.add_parser("logout", help="remove what the provider has cached", epilog=_CODES)
    logout.add_argument("--dry-run", action="store_true", help="say what would be removed, and remove nothing")
    logout.set_defaults(run=_logout)
    doctor = commands.add_parser("doctor", help="why does my client get no package?", epilog=_EXAMPLE)
    doctor.add_argument("url", nargs="?", help="the feed to ask what clients ask; else the one that is configured here")
    doctor.add_argument("--json", action="store_true", help="print the checks as JSON")
    doctor.set_defaults(run=_doctor)
    return parser


def _overview(_options: argparse.Namespace) -> int:
    """What this is, in one line whether it works here, and what to type."""
    from . import doctor

    end = doctor.examine(os.environ, None, None)[-1]
    print(f"{_OVERVIEW}\nhere: {end.detail if end.ok else end.step}")
    return OK


def _login(options: argparse.Namespace) -> int:
    from . import configured

    if options.url is not None:
        return _login_to(options.url)
    found = configured.feeds(os.environ)
    if len(found) == 1:
        print(f"{found[0].feed.index_url}, as {found[0].where} says")
        return _login_to(found[0].feed.index_url)
    if not found:
        return _fail(f"neither pip, uv, poetry nor pdm is told of a feed here; name one, such as {_URL}", USAGE)
    _fail("several feeds are configured here; name one of them:", USAGE)
    for each in found:
        print(f"  artifacts-keyring login {each.feed.index_url}  ({each.where})", file=sys.stderr)
    return USAGE


def _login_to(url: str) -> int:
    from .. import declared, feeds, lookup

    feed = lookup.feed_of(url, os.environ)
    if feed is None or feed.kind == "host":
        return _no_feed(url)
    best, several = declared.look(feed, os.environ).best, declared.candidates(feed, os.environ)
    if several:
        return _login_by_id(feed, several)
    certain = feed.page or unsigned(os.environ)
    members = None if certain else feeds.of_organisation(feed)
    try:
        answer = lookup.find(url, os.environ, interactive=True, fresh=True)
        if answer.credential is None and members is not None:
            print(f"{feed.index_url} is public: this login is for packages that it has yet to take from an upstream")
            answer = lookup.find(members.index_url, os.environ, interactive=True, fresh=True)
    except lookup.LookupFailed as error:
        return _fail(str(error), FAILED)
    if answer.credential is None:
        print(f"{feed.index_url} is public: it needs no login")
    elif best is not None or answer.source == "command":
        print(_declared(best.name if best is not None else TOKEN_COMMAND, feed.index_url))
    else:
        print(f"logged in to {feed.index_url} (user {answer.credential.username}){_kept(answer.credential.password)}")
    return OK


def _login_by_id(feed: Feed, several: Sequence[Credential]) -> int:
    """Which of several declared credentials is for a feed that its URL names by an id: the feed says so."""
    from .. import session

    name = unsigned(os.environ) or PIPELINE[0]
    if session.accepted(feed, several, os.environ) is not None:
        print(_declared(name, feed.index_url))
        return OK
    seen = f"no credential of {name} that may be meant for {feed.index_url} (an id, not a name) is accepted there"
    return _fail(f"{seen}: declare one by the feed's name, or unset {name} to sign in", FAILED)


def _declared(name: str, url: str) -> str:
    return f"{name} gives the credential for {url}: there is nothing to sign in"


def _kept(password: str) -> str:
    """What the provider keeps of the sign-in, and why not, if it keeps less than usual."""
    from ..provider import caches

    off = caches.switched_off(os.environ)
    if off:
        return "" if off in ENTRA_TOKENS else f"; no token is kept, because of {off}={os.environ[off]}"
    if _holds(caches.in_use(os.environ, caches.SESSIONS), password):
        lost = caches.obstacle(os.environ, caches.SIGN_INS)
        return f"; the provider keeps the token{f', but not the sign-in: {lost}' if lost else ''}; {_validity()}"
    lost = caches.obstacle(os.environ, caches.SESSIONS)
    return f"; the provider kept no token, so the next look-up starts from nothing{f': {lost}' if lost else ''}"


def _holds(cache: Optional[Cache], password: str) -> bool:
    """Whether the session token *password* is kept (on Windows, where the file is encrypted: whether any is)."""
    import json

    kept = b""
    try:
        kept = cache.path.read_bytes() if cache else b""
        return password in json.loads(kept).values()
    except (OSError, ValueError, AttributeError):
        return sys.platform == "win32" and bool(kept)


def _validity() -> str:
    """How long a token holds and what it may do (docs/sign-in.md#requests)."""
    from ..variables import SESSION_MINUTES, TOKEN_TYPE, in_force

    scopes = "with the scopes packaging-write and drop-write"
    named = in_force(os.environ, (*SESSION_MINUTES, *TOKEN_TYPE))
    if named:
        return f"{named}={os.environ[named]} decides how long a token from a sign-in holds, {scopes}"
    return f"a token from a sign-in holds 90 days, {scopes}; {SESSION_MINUTES[0]} and {TOKEN_TYPE[0]} change that"


def _logout(options: argparse.Namespace) -> int:
    from . import logout

    outcomes = list(logout.clear(os.environ, dry_run=options.dry_run))
    for outcome in outcomes:
        print(outcome.line, file=sys.stdout if outcome.gone else sys.stderr)
    return OK if all(outcome.gone for outcome in outcomes) else FAILED


def _doctor(options: argparse.Namespace) -> int:
    from .. import lookup
    from . import doctor

    feed = lookup.feed_of(options.url, os.environ) if options.url else None
    if options.url and (feed is None or feed.kind == "host"):
        return _no_feed(options.url)
    checks = doctor.examine(os.environ, options.url, feed) if options.url else doctor.examine_configured(os.environ)
    for line in doctor.as_json(checks) if options.json else doctor.as_text(checks, sys.stdout, os.environ):
        print(line)
    return FAILED if any(check.ok is False for check in checks) else OK


def _no_feed(url: str) -> int:
    from ..provider.provider import without_user

    return _fail(
        f"{without_user(url)} is no feed that this backend knows; valid: "
        f"{_URL}; "
        "if the server is your own, name its host in ARTIFACTS_KEYRING_HOSTS",
        USAGE,
    )


def _fail(message: str, code: int) -> int:
    print(f"artifacts-keyring: {message}", file=sys.stderr)
    return code
