"""One class per way a build can fail.

Every message is one line: what was wrong, what was seen, what is valid, what to do next.
Every class has its own exit code, so that a script can tell the failures apart.
"""

from __future__ import annotations


class BuildError(Exception):
    """Base of every failure that a user of the toolchain can cause or meet."""

    exit_code: int = 1


class TargetError(BuildError):
    """No target, or two targets that contradict each other, were asked for."""

    exit_code = 10


class PinError(BuildError):
    """The lock file is missing, malformed or incomplete."""

    exit_code = 11


class SourceError(BuildError):
    """No source could serve an archive."""

    exit_code = 12


class DownloadError(BuildError):
    """One transfer failed for good."""

    exit_code = 13


class ChecksumError(BuildError):
    """Bytes are not the pinned ones."""

    exit_code = 14


class ArchiveError(BuildError):
    """An archive holds what no payload may hold, or is damaged."""

    exit_code = 15


class PayloadError(BuildError):
    """An unpacked tree is not the pinned one."""

    exit_code = 16


class OutputError(BuildError):
    """A finished file could not be written where it belongs."""

    exit_code = 17


class ReproducibilityError(BuildError):
    """Two builds of the same commit and pin differ."""

    exit_code = 18


class ReleaseError(BuildError):
    """The release is not there, or its page says what cannot be meant."""

    exit_code = 20


class LicenceError(BuildError):
    """A legal text that nobody declared, that is gone, or whose change nobody accepted."""

    exit_code = 21


class ProvenanceError(BuildError):
    """Binaries that are not for their target, or that nobody known vouches for."""

    exit_code = 22


class FloorError(BuildError):
    """A payload needs more than its tag promises."""

    exit_code = 23


class RefusedError(BuildError):
    """This commit may not be released, or the release is not the one that was meant."""

    exit_code = 24


class StepError(BuildError):
    """A command that a release has to pass did not."""

    exit_code = 25


class Lacking(Exception):
    """This machine lacks a tool that starts a provider of another platform; the text names it."""


class BrokenTool(Exception):
    """Such a tool is there, but failed; the text says how."""
