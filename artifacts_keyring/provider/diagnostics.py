"""Find the line in the provider's debug output that says why it gave no credential, and what to do."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional


class Sign(NamedTuple):
    """A text that the provider, .NET or the loader writes, as a pattern, and what it means for the user."""

    pattern: str
    advice: str


# What stops the program before it can do anything.
STARTUP_SIGNS = (
    Sign(
        r"valid ICU package",
        "libicu is missing: install it, or unset DOTNET_SYSTEM_GLOBALIZATION_INVARIANT (it then runs without)",
    ),
    Sign(
        r"No usable version of (?:libssl|OpenSSL)|libssl\S* (?:was )?not found|Cryptography\.Native\.OpenSsl",
        "OpenSSL is missing: install libssl (Debian: libssl3, Alpine: libssl3, Fedora: openssl-libs)",
    ),
    Sign(
        r"error while loading shared libraries: (?P<what>\S+?):",
        "the shared library {what} is missing: install the package that has it",
    ),
    Sign(
        r"version `GLIBC_(?P<what>[\d.]+)' not found",
        "this system's C library is older than glibc {what}: use a newer distribution",
    ),
    Sign(
        r"HRESULT: 0x8007000E|Failed to create CoreCLR",
        ".NET cannot start, mostly because memory is short or, on Linux, /proc is not mounted",
    ),
    Sign(
        r"You must install or update \.NET|framework '?Microsoft\.NETCore\.App'?, version",
        "the .NET found is older than 8: install .NET 8 or newer, or artifacts-keyring from the platform's wheel",
    ),
)

NO_ACCESS = "the account that signed in most likely has no access to this organisation"

# What goes wrong on the way to a credential, the more telling first: one failure has several of them.
LOGIN_SIGNS = (
    # Only what Entra itself says to the user is worth a line; MSAL's own words are in the log.
    Sign(r"Msal\w+Exception: (?P<what>AADSTS\d+[^\n]*)", "{what}"),
    Sign(
        r"Credentials will not be returned to untrusted endpoint '(?P<what>[^']*)'",
        "the provider does not trust the sign-in endpoint {what}",
    ),
    Sign(
        r"Error Code: \w+ Error Description: (?P<what>[^\n]+?)\s*(?:Http status code|$)",
        "this machine's identity service said: {what}",
    ),
    Sign(r"ErrorCode: managed_identity_unreachable_network", "no identity service of this machine answers"),
    Sign(r"ErrorCode: (?:authorization_declined|access_denied)", "the sign-in was declined"),
    Sign(r"ErrorCode: (?:expired_token|code_expired)", "the sign-in code expired before it was used"),
    Sign(
        # The one between two polls, the other in the middle of one.
        r"^\[Warning\] \[CredentialProvider\](?:A task|The operation) was canceled",
        "the sign-in was not completed in time",
    ),
    Sign(r"ErrorCode: invalid_grant", "the earlier sign-in is no longer valid"),
    Sign(
        r"acquire session token: System\.\S+: (?P<what>(?:No space left on device|Disk quota exceeded|Read-only file "
        r"system|Access to the path)[^\n]*)",
        "the provider cannot write its caches: {what}",
    ),
    Sign(r"MSAL deserialization failed", "the cache of the earlier sign-in was damaged, the provider has removed it"),
    Sign(
        # A sign-in that is no good would not have come so far.
        r"^\[Verbose\] \[CredentialProvider\]Response: (?P<what>Unauthorized|Forbidden)\b",
        f"{NO_ACCESS} (no session token: Azure DevOps said {{what}})",
    ),
    Sign(
        r"^\[Verbose\] \[CredentialProvider\]Response: (?!OK\b)(?P<what>\w+)",
        "no session token: Azure DevOps said {what}",
    ),
    Sign(r"generate Azure DevOps token: \S+, message: (?P<what>.*?)\.?, stack:", "no session token: {what}"),
    Sign(r"Msal(?:Service|Client|UiRequired)Exception: (?P<what>[^\n]+)", "{what}"),
    Sign(
        r"PartialChain|UntrustedRoot|remote certificate is invalid",
        "the server's certificate is not trusted: have the system trust its authority (on Linux, or SSL_CERT_FILE)",
    ),
    Sign(r"HttpRequestException: (?P<what>[^\n]*)", "{what}"),
    Sign(r"SocketException \(\d+\): (?P<what>[^\n]*)", "{what}"),
    # Its last words while it tries for a minute to get the lock of its cache.
    Sign(
        r"Using MSAL cache at (?P<what>[^\n]+)\s*\Z",
        "it waits for a lock beside {what}: see that the folder can be written, and that no other provider hangs",
    ),
    Sign(
        r"Unable to write token to credential cache\. Exception: \S+, Message: (?P<what>[^\n]*)",
        "the provider cannot write its caches: {what}",
    ),
)

# It tries several ways to a token, one after the other; why the last one failed is what counts.
_ATTEMPT = "Attempting to acquire bearer token using provider"
_OFFLINE = re.compile(r"HttpRequestException|SocketException|PartialChain|UntrustedRoot|AuthenticationException")
_LINE = re.compile(r"^\[(?P<level>\w+)\] ?\[CredentialProvider\](?P<text>.*)$", re.MULTILINE)
# Said in every run on Linux; never why something failed.
_CHATTER = (
    "Cannot persist Microsoft authentication token cache",
    "plain-text fallback",
    "Broker support",
    "Failed to acquire session token: System.",
)
_LONGEST = 300


def startup_reason(stderr: str) -> Optional[str]:
    """Why the program could not run at all, or None."""
    return _first(STARTUP_SIGNS, stderr)


def login_reason(stderr: str) -> Optional[str]:
    """Why a run that worked found no credential: a known sign, else its last complaint, or None."""
    last = stderr[max(0, stderr.rfind(_ATTEMPT)) :]
    return _first(LOGIN_SIGNS, last) or _first(LOGIN_SIGNS, stderr) or _complaint(stderr)


def offline(stderr: str) -> bool:
    """Whether a server could not be reached or trusted."""
    return _OFFLINE.search(stderr) is not None


def _first(signs: tuple[Sign, ...], text: str) -> Optional[str]:
    for sign in signs:
        match = re.search(sign.pattern, text, re.IGNORECASE | re.MULTILINE)
        if match:
            return _line(sign.advice.format(**{key: value or "" for key, value in match.groupdict().items()}))
    return None


def _line(text: str) -> str:
    # Servers have a say in it: what they send must neither steer the user's terminal nor look like more lines.
    return "".join(sign if sign.isprintable() else "?" for sign in text.strip())[:_LONGEST]


def _complaint(stderr: str) -> Optional[str]:
    for level in ("Error", "Warning"):
        texts = [match["text"] for match in _LINE.finditer(stderr) if match["level"] == level]
        texts = [text for text in texts if text and not any(words in text for words in _CHATTER)]
        if texts:
            return _line(texts[-1])
    return None


def unprefixed_words(stderr: str) -> str:
    """The last line that is not the provider's own, for a failure without a known sign."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not _LINE.match(line)]
    return _line(lines[-1]) if lines else ""
