"""What a step of the demo's writer works with: a connection, random numbers, and the count of what it changed."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from stretto.demo.literals import TEXTS
from stretto.demo.wide import Wide


@dataclass
class Session:
    """One connection, its random numbers, and the rows changed by table since the last commit or roll-back.

    Rows that a cascade changes are not counted; a TRUNCATE counts as one.
    """

    conn: psycopg.Connection[Any]
    rng: random.Random
    wide: Wide
    counts: Counter[str] = field(default_factory=Counter)

    def write(self, table: str, statement: LiteralString, *values: object) -> int:
        """Run a statement that changes rows of the table, `{table}` in it; returns how many."""
        query = sql.SQL(statement).format(table=sql.Identifier(table))
        changed = max(0, self.conn.execute(query, values or None).rowcount)
        self.counts[table] += changed
        return changed

    def keys(self, table: str, key: str, n: int) -> list[int]:
        """Up to n neighbouring keys from a random place, locked in key order."""
        names = {"table": sql.Identifier(table), "key": sql.Identifier(key)}
        ends = self.conn.execute(sql.SQL("select min({key}), max({key}) from {table}").format(**names)).fetchone()
        if ends is None or ends[0] is None:
            return []
        near = sql.SQL("select {key} from {table} where {key} >= %s order by {key} limit %s for update")
        return [row[0] for row in self.conn.execute(near.format(**names), (self.rng.randint(*ends), n))]

    def rekey(self, table: str, n: int) -> None:
        """Give up to n neighbouring rows the sequence's next ids, one statement each: within one, the plan says who is first."""
        for key in self.keys(table, "id", n):
            self.write(
                table, "update {table} set id = nextval(pg_get_serial_sequence(%s, 'id')) where id = %s", table, key
            )

    def text(self) -> str:
        """One of the texts that bend a pipeline."""
        return self.rng.choice(TEXTS)

    def some(self, most: int) -> int:
        """A number from 1 to most."""
        return self.rng.randint(1, most)
