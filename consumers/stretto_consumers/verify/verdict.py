"""When do two values that were read at different moments count as different? Pure.

The leader is read, then the follower when it has passed the LSN of that read, then the leader again. Numbered rules:

1. The follower has what the leader had before, or what it has now: equal. (What the follower shows is the leader's state
   at some moment between the two reads.)
2. Otherwise, when the leader did not change between its two reads: different, for in that whole time it had one value.
3. Otherwise it cannot be told: look again.
"""

from __future__ import annotations

import enum
from typing import Protocol


class Verdict(enum.Enum):
    """The outcome for one key, or for a whole table without key."""

    EQUAL = "equal"
    DIFFERENT = "different"
    UNDECIDED = "undecided"


class Comparable(Protocol):
    """A value with a `content` to compare between sides; `==` compares it within a side, in more detail."""

    @property
    def content(self) -> object:
        """What must be the same on both sides."""


def judge(before: Comparable, follower: Comparable, after: Comparable) -> Verdict:
    """Apply the rules."""
    if follower.content in (before.content, after.content):
        return Verdict.EQUAL
    if before == after:
        return Verdict.DIFFERENT
    return Verdict.UNDECIDED
