"""The lines for the user that say why there is no credential for a feed, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Optional

from .feeds import Feed
from .variables import ACCESS_TOKEN, COMMAND, DECLARING, EXTERNAL_ENDPOINTS, TOKEN_COMMAND, unsigned

if TYPE_CHECKING:
    from .declared import Declared, Finding
    from .http.probe import Status
    from .provider.provider import Reply


def cut_off(url: str, reason: str) -> str:
    """The feed cannot be reached."""
    return f"{url} cannot be reached ({reason}): check network, proxy and certificates with `{COMMAND} doctor {url}`"


def obstacle(
    feed: Feed, environ: Mapping[str, str], found: Optional[Finding], reply: Reply, status: Optional[Status] = None
) -> str:
    """Why a sign-in would be in vain, or the empty string. status: of the feed without a credential, if asked."""
    url, best = feed.index_url, found.best if found is not None else None
    if found is not None and best is None and found.fault:
        return found.fault
    if status is not None and status.broken:
        return f"{url} answers {status.code} {status.detail}".rstrip() + ": try again later"
    if reply.offline and (status is None or status.unreachable):
        return cut_off(url, status.detail if status is not None else reply.reason)
    if feed.scheme != "https":
        return f"{url} has no sign-in, which goes over https only: declare a token for it in {EXTERNAL_ENDPOINTS[0]}"
    if best is not None:
        step = "check it, and that it may be used on this machine"
        return f"the identity declared in {best.name} got no token for {url}{_because(reply.reason)}: {step}"
    name = unsigned(environ)
    if name is not None:
        return f"{name} is set, but gives no credential for {url}: add the feed to it, or unset it to sign in"
    return ""


def no_prompt(url: str, environ: Mapping[str, str], reason: str) -> str:
    """A person has to sign in, and no prompt can be shown."""
    names = (*DECLARING, *ACCESS_TOKEN)
    empty = next((name for name in names if not environ.get(name, "unset").strip()), None)
    if empty is not None:
        return (
            f"{empty} is empty, and {url} needs a sign-in then, and no prompt can be shown here: "
            f"set it (a build of a fork gets no secrets), or run `{COMMAND} login {url}` once"
        )
    if _lacks_access(reason):
        return f"no token for {url}: {reason}: {_another_account(url)}"
    return (
        f"{url} needs a sign-in{_because(reason)}, and no prompt can be shown here: "
        f"run `{COMMAND} login {url}` once, or declare a token in {EXTERNAL_ENDPOINTS[0]}"
    )


def no_sign_in(url: str, reason: str) -> str:
    """The person did not sign in, or could not."""
    login = f"try again with `{COMMAND} login {url}`"
    step = _another_account(url) if _lacks_access(reason) else login
    return f"the sign-in for {url} failed: {reason or 'the provider gave no reason'}; {step}"


def refused(url: str, what: str) -> str:
    """The feed refuses *what* the provider gave."""
    return f"{url} refuses {what}: {_another_account(url)}"


def declared_refused(url: str, best: Declared, code: int) -> str:
    """The feed refuses what is declared for it."""
    if best.credential is None:
        what, step = "of the identity ", "give the identity access to organisation and feed"
    else:
        what, step = "", "declare one that is valid and may read packages, or ask for access to the feed"
    return f"the token {what}declared in {best.name} is refused ({code}) by {url}: {step}"


def command_refused(url: str, said: str, code: int) -> str:
    """The feed refuses what the user's command printed; said: the command's last line."""
    last = f"; its last line: {said}" if said else ""
    return (
        f"the token of the command in {TOKEN_COMMAND} is refused ({code}) by {url}{last}: "
        "have it print one that is valid and may read packages, or ask for access to the feed"
    )


def members_only(feed: Feed) -> str:
    """A page of a public feed is for members."""
    return (
        f"{feed.page} is for members, although its feed is public: "
        f"run `{COMMAND} login {feed.index_url}` once, or declare a token in {EXTERNAL_ENDPOINTS[0]}"
    )


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""


def _lacks_access(reason: str) -> bool:
    from .provider.diagnostics import NO_ACCESS

    return NO_ACCESS in reason


def _another_account(url: str) -> str:
    login = f"`{COMMAND} logout`, then `{COMMAND} login {url}`"
    return f"ask for access to the feed, or sign in with another account ({login})"
