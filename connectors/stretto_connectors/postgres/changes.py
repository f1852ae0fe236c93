"""What a batch does to one table, ready for SQL."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Row = tuple[Any, ...]

Chunks = list[bytes]
"""Rows in COPY's text format."""


@dataclass(slots=True)
class Rows:
    """Rows of one statement: as values, or when there are many of them as COPY text."""

    count: int = 0
    values: list[Row] = field(default_factory=list)
    """Empty where there are `chunks`."""
    chunks: Chunks | None = None

    def __len__(self) -> int:
        return self.count


@dataclass(slots=True)
class Partial:
    """Rows without the `missing` columns, each followed by the key of the old row that has their values."""

    missing: tuple[str, ...]
    rows: Rows


@dataclass(slots=True)
class TableChanges:
    """The net effect of a batch on one table. Rows are over `columns`, keys over `key`."""

    columns: tuple[str, ...]
    key: tuple[str, ...]
    """Empty: a table without key; then only `inserts` and `removed` are there."""
    inserts: Rows = field(default_factory=Rows)
    """Rows whose key was not there before."""
    updates: Rows = field(default_factory=Rows)
    """Whole rows that replace the one with their key."""
    partials: list[Partial] = field(default_factory=list)
    deletes: Rows = field(default_factory=Rows)
    """Keys of rows that go."""
    replaced: Rows = field(default_factory=Rows)
    """Keys of rows that go, or that `updates` and `partials` replace: filled where rows are deleted before any is put."""
    moved: bool = False
    """True when a partial row takes its values from a row with another key."""
    removed: Rows = field(default_factory=Rows)
    """Whole rows of a keyless table, each followed by the number of copies to remove."""
    removed_copies: int = 0
    """All these numbers together."""
