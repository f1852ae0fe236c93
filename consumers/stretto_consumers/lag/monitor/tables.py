"""The monitor's tables: windows of lag and of what went through, kept in Kafka as changelogs.

Every table has one partition, as the topics have that it is made from, so one monitor of a group holds them all and the
others stand by. Faust forgets neither keys that it read back from a changelog nor those of a stand-by, so what is older
than `KEPT_S` is swept here; in Kafka it goes by retention.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Generic, TypeVar

import msgspec
from faust import App, HoppingWindow, Table, TumblingWindow

from stretto_consumers.lag.monitor.folds import FlowWindow, LagWindow, Mark
from stretto_schemas.names import FLOW_TABLES, LAG_TABLES, MARKS_TABLE

V = TypeVar("V")

MINUTE_S: Final = 60
HOPPING_S: Final = 300
STEP_S: Final = 60
KEPT_S: Final = 2 * 3600
"""How long a window is kept after its end: twice what charts show at most at full resolution."""

Span = tuple[float, float]
"""Begin and end of a window, seconds since 1970 by the broker's clock."""


class OnePartition(Table[Any, Any]):
    """A table with one partition, which may be changed while a batch of records is folded."""

    def partition_for_key(self, key: Any) -> int:  # noqa: ARG002 - Faust's signature
        """The only one there is."""
        return 0


class Kept(Generic[V]):
    """One table, with values of one kind."""

    def __init__(self, app: App, name: str, kind: type[V]) -> None:
        self.name = name
        self._kind = kind
        self._table = app.Table(name, partitions=1)

    def get(self, key: Any) -> V | None:
        """The value, if there is one."""
        found = self._table.get(key)
        return msgspec.convert(found, self._kind) if found is not None else None

    def put(self, key: Any, value: V) -> None:
        """Set it, and say so in the changelog."""
        self._table[key] = msgspec.to_builtins(value)

    def drop(self, key: Any) -> None:
        """Take it away, also from the changelog."""
        if key in self._table:
            del self._table[key]

    def items(self) -> list[tuple[Any, V]]:
        """All there is, as of now; may be called from any thread."""
        return [(key, msgspec.convert(value, self._kind)) for key, value in list(self._table.data.items())]


class Windows(Kept[V]):
    """A windowed table: keys are a name and a span."""

    def __init__(self, app: App, name: str, kind: type[V], window: HoppingWindow) -> None:
        super().__init__(app, name, kind)
        self._window = window

    def spans(self, at_us: int) -> Iterator[tuple[float, float]]:
        """The windows that a moment lies in."""
        yield from self._window.ranges(at_us / 1e6)

    def sweep(self) -> int:
        """Forget windows that ended long before the newest one, whatever this machine's clock says. Returns how many."""
        data = self._table.data
        ends = [key[1][1] for key in list(data)]
        oldest_s = max(ends, default=0.0) - KEPT_S
        old = [key for key in list(data) if key[1][1] < oldest_s]
        for key in old:
            data.pop(key, None)
        return len(old)


class Tables:
    """All of one application."""

    def __init__(self, app: App) -> None:
        spans: tuple[HoppingWindow, ...] = (TumblingWindow(MINUTE_S), HoppingWindow(HOPPING_S, STEP_S))
        self.lag = [Windows(app, name, LagWindow, span) for name, span in zip(LAG_TABLES, spans, strict=True)]
        self.flow = [Windows(app, name, FlowWindow, span) for name, span in zip(FLOW_TABLES, spans, strict=True)]
        self.marks = Kept(app, MARKS_TABLE, Mark)

    def sweep(self) -> int:
        """Of every windowed table."""
        return sum(windows.sweep() for windows in self.lag) + sum(windows.sweep() for windows in self.flow)
