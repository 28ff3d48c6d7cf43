"""Find values of variables that must not be sent to a server: macros, placeholders, quotes, control characters."""

from __future__ import annotations

import re
from functools import cache

MACRO = "is a macro that nothing has expanded: see that the build sets what it names, or write the value itself"
QUOTED = "stands in an extra pair of quotes: remove them"
EMPTY = "is empty: set it (a build of a fork gets no secrets)"

# One per form, for a whole value. No token of Azure DevOps or Entra has a sign that these begin with; a password
# that a person has thought up may, which is why $name counts only in capitals or where it calls itself a token.
_MACRO = r"""\$\(.+\) | \$\[.+\] | \$\{.+\}                 # Azure Pipelines, GitHub Actions, shells, make, Jenkins
    | \$(?:[A-Z_][A-Z0-9_]+|\w*(?i:token)|(?i:pat))    # shells, GitLab
    | \$\{?(?i:env):\w+\}?                             # PowerShell
    | %[A-Za-z_][\w.]*%                                # cmd, TeamCity
    | \#\{.+\}\#? | \{\{.+\}\} | \(\(.+\)\) | <<.+>>   # Octopus, replacers of tokens, templates, Concourse, CircleCI
    | __[A-Z][A-Z0-9_]*__ | @@?[A-Z][A-Z0-9_]*@@?      # replacers of tokens
    | @Microsoft\.KeyVault\(.+\)                       # App Service
    """
_PLACEHOLDER = r"<[^<>]+> | \*{3,} | \u2022+ | \u2026 | \.{3}"
# How all of these begin: no token does, so that for a token nothing is compiled.
_BEGIN = ("$", "%", "#{", "{{", "((", "<", "__", "@", "*", "\u2022", "\u2026", "...")
# Within a URL: no name of an organisation, a project or a feed may have one of these signs. What an expanded URL
# quotes has two hexadecimal digits after each %, the one that ends a macro has not.
_IN_URL = r"\$[({\[\w] | \#\{ | \{\{ | <\w[^<>]*> | %[A-Z_][A-Z0-9_.]*%(?![0-9A-Fa-f]{2})"
_QUOTES = ("''", '""', "``", "\u2018\u2019", "\u201c\u201d")


def bare(text: str) -> str:
    """*text* without the blanks, line breaks and byte order marks that files and editors put around it."""
    return text.strip().strip("\ufeff").strip()


def of_value(text: str) -> str:
    """What is wrong with a token, or another value that is sent unchanged, and what to do; "" if nothing is.

    To follow the name of the value, as all of these; never quotes it.
    """
    if not text:
        return EMPTY
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        return "holds bytes that are no text: set it to the value alone"
    if any(sign in "\r\n\u2028\u2029" for sign in text):
        return "holds a line break: set it to the value alone, on one line"
    if any(sign < " " or "\x7f" <= sign <= "\x9f" for sign in text):
        return "holds a control character: set it to the value alone"
    return of_shape(text)


def of_url(text: str) -> str:
    """The same for a URL, which may also have a macro in its middle."""
    suspect = any(sign in text for sign in "$#{<%")
    return of_value(text) or (MACRO if suspect and _compiled(_IN_URL).search(text) else "")


def of_shape(text: str) -> str:
    """The same for a text that may have lines."""
    if text.startswith(_BEGIN):
        if _compiled(_MACRO).fullmatch(text):
            return MACRO
        if _compiled(_PLACEHOLDER).fullmatch(text):
            return "is a placeholder: write the value itself"
    return QUOTED if len(text) > 1 and text[0] + text[-1] in _QUOTES else ""


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.VERBOSE | re.DOTALL)
