"""Where a follower's time goes: which table the applier writes, and whether the reader waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

SPAN_S = 2.0
"""Shares are of this much time, of the last whole one and what has begun since."""

HELD_SPAN_S = 1.0


class Work:
    """One writer, the thread that applies; any thread may read."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._spent: dict[str, float] = {}
        self._last: tuple[float, dict[str, float]] = (0.0, {})
        self.current: tuple[str, float] | None = None
        """The table being written, and since when, in monotonic seconds."""

    @contextmanager
    def on(self, table: str) -> Iterator[None]:
        """The block's time is the table's."""
        begun = time.monotonic()
        self.current = (table, begun)
        try:
            yield
        finally:
            self.current = None
            now = time.monotonic()
            self._spent[table] = self._spent.get(table, 0.0) + now - begun
            if now - self._begun >= SPAN_S:
                self._last, self._spent, self._begun = (now - self._begun, self._spent), {}, now

    def slowest(self) -> tuple[str, float]:
        """The table that took most of the time, and its share of it, 0 to 1; "" and 0 when nothing was written lately."""
        now = time.monotonic()
        span, before = self._last
        if now - self._begun > 2 * SPAN_S:
            span, before = 0.0, {}
        spent = before | {table: seconds + before.get(table, 0.0) for table, seconds in dict(self._spent).items()}
        current = self.current
        if current is not None and now - current[1] >= SPAN_S:
            return current[0], 1.0  # all of it
        if current is not None:
            spent[current[0]] = spent.get(current[0], 0.0) + now - current[1]
        table = max(spent, key=spent.__getitem__, default="")
        return (table, min(1.0, spent[table] / (span + now - self._begun))) if table else ("", 0.0)


class Held:
    """How much of its time the reading thread waits until the applier takes what it has read.

    One writer, the thread that reads; any thread may ask. What is unread then waits for the applier and not for Kafka.
    """

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._spent = 0.0
        self._since = 0.0
        """When it began to wait; 0 while it does not."""
        self._last = 0.0
        """Share of the span before."""

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The block is the wait."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            now, since, self._since = time.monotonic(), self._since, 0.0
            self._spent += now - since
            if now - self._begun >= HELD_SPAN_S:
                self._last, self._spent, self._begun = self._spent / (now - self._begun), 0.0, now

    @property
    def mostly(self) -> bool:
        """True when it was more than half of the last second or so."""
        now, since = time.monotonic(), self._since
        span = now - self._begun
        if span < HELD_SPAN_S:
            return self._last > 0.5
        return self._spent + (now - since if since else 0.0) > span / 2
