"""Whether a file can be read and written, or made; if not, which path is in the way and what to do. Never raises."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import NamedTuple, Optional


class Obstacle(NamedTuple):
    """What is in the way, and what to do: "PATH belongs to root and may not be written by you", "run `chown …`"."""

    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}: {self.fix}"


def is_file(path: Path) -> bool:
    """Whether *path* is a file, if that can be seen (Path.is_file raises where access is denied)."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: Path) -> bool:
    """Whether *path* is a folder, if that can be seen."""
    return os.path.isdir(path)  # noqa: PTH112


def owner(path: Path) -> str:
    """The name or number of the owner of *path*; "" if that cannot be seen."""
    try:
        number = path.stat().st_uid
    except OSError:
        return ""
    return _name(number)


def _name(number: int) -> str:
    if sys.platform == "win32":
        return ""
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def obstacle(path: Path, home: Optional[Path], elsewhere: Obstacle) -> Optional[Obstacle]:
    """Why the user cannot keep a file at *path*; None where nothing is in the way.

    home: the folder below which modes and owners are the user's to change. elsewhere: what to say outside of it.
    """
    for place in (path, *path.parents):
        try:
            status = place.stat()
        except (OSError, ValueError) as error:
            reason = _impossible(place, error)
            if reason:
                return Obstacle(reason, elsewhere.fix)
            continue
        return _refusal(place, status, path, home, elsewhere)
    return elsewhere


def _impossible(place: Path, error: Exception) -> str:
    """What is wrong with *place* itself; "" where a folder above it tells more."""
    number = getattr(error, "errno", None)
    if number in (errno.ENAMETOOLONG, errno.EINVAL) or isinstance(error, ValueError):
        return f"{str(place)[:80]}... is no possible name of a file"
    if number in (errno.ENOENT, errno.ELOOP) and os.path.islink(place):  # noqa: PTH114 (raises in old Pythons)
        return f"{place} is a link that leads nowhere"
    return ""


def _refusal(
    place: Path, status: os.stat_result, path: Path, home: Optional[Path], elsewhere: Obstacle
) -> Optional[Obstacle]:
    """What keeps the user from *path*; *place* is the part of it that can be seen."""
    if place != path:
        if not stat.S_ISDIR(status.st_mode):
            return Obstacle(f"{place} is no folder", "move it away")
        return _closed(place, status, os.W_OK | os.X_OK, home, elsewhere)
    if not stat.S_ISREG(status.st_mode):
        return Obstacle(f"{place} is no file", "move it away")
    closed = _closed(place, status, os.R_OK | os.W_OK, home, elsewhere)
    if closed:
        return closed
    folder = path.parent.stat()  # it could be entered a moment ago
    return _closed(path.parent, folder, os.W_OK | os.X_OK, home, elsewhere)


def _closed(
    place: Path, status: os.stat_result, needed: int, home: Optional[Path], elsewhere: Obstacle
) -> Optional[Obstacle]:
    if os.access(place, needed):
        return None
    if _read_only(place):
        return Obstacle(f"{place} is on a read-only file system", elsewhere.fix)
    if home is None or len(home.parts) < 2 or home not in (place, *place.parents):
        return elsewhere
    mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    whose = "may" if mine else f"belongs to {_name(status.st_uid)} and may"
    how = "written" if os.access(place, os.R_OK) else "read"
    return Obstacle(f"{place} {whose} not be {how} by you", _command(place, mine))


def _read_only(place: Path) -> bool:
    if sys.platform == "win32":
        return False
    try:
        return bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _command(place: Path, mine: bool) -> str:
    if sys.platform == "win32":
        return f'run `icacls "{place}" /grant "%USERNAME%:F"`'
    import shlex

    quoted = shlex.quote(str(place))
    return f"run `chmod u+rwX {quoted}`" if mine else f'run `sudo chown -R "$(id -u)" {quoted}`'
