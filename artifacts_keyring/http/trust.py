"""Which certificate authorities an HTTPS connection of ours trusts."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path

from ..system import access

# Read by OpenSSL, requests, pip and curl, in this order; all that are set count, so that a
# corporate CA made known to one of these tools is known here too.
CA_VARIABLES = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
)


class TrustError(Exception):
    """A variable names certificate authorities that cannot be read; one line, for users."""


def ssl_context(environ: Mapping[str, str]) -> ssl.SSLContext:
    """A verifying client context: the authorities that *environ* names, else the system's.

    Raises TrustError when a variable of CA_VARIABLES names a file that is missing or no PEM.
    """
    named = named_authorities(environ)
    if not named:
        return _system_context()
    context = _bare_context()
    for variable, path in named:
        _load(context, variable, path)
    return context


def named_authorities(environ: Mapping[str, str]) -> list[tuple[str, str]]:
    """The (variable, path) pairs of CA_VARIABLES that are in force, in that order."""
    named = [(name, environ.get(name, "")) for name in CA_VARIABLES]
    return [(name, path) for name, path in named if path and not _dangling(name, path)]


def _dangling(name: str, path: str) -> bool:
    # OpenSSL passes over a SSL_CERT_DIR that does not exist; an error here would surprise.
    return name == "SSL_CERT_DIR" and not access.is_folder(Path(path))


def _load(context: ssl.SSLContext, variable: str, path: str) -> None:
    try:
        if access.is_folder(Path(path)):
            context.load_verify_locations(capath=path)
        else:
            context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or str(error)
        raise TrustError(
            f"{variable}={path} cannot be used as certificate authorities ({reason}): "
            "name a readable PEM file, or unset the variable"
        ) from error


def _bare_context() -> ssl.SSLContext:
    # Not ssl.create_default_context: since Python 3.13 it refuses corporate authorities whose
    # certificates lack the newer extensions, which pip and the provider accept.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _system_context() -> ssl.SSLContext:
    try:
        import truststore
    except ImportError:  # Python 3.9 has none
        return _fallback_context()
    context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return context


def _fallback_context() -> ssl.SSLContext:
    import certifi  # comes with httpx

    context = _bare_context()
    context.load_default_certs()
    context.load_verify_locations(cafile=certifi.where())
    return context
