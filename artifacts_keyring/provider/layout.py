"""Where the provider's files lie in this package: what the build, its verifier and the runtime have in common.

The vendor's folder for the program is 45 characters deep. Windows gives a whole path 260, and some
site-packages take 154 of them, so the program lies directly in the payload's folder and all else beside it.
A tree digest is over the vendor's paths, wherever the files lie.
"""

from __future__ import annotations

PACKAGE = "artifacts_keyring"
FOLDER = "bin"  # of the payload, below the package
PROGRAM = "CredentialProvider.Microsoft"  # the launcher; the .dll and its .json files are named after it
VENDORS = f"plugins/netcore/{PROGRAM}/"  # the program's folder in an archive of the vendor
LEGAL = "legal/"  # for what the vendor has elsewhere: the legal texts, at the top of the archive


def placed(path: str) -> str:
    """Where the file that the vendor has at `path` lies below FOLDER."""
    deep = path.startswith(VENDORS) and not path.startswith(f"{VENDORS}{LEGAL}")
    return path[len(VENDORS) :] if deep else f"{LEGAL}{path}"


def vendors(path: str) -> str:
    """The vendor's path of the file that lies at `path` below FOLDER.

    What lies where `placed` puts no file gets a path that the vendor does not have, so that a digest tells.
    """
    outside = path[len(LEGAL) :]
    return outside if placed(outside) == path else f"{VENDORS}{path}"
