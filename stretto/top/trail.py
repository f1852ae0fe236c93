"""The last minutes of every follower's lag, and how they are drawn in a line of text.

1. A column of a sparkline is a part of the window, and shows the most lag in it: a peak is never lost between two columns.
2. Parts begin at whole multiples of their length, so a line changes when a part is over and not with every look.
3. Heights are the same for all followers and all times: each is about three times the one before. `LEVELS_S` says which.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from stretto_schemas.lag.view import FollowerView

WINDOW_S: Final = 120.0
KEPT_S: Final = WINDOW_S + 30.0
"""A little more than is drawn: the oldest part is whole."""

LEVELS_S: Final = (0.5, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
"""Up to the first the lowest bar, beyond the last the highest."""

BARS: Final = "▁▂▃▄▅▆▇█"

Key = tuple[str, str]
"""A follower's name and its source."""


class Trail:
    """Seconds by follower and stage. Bounded by time; one thread."""

    def __init__(self) -> None:
        self._seconds: dict[Key, deque[tuple[float, dict[str, float]]]] = {}

    def add(self, at: float, followers: Iterable[FollowerView]) -> None:
        """A look at `at`, monotonic seconds. Followers that are no longer there are forgotten."""
        seen = {}
        for each in followers:
            key = each.name, each.source
            kept = self._seconds.get(key, deque())
            kept.append((at, {stage: lag.seconds for stage, lag in each.lag.items() if lag is not None}))
            while kept[0][0] < at - KEPT_S:
                kept.popleft()
            seen[key] = kept
        self._seconds = seen

    def line(self, key: Key, stage: str, at: float, width: int) -> str:
        """The window that ends now, in so many columns; blank where nothing is known."""
        points = [(when, stages[stage]) for when, stages in self._seconds.get(key, ()) if stage in stages]
        return spark(points, at, width)


def spark(points: Iterable[tuple[float, float]], at: float, width: int) -> str:
    """Rules 1 and 2. Points are times and seconds of lag."""
    part_s = WINDOW_S / max(1, width)
    last = int(at // part_s)
    most: dict[int, float] = {}
    for when, seconds in points:
        column = int(when // part_s) - last + width - 1
        most[column] = max(seconds, most.get(column, 0.0))
    return "".join(bar(most[column]) if column in most else " " for column in range(width))


def bar(seconds: float) -> str:
    """Rule 3."""
    return BARS[sum(seconds > level for level in LEVELS_S)]
