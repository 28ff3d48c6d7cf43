"""A whole Azure DevOps on loopback: feeds, identity service, session tokens, over https with its own CA.

with AzureWorld() as world:
    feed = world.feed("org", "feed")
    credential = world.login(feed, provider, home)
    subprocess.run([...], env=world.environ(home))
    assert world.steps == [...]
"""

from __future__ import annotations

from tests.azure.feeds import Feed
from tests.azure.identity import Identity
from tests.azure.provider import Outcome, launcher, look_up
from tests.azure.server import Answer, Request
from tests.azure.world import AzureWorld

__all__ = ["Answer", "AzureWorld", "Feed", "Identity", "Outcome", "Request", "launcher", "look_up"]
