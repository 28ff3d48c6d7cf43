"""One class per way a build can fail.

Every message is one line: what was wrong, what was seen, what is valid, what to do next.
"""

from __future__ import annotations


class BuildError(Exception):
    """Base of every failure that a user of the toolchain can cause or meet."""


class TargetError(BuildError):
    """No target, or two targets that contradict each other, were asked for."""


class PinError(BuildError):
    """The lock file is missing, malformed or incomplete."""


class SourceError(BuildError):
    """No source could serve an archive."""


class DownloadError(BuildError):
    """One transfer failed for good."""


class ChecksumError(BuildError):
    """Bytes are not the pinned ones."""


class ArchiveError(BuildError):
    """An archive holds what no payload may hold, or is damaged."""


class PayloadError(BuildError):
    """An unpacked tree is not the pinned one."""


class OutputError(BuildError):
    """A finished file could not be written where it belongs."""


class ReproducibilityError(BuildError):
    """Two builds of the same commit and pin differ."""


class ReleaseError(BuildError):
    """The vendor's release is not there, or its page says something that cannot be used."""


class LicenceError(BuildError):
    """A legal text is not declared, is gone, or changed without being accepted."""


class ProvenanceError(BuildError):
    """Binaries are not for their target, or are not signed by an expected signer."""


class FloorError(BuildError):
    """A payload needs more than its tag promises."""


class RefusedError(BuildError):
    """This commit may not be released, or the release is not the one that was meant."""


class StepError(BuildError):
    """A command that a release has to pass did not."""


class Lacking(Exception):
    """This machine lacks a tool that starts a provider of another platform; the text names it."""


class BrokenTool(Exception):
    """Such a tool is there, but failed; the text says how."""
