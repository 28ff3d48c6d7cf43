"""A whole Azure DevOps on loopback: feeds, identity service, session tokens, over https with its own CA.

with AzureWorld() as world:
    feed = world.feed("org", "feed")
    credential = world.login(feed, provider, home)
    subprocess.run([...], env=world.environ(home))
    assert world.steps == [...]

What is real here, and what is not; `tests/integration/test_azure.py` goes through all of the first kind:

  the provider's own code   reading the feed's 401 (authority, tenant, session endpoint), which hosts and session
                            endpoints it trusts, session tokens, both caches and their files, -IsRetry, exit codes
  MSAL's own code           instance discovery, device code and its polls, browser with PKCE, refresh,
                            managed identity, service principal
  the clients' own code     TLS, proxies, redirects, pages, downloads, uploads (`tests/integration/test_clients.py`)
  names of hosts            a proxy that ends TLS itself; in `alone.py` a hosts file in a mount namespace, no proxy
  decided by the test       the person, and what Entra says: MFA, consent, claims, lifetimes, wording of refusals
  not imitated              Azure DevOps' error pages, policies for tokens, throttling
  checked by nobody         signatures and issuers: the provider never asks for OpenID configuration or keys
  not possible here         brokers (WAM, Intune), integrated Windows sign-in, macOS keychain, DPAPI
"""

from __future__ import annotations

from tests.fakes.azure.feeds import Feed
from tests.fakes.azure.identity import Identity
from tests.fakes.azure.provider import Outcome, empty_home, launcher, look_up
from tests.fakes.azure.server import Answer, Request
from tests.fakes.azure.world import AzureWorld

__all__ = ["Answer", "AzureWorld", "Feed", "Identity", "Outcome", "Request", "empty_home", "launcher", "look_up"]
