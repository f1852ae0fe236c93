"""When do two rows that were read at different moments count as different? Pure.

Leader and follower are read in turn. Before each read of the follower it has passed the LSN of the leader's read before,
and what it shows then is the leader's state at some moment between the leader's two reads. Numbered rules, for one key:

1. The follower has what the leader had before, or what it has now: equal.
2. The leader has one and the same version of the row (not only the same content, which may have gone and come back)
   before and after, so it had no other in between: different.
3. The follower had one and the same version of the row before and after the leader's earlier read, so it had it at that
   LSN too, where the leader had another: different.
4. Otherwise it cannot be told: look again. A row that is absent twice may have been there in between.

One verdict `different` is not enough: a commit that waits for a synchronous standby is in the WAL, and may stand on the
follower, before the leader shows it.
"""

from __future__ import annotations

import enum

from stretto_connectors.postgres.checksum import Version

CONFIRMATIONS = 2
"""So many times running a row must be found different."""


class Verdict(enum.Enum):
    """The outcome for one key."""

    EQUAL = "equal"
    DIFFERENT = "different"
    UNDECIDED = "undecided"


def judge(
    earlier_follower: Version | None, before: Version | None, follower: Version | None, after: Version | None
) -> Verdict:
    """Apply the rules to reads in this order; None is a row that is not there (or, the first, was not read)."""
    if _content(follower) in (_content(before), _content(after)):
        return Verdict.EQUAL
    if before is not None and before == after:
        return Verdict.DIFFERENT
    if follower is not None and follower == earlier_follower:
        return Verdict.DIFFERENT
    return Verdict.UNDECIDED


def _content(version: Version | None) -> int | None:
    return None if version is None else version.content
