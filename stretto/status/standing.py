"""How followers stand, in few words: the same for `stretto status` and `stretto top`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from stretto_schemas.lag.verdict import STATUSES, TROUBLE
from stretto_schemas.lag.view import FollowerView, PipelineView, SlotView
from stretto_schemas.lag.words import duration, number, size

COLOUR: Final = {
    "OK": "green",
    "CATCHING_UP": "cyan",
    "WARNING": "yellow",
    "STALLED": "red",
    "STOPPED": "red",
    "REWOUND": "magenta",
}
"""The status itself is always written out: colour only helps to find it."""

MOST_NAMED: Final = 5


def total_s(follower: FollowerView) -> float | None:
    """Seconds from a commit to its showing, now; None when nobody can tell."""
    lag = follower.lag.get("total")
    return lag.seconds if lag is not None else None


def severity(follower: FollowerView) -> int:
    """0 is well; a status that nobody knows is worst."""
    if follower.status not in STATUSES:
        return len(STATUSES)
    return max(STATUSES.index(follower.status), STATUSES.index("WARNING") if follower.over_budget else 0)


def worst_first(followers: Sequence[FollowerView]) -> list[FollowerView]:
    """In the order in which somebody wants to know of them; equals by name, so that they stay where they are."""
    return sorted(followers, key=lambda each: (-severity(each), each.name, each.source))


def why(follower: FollowerView) -> str:
    """One sentence: the likely cause where one is known, else what was found."""
    budget = f"over its budget of {duration(follower.budget_s)}; " if follower.over_budget else ""
    return budget + (follower.likely or follower.reason)


def headline(view: PipelineView) -> str:
    """One sentence on all followers; empty without any."""
    followers = worst_first(view.followers)
    if not followers:
        return ""
    bad = [each for each in followers if each.status in TROUBLE or each.over_budget]
    if bad:
        named = ", ".join(f"{each.name} {each.status}" for each in bad[:MOST_NAMED])
        more = f" and {len(bad) - MOST_NAMED} more" if len(bad) > MOST_NAMED else ""
        return f"{len(bad)} of {number(len(followers), 'follower')} in trouble: {named}{more}"
    most = max(followers, key=lambda each: total_s(each) or 0.0)
    counted = Counter(each.status for each in followers)
    counts = ", ".join(f"{counted[status]} {status}" for status in STATUSES if counted[status])
    return f"{number(len(followers), 'follower')}: {counts}; most lag {duration(total_s(most) or 0.0)} ({most.name})"


def slot_words(slot: SlotView | None, safe_wal_bytes: int | None) -> str:
    """A replication slot: who reads it, what it keeps, and how much more it may."""
    if slot is None:
        return "not there"
    said = f"{'active' if slot.active else 'inactive'}, WAL {slot.wal_status}, keeps {size(slot.retained_bytes)}"
    return f"{said}; lost after {size(max(0, safe_wal_bytes))} more" if safe_wal_bytes is not None else said
