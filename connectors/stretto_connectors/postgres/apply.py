"""Set-based SQL that brings a table to the state after a batch. All of it runs in the caller's transaction.

Rows travel by COPY into temporary staging tables. Where a table has secondary unique keys, every touched row is deleted
before any final row is inserted, so no order of statements can violate a constraint: each row present is untouched or final.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from stretto_connectors.failpoints import failpoint
from stretto_connectors.postgres.targets import Target
from stretto_schemas.errors import Divergence

Connection = psycopg.Connection[tuple[Any, ...]]
Chunks = list[bytes]

COUNT_COLUMN = "stretto count"
"""Staging column of keyless tables: how many copies of the row. No table's column is likely to have a space in it."""

SOURCE_PREFIX = "stretto source "
"""Staging columns with the key, before the batch, of the row that still has a row's unsent values."""


@dataclass(slots=True)
class Partial:
    """Rows that lack the values of `missing` columns, each with the key of the old row that has them."""

    missing: tuple[str, ...]
    rows: Chunks
    count: int


@dataclass(slots=True)
class TableChanges:
    """The net effect of a batch on one table, as COPY text over `columns`."""

    columns: tuple[str, ...]
    key: tuple[str, ...]
    """Empty: a table without key; then only `inserts` and `removed` are there."""
    inserts: Chunks = field(default_factory=list)
    """Rows whose key was not there before."""
    insert_count: int = 0
    updates: Chunks = field(default_factory=list)
    """Whole rows that replace the one with their key."""
    update_count: int = 0
    update_keys: Chunks = field(default_factory=list)
    deletes: Chunks = field(default_factory=list)
    """Keys of rows that go."""
    delete_count: int = 0
    partials: list[Partial] = field(default_factory=list)
    moved: bool = False
    """True when a partial row takes its values from a row with another key."""
    removed: Chunks = field(default_factory=list)
    """Whole rows of a keyless table, with the number of copies to remove."""
    removed_count: int = 0


class Applier:
    """Applies changes over one session; keeps the session's staging tables."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._staging: dict[tuple[Any, ...], sql.Identifier] = {}

    def forget(self) -> None:
        """Tables changed their shape: make staging tables anew."""
        self._staging.clear()

    def apply(self, target: Target, changes: TableChanges) -> None:
        """Write one table's changes. Raises Divergence when a row that must be there is not."""
        if not changes.key:
            self._keyless(target, changes)
        elif changes.moved or target.restricted_beside(changes.key):
            self._replace(target, changes)
        else:
            self._in_place(target, changes)
        if changes.insert_count:
            self._copy(target.plain, changes.columns, changes.inserts)

    def _in_place(self, target: Target, changes: TableChanges) -> None:
        if changes.delete_count:
            keys = self._stage(target, changes.key, changes.deletes)
            self._delete(target, keys, changes.key, changes.delete_count)
        if changes.update_count:
            self._update(target, changes.columns, changes.key, changes.updates, changes.update_count)
        for partial in changes.partials:
            present = tuple(column for column in changes.columns if column not in partial.missing)
            rows = self._stage(target, changes.columns, partial.rows, sources=changes.key)
            self._run_update(target, rows, present, changes.key, partial.count)

    def _update(self, target: Target, columns: tuple[str, ...], key: tuple[str, ...], rows: Chunks, count: int) -> None:
        staged = self._stage(target, columns, rows)
        self._run_update(target, staged, columns, key, count)

    def _run_update(
        self, target: Target, staged: sql.Identifier, columns: tuple[str, ...], key: tuple[str, ...], count: int
    ) -> None:
        changed = [column for column in columns if column not in key]
        if not changed:
            return
        assignments = sql.SQL(", ").join(sql.SQL("{0} = s.{0}").format(sql.Identifier(column)) for column in changed)
        statement = sql.SQL("update {} t set {} from {} s where {}").format(
            target.identifier, assignments, staged, _same("t", "s", key)
        )
        self._expect(target, self._conn.execute(statement).rowcount, count, "update")

    def _delete(self, target: Target, staged: sql.Identifier, key: tuple[str, ...], count: int) -> None:
        statement = sql.SQL("delete from {} t using {} s where {}").format(
            target.identifier, staged, _same("t", "s", key)
        )
        self._expect(target, self._conn.execute(statement).rowcount, count, "delete")

    def _replace(self, target: Target, changes: TableChanges) -> None:
        key, count = changes.key, changes.delete_count + changes.update_count
        extra = [column for column in target.columns if column not in changes.columns]
        count += sum(partial.count for partial in changes.partials) if not changes.moved else 0
        if not changes.delete_count and not changes.update_count and not changes.partials:
            return
        keys = self._stage(target, key, changes.deletes + changes.update_keys)
        gone = self._empty(target, tuple(target.columns), role="gone")
        columns = sql.SQL(", ").join(map(sql.Identifier, target.columns))
        returned = sql.SQL(", ").join(sql.Identifier("t", column) for column in target.columns)
        statement = sql.SQL(
            "with d as (delete from {} t using {} s where {} returning {}) insert into {} ({}) select * from d"
        ).format(target.identifier, keys, _same("t", "s", key), returned, gone, columns)
        done = self._conn.execute(statement).rowcount
        if not changes.moved:
            self._expect(target, done, count, "update or delete")
        if changes.update_count:
            staged = self._stage(target, changes.columns, changes.updates)
            self._insert(target, staged, gone, changes.columns, tuple(extra), key, key, changes.update_count)
        sources = tuple(SOURCE_PREFIX + column for column in key)
        for partial in changes.partials:
            staged = self._stage(target, changes.columns, partial.rows, sources=key)
            present = tuple(column for column in changes.columns if column not in partial.missing)
            self._insert(target, staged, gone, present, (*partial.missing, *extra), key, sources, partial.count)

    def _insert(
        self,
        target: Target,
        staged: sql.Identifier,
        gone: sql.Identifier,
        given: tuple[str, ...],
        kept: tuple[str, ...],
        key: tuple[str, ...],
        sources: tuple[str, ...],
        count: int,
    ) -> None:
        columns = sql.SQL(", ").join(map(sql.Identifier, given + kept))
        values = sql.SQL(", ").join(
            [sql.Identifier("s", column) for column in given] + [sql.Identifier("g", column) for column in kept]
        )
        old: sql.Composable = sql.SQL("")
        if kept:
            on = sql.SQL(" and ").join(
                sql.SQL("{} = {}").format(sql.Identifier("g", column), sql.Identifier("s", source))
                for column, source in zip(key, sources, strict=True)
            )
            old = sql.SQL(" join {} g on {}").format(gone, on)
        statement = sql.SQL("insert into {} ({}) overriding system value select {} from {} s{}").format(
            target.plain, columns, values, staged, old
        )
        self._expect(target, self._conn.execute(statement).rowcount, count, "move or update")

    def _keyless(self, target: Target, changes: TableChanges) -> None:
        if not changes.removed_count:
            return
        staged = self._stage(target, changes.columns, changes.removed, counted=True)
        row = _row_text(changes.columns, "t")
        statement = sql.SQL(
            "delete from {table} t using (select ctid, tableoid, row_number() over (partition by {row}) as n, {row} as r"
            " from {table} t) have, (select {staged_row} as r, {count} as n from {staged} s) s"
            " where t.ctid = have.ctid and t.tableoid = have.tableoid and have.r = s.r and have.n <= s.n"
        ).format(
            table=target.identifier,
            row=row,
            staged_row=_row_text(changes.columns, "s"),
            count=sql.Identifier("s", COUNT_COLUMN),
            staged=staged,
        )
        self._expect(target, self._conn.execute(statement).rowcount, changes.removed_count, "delete")

    def _stage(
        self,
        target: Target,
        columns: tuple[str, ...],
        rows: Chunks,
        *,
        sources: tuple[str, ...] = (),
        counted: bool = False,
    ) -> sql.Identifier:
        staged = self._empty(target, columns, sources=sources, counted=counted)
        names = columns + tuple(SOURCE_PREFIX + column for column in sources) + ((COUNT_COLUMN,) if counted else ())
        self._copy(staged, names, rows)
        failpoint("follower.after_staging")
        return staged

    def _empty(
        self,
        target: Target,
        columns: tuple[str, ...],
        *,
        sources: tuple[str, ...] = (),
        counted: bool = False,
        role: str = "staged",
    ) -> sql.Identifier:
        """An empty staging table; made at its first use in the session, emptied after."""
        place = (role, target.oid, columns, sources, counted)
        staged = self._staging.get(place)
        if staged is not None:
            self._conn.execute(sql.SQL("delete from {}").format(staged))
            return staged
        staged = sql.Identifier("pg_temp", f"stretto_{len(self._staging)}")
        parts = [sql.Identifier(column) for column in columns] + [
            sql.SQL("{} as {}").format(sql.Identifier(column), sql.Identifier(SOURCE_PREFIX + column))
            for column in sources
        ]
        if counted:
            parts.append(sql.SQL("0::bigint as {}").format(sql.Identifier(COUNT_COLUMN)))
        self._conn.execute(
            sql.SQL("create temp table {} on commit delete rows as select {} from {} with no data").format(
                staged, sql.SQL(", ").join(parts), target.plain
            )
        )
        self._staging[place] = staged
        return staged

    def _copy(self, table: sql.Identifier, columns: tuple[str, ...], rows: Chunks) -> None:
        statement = sql.SQL("copy {} ({}) from stdin").format(table, sql.SQL(", ").join(map(sql.Identifier, columns)))
        with self._conn.cursor() as cursor, cursor.copy(statement) as copy:
            for chunk in rows:
                copy.write(chunk)

    def _expect(self, target: Target, found: int, expected: int, verb: str) -> None:
        if found != expected:
            raise Divergence(
                f"{expected - found} of {expected} rows to {verb} are not in the follower's table {target.schema}.{target.name}",
                expected="the rows that the source had: nobody else writes a follower's tables",
                fix="find them with `stretto verify`, then copy the table again with `stretto follower add`; nothing was applied",
            )


def _same(left: str, right: str, key: tuple[str, ...]) -> sql.Composable:
    return sql.SQL(" and ").join(
        sql.SQL("{} = {}").format(sql.Identifier(left, column), sql.Identifier(right, column)) for column in key
    )


def _row_text(columns: tuple[str, ...], alias: str) -> sql.Composable:
    return sql.SQL("row({})::text").format(sql.SQL(", ").join(sql.Identifier(alias, column) for column in columns))
