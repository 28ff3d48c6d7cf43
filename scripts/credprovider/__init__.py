"""The library behind the build hook and the maintainers' commands.

One way through it: target -> pin -> source -> archive -> payload -> staged files.
"""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[[str], None]  # where a line for a person goes
