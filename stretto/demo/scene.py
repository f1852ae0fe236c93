"""What there is to show at a moment of the demo, on a screen or as lines."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from stretto.demo.load import Progress
from stretto.demo.watch import Look

Kind = Literal["killed", "back", "seen", "note"]


@dataclass(frozen=True)
class Event:
    """Something that happened, `at_s` seconds after the load's start."""

    at_s: float
    kind: Kind
    text: str


@dataclass(frozen=True)
class LoadCounts:
    """What the load has committed so far."""

    pgbench_transactions: int
    writer: Progress

    @property
    def transactions(self) -> int:
        """Of both."""
        return self.pgbench_transactions + self.writer.transactions

    @property
    def rows(self) -> int:
        """Of both: a transaction of pgbench changes four."""
        return 4 * self.pgbench_transactions + self.writer.rows


@dataclass
class Scene:
    """The demo as it stands. One thread writes it."""

    seconds: float
    """How long the load is meant to last."""
    servers: Mapping[str, int]
    """Ports of leader, kafka and follower."""
    act: str = ""
    looks: Sequence[Look] = ()
    counts: LoadCounts = field(default_factory=lambda: LoadCounts(0, Progress()))
    events: list[Event] = field(default_factory=list)
    began: float | None = None
    """When the load began, by the monotonic clock."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the load began; 0 before."""
        return time.monotonic() - self.began if self.began is not None else 0.0

    def happened(self, kind: Kind, text: str) -> Event:
        """Note an event now."""
        event = Event(self.elapsed_s, kind, text)
        self.events.append(event)
        return event


def clock(seconds: float) -> str:
    """`1:05`."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
