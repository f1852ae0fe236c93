"""What can go wrong with servers that we start ourselves.

UsageError
 |__ PortTaken          somebody listens where a server should
 |__ ForeignFolder      a folder holds something that is not ours
 |__ AlreadyRunning     a server already works on this folder
Unreachable
 |__ StartFailed        a server ended, or did not answer in time
 |    |__ DiskFull
 |__ NotFetched         a file must come from the network, and does not
CheckFailed
 |__ ChecksumMismatch   a file is not the one that was pinned
"""

from __future__ import annotations

from stretto_schemas.errors import CheckFailed, Unreachable, UsageError


class PortTaken(UsageError):
    """Somebody listens where a server should."""


class ForeignFolder(UsageError):
    """A folder holds something that is not ours, or cannot be used by us."""


class AlreadyRunning(UsageError):
    """A server already works on this folder."""


class StartFailed(Unreachable):
    """A server ended, or did not answer in time."""

    retryable = False


class DiskFull(StartFailed):
    """No space is left where a server keeps its data."""


class NotFetched(Unreachable):
    """A file must come from the network, and does not."""


class ChecksumMismatch(CheckFailed):
    """A file is not the one that was pinned."""
