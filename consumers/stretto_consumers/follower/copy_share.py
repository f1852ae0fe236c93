"""How much of a first copy is done, table by table. Pure: no I/O and no clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from stretto_consumers.follower.add_progress import PlannedTable
from stretto_schemas.follower_state import MOST_TABLES, TableCopy

NEARLY: Final = 0.99
"""Estimates of rows may be too low, and indexes come after the rows: what is not finished is never more done than this."""


class CopyShare:
    """Told what is copied; never goes back. Tables count by their size."""

    def __init__(self) -> None:
        self._tables: dict[str, PlannedTable] = {}
        self._rows: dict[str, int] = {}
        self._finished: set[str] = set()

    def planned(self, tables: Sequence[PlannedTable]) -> None:
        """These tables will be copied. Leaves of a partitioned table come one by one."""
        self._tables = {table.name: table for table in sorted(tables, key=lambda each: -each.size_bytes)}
        self._rows = dict.fromkeys(self._tables, 0)

    def copied(self, table: str, rows: int) -> None:
        """So many more rows are on the follower."""
        self._rows[table] = self._rows.get(table, 0) + rows

    def finished(self, table: str, rows: int) -> None:
        """All rows of the table are there."""
        self._rows[table] = rows
        self._finished.add(table)

    @property
    def share(self) -> float:
        """Part that is done, 0 to `NEARLY`: the copy's end is for the caller to tell."""
        if not self._tables:
            return 0.0
        whole = sum(_weight(table) for table in self._tables.values())
        done = sum(_weight(table) * self._of(name) for name, table in self._tables.items())
        return min(NEARLY, done / whole)

    def _of(self, name: str) -> float:
        if name in self._finished:
            return 1.0
        expected = self._tables[name].rows
        return min(NEARLY, self._rows[name] / expected) if expected > 0 else 0.0

    @property
    def waiting(self) -> list[TableCopy]:
        """Tables that are not finished, largest first, at most `MOST_TABLES`."""
        left = [name for name in self._tables if name not in self._finished]
        return [TableCopy(name, self._rows[name], max(0, self._tables[name].rows)) for name in left[:MOST_TABLES]]


def _weight(table: PlannedTable) -> int:
    """An empty table is worth a little, for it takes a moment too."""
    return max(1, table.size_bytes)
