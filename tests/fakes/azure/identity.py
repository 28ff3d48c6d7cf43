"""The identity service: instance discovery, device codes, tokens, and managed identities."""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from tests.fakes.azure.server import Answer, Request, as_json

HOSTS = ("login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net")
TENANT = "7e57ab1e-0000-4000-8000-00000000f00d"
USER = "0b5e55ed-0000-4000-8000-00000000beef"


@dataclass
class Identity:
    """What the human and the directory decide; tests set the fields before a look-up.

    pending: polls answered "authorization_pending" before the sign-in; refusal: the error code the last
    poll gets instead of tokens; description: Entra's words to every refusal; interval, expires_in: seconds;
    refuse_refresh: refresh tokens are invalid.
    """

    pending: int = 0
    refusal: str = ""
    description: str = "decided by the test"
    interval: int = 1
    expires_in: int = 3600
    refuse_refresh: bool = False
    access_tokens: set[str] = field(default_factory=set)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _polls: dict[str, int] = field(default_factory=dict)
    _challenges: dict[str, str] = field(default_factory=dict)

    def answer(self, request: Request) -> Answer:
        """Serve a request to one of HOSTS."""
        pages = {
            "instance": self._discovery,
            "openid-configuration": self._openid,
            "keys": self._keys,
            "devicecode": self._device_code,
            "authorize": self._authorize,
            "token": self._token,
        }
        page = pages.get(request.path.rpartition("/")[2])
        return page(request) if page else Answer(404)

    def managed(self, request: Request) -> Answer:
        """A token for a managed identity, App Service and IMDS style."""
        request.step = "managed-identity"
        if not request.headers.get("X-IDENTITY-HEADER") and not request.headers.get("Metadata"):
            return as_json({"error": "invalid_request"}, 400)
        return as_json(
            {
                "access_token": self._access_token(),
                "expires_on": str(int(time.time()) + self.expires_in),
                "resource": "499b84ac-1321-427f-aa17-267ca6975798",
                "token_type": "Bearer",
            }
        )

    def _discovery(self, request: Request) -> Answer:
        request.step = "discovery"
        endpoint = f"https://{HOSTS[0]}/{TENANT}/v2.0/.well-known/openid-configuration"
        network = {"preferred_network": HOSTS[0], "preferred_cache": HOSTS[1], "aliases": list(HOSTS)}
        return as_json({"tenant_discovery_endpoint": endpoint, "api-version": "1.1", "metadata": [network]})

    def _openid(self, request: Request) -> Answer:
        # Complete, although this provider never asks for it: it checks no signature and no issuer.
        request.step = "openid"
        base = f"https://{HOSTS[0]}/{TENANT}"
        return as_json(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "response_types_supported": ["code"],
                "subject_types_supported": ["pairwise"],
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        )

    def _keys(self, request: Request) -> Answer:
        request.step = "keys"
        return as_json({"keys": []})

    def _authorize(self, request: Request) -> Answer:
        """The page on which somebody has just signed in: its form brings the code to the provider."""
        request.step = "authorize"
        asked = dict(parse_qsl(urlsplit(request.target).query))
        code = f"code-{next(self._numbers)}"
        self._challenges[code] = asked.get("code_challenge", "")
        fields = {"code": code, "state": asked["state"], "client_info": _client_info()}
        rows = "".join(f'<input name="{name}" value="{html.escape(value)}">' for name, value in fields.items())
        page = f'<form method="post" action="{html.escape(asked["redirect_uri"])}">{rows}</form>'
        return Answer(200, page.encode(), (("Content-Type", "text/html"),))

    def _device_code(self, request: Request) -> Answer:
        request.step = "devicecode"
        number = next(self._numbers)
        self._polls[f"device-{number}"] = self.pending
        return as_json(
            {
                "user_code": f"FAKE{number:05}",
                "device_code": f"device-{number}",
                "verification_uri": "https://microsoft.com/devicelogin",
                "expires_in": 900,
                "interval": self.interval,
                "message": "shown by nobody",
            }
        )

    def _token(self, request: Request) -> Answer:
        form = request.form
        grant = form.get("grant_type", "")
        request.step = f"token:{grant}"
        if grant == "client_credentials":
            return as_json(
                {"token_type": "Bearer", "expires_in": self.expires_in, "access_token": self._access_token()}
            )
        checks = {"device_code": self._poll, "authorization_code": self._proof, "refresh_token": self._refresh}
        error = checks[grant](form) if grant in checks else "unsupported_grant_type"
        return self._refused(error) if error else as_json(self._tokens(form.get("scope", "")))

    def _refused(self, error: str) -> Answer:
        # Without a description MSAL takes "authorization_pending" for an unknown error and gives up.
        return as_json({"error": error, "error_description": self.description}, 400)

    def _poll(self, form: Mapping[str, str]) -> str:
        device_code = form.get("device_code", "")
        if device_code not in self._polls:
            return "bad_verification_code"
        self._polls[device_code] -= 1
        return "authorization_pending" if self._polls[device_code] >= 0 else self.refusal

    def _refresh(self, form: Mapping[str, str]) -> str:
        known = form.get("refresh_token", "").startswith("refresh-")
        return "" if known and not self.refuse_refresh else "invalid_grant"

    def _proof(self, form: Mapping[str, str]) -> str:
        """PKCE: whoever brings the code must know what its challenge was made from."""
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        expected = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        return "" if self._challenges.pop(form.get("code", ""), None) == expected else "invalid_grant"

    def _tokens(self, scope: str) -> dict[str, object]:
        return {
            "token_type": "Bearer",
            "scope": scope,
            "expires_in": self.expires_in,
            "ext_expires_in": self.expires_in,
            "access_token": self._access_token(),
            "refresh_token": f"refresh-{next(self._numbers)}",
            "id_token": _id_token(self.expires_in),
            "client_info": _client_info(),
        }

    def _access_token(self) -> str:
        token = f"access-{next(self._numbers)}"
        self.access_tokens.add(token)
        return token


def _id_token(expires_in: int) -> str:
    now = int(time.time())
    claims = {
        "oid": USER,
        "tid": TENANT,
        "sub": USER,
        "aud": "d5a56ea4-7369-46b8-a538-c370805301bf",
        "iss": f"https://{HOSTS[0]}/{TENANT}/v2.0",
        "preferred_username": "dev@example.test",
        "name": "Dev",
        "ver": "2.0",
        "iat": now,
        "exp": now + expires_in,
    }
    return f"{_base64({'alg': 'none'})}.{_base64(claims)}.{_base64('unsigned')}"


def _client_info() -> str:
    return _base64({"uid": USER, "utid": TENANT})


def _base64(document: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")
