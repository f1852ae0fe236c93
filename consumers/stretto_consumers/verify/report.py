"""The answer of a comparison."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from stretto_connectors.postgres.checksum import Key

LISTED: Final = 100
"""Differences of one table that are kept one by one; beyond, they are only counted."""

Kind = Literal["missing", "surplus", "changed"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that differs. `missing`: the follower lacks it; `surplus`: only the follower has it."""

    kind: Kind
    key: Key = field(repr=False)
    """A cell's value: shown only when asked for. Empty for a row without key."""

    @property
    def key_hash(self) -> str:
        """16 hexadecimal digits that stand for the key: the same row gives the same ones each time."""
        return hashlib.sha256("\0".join(self.key).encode()).hexdigest()[:16]


@dataclass(slots=True)
class TableReport:
    """One table. `problem` says why its rows could not be compared at all."""

    schema: str
    name: str
    rows: int = 0
    """On the leader, as it was read."""
    missing: int = 0
    surplus: int = 0
    changed: int = 0
    undecided: int = 0
    """Rows that changed on the leader every time they were looked at (without a key: kinds of rows)."""
    problem: str | None = None
    differences: list[Difference] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """True when every row was shown to be equal."""
        return not (self.missing or self.surplus or self.changed or self.undecided or self.problem)

    @property
    def qualified(self) -> str:
        """`schema.table`."""
        return f"{self.schema}.{self.name}"

    def add(self, kind: Kind, key: Key, count: int = 1) -> None:
        """Count a difference, and keep it while there are few."""
        setattr(self, kind, getattr(self, kind) + count)
        if key and len(self.differences) < LISTED:
            self.differences.append(Difference(kind, key))

    def as_json(self, *, show_keys: bool = False) -> dict[str, Any]:
        """For `-f json`; keys only with `show_keys`."""
        return {
            "table": self.qualified,
            "equal": self.equal,
            "rows": self.rows,
            "missing": self.missing,
            "surplus": self.surplus,
            "changed": self.changed,
            "undecided": self.undecided,
            "problem": self.problem,
            "differences": [
                {"kind": each.kind, "key_hash": each.key_hash, **({"key": list(each.key)} if show_keys else {})}
                for each in self.differences
            ],
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All tables. `lsn`: the follower had passed this LSN of the leader when the last table was compared."""

    tables: tuple[TableReport, ...]
    lsn: int

    @property
    def equal(self) -> bool:
        """True when every row of every table was shown to be equal: exit code 0."""
        return all(table.equal for table in self.tables)

    @property
    def differing(self) -> tuple[TableReport, ...]:
        """The tables that were not shown to be equal."""
        return tuple(table for table in self.tables if not table.equal)
