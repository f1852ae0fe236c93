"""Set-based SQL that brings a table to the state after a batch. All of it runs in the caller's transaction.

Few rows travel as one JSON parameter of the statement itself, many by COPY into a temporary staging table; the statements
are the same. Where a table has secondary unique keys, every touched row is deleted before any final row is inserted, so no
order of statements can violate a constraint: each row present is untouched or final.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import psycopg
from psycopg import sql

from stretto_connectors.failpoints import failpoint
from stretto_connectors.postgres.changes import Chunks, Row, Rows, TableChanges
from stretto_connectors.postgres.connection import Connection
from stretto_connectors.postgres.targets import Target
from stretto_schemas.errors import Divergence
from stretto_schemas.repairs import COPY_AGAIN

COUNT_COLUMN = "stretto count"
"""Staging column of keyless tables: how many copies of the row. No table's column is likely to have a space in it."""

SOURCE_PREFIX = "stretto source "
"""Staging columns with the key, before the batch, of the row that still has a row's unsent values."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a statement's rows come from: a FROM item under the alias `s`, and each column's typed expression."""

    item: sql.Composable
    columns: Mapping[str, sql.Composable]
    parameters: list[str]
    signature: tuple[Any, ...]
    """What the text of a statement over it depends on."""


class Applier:
    """Applies changes over one session; keeps the session's staging tables and the text of its statements."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._cursor = psycopg.RawCursor(conn)
        self._staging: dict[tuple[Any, ...], sql.Identifier] = {}
        self._statements: dict[tuple[Any, ...], bytes] = {}

    def forget(self) -> None:
        """Tables changed their shape: make staging tables and statements anew."""
        self._staging.clear()
        self._statements.clear()

    def apply(self, target: Target, changes: TableChanges) -> None:
        """Write one table's changes. Raises Divergence when a row that must be there is not."""
        if not changes.key:
            self._remove_copies(target, changes)
        elif changes.moved or target.replaces(changes.key):
            self._replace(target, changes)
        else:
            self._in_place(target, changes)
        if changes.inserts.chunks is not None:
            self._copy(target.plain, changes.columns, changes.inserts.chunks)
        elif changes.inserts:
            self._insert(target, changes.columns, changes.inserts)

    # --- tables whose only constraint is the key ----------------------------------------------------------------------

    def _in_place(self, target: Target, changes: TableChanges) -> None:
        key = changes.key
        if changes.deletes:
            source = self._source(target, key, changes.deletes)
            done = self._run(
                ("delete", target.oid, key, source.signature), lambda: _delete(target, source, key), source
            )
            self._expect(target, done, len(changes.deletes), "delete")
        if changes.updates:
            self._update(
                target,
                self._source(target, changes.columns, changes.updates),
                changes.columns,
                key,
                len(changes.updates),
            )
        for partial in changes.partials:
            present = tuple(column for column in changes.columns if column not in partial.missing)
            source = self._source(target, present, partial.rows, sources=key)
            self._update(target, source, present, key, len(partial.rows))

    def _update(
        self, target: Target, source: Source, columns: tuple[str, ...], key: tuple[str, ...], count: int
    ) -> None:
        changed = [column for column in columns if column not in key]
        if changed:
            done = self._run(
                ("update", target.oid, columns, key, source.signature),
                lambda: _update(target, source, changed, key),
                source,
            )
            self._expect(target, done, count, "update")

    # --- tables with more constraints, and rows that move -------------------------------------------------------------

    def _replace(self, target: Target, changes: TableChanges) -> None:
        key, columns = changes.key, changes.columns
        if not changes.replaced:
            return
        extra = tuple(column for column in target.columns if column not in columns)
        gone = self._delete_replaced(target, changes, keep=bool(extra or changes.partials))
        if changes.updates:
            if extra:
                source = self._source(target, columns, changes.updates)
                self._insert_with(target, source, gone, columns, extra, key, key, len(changes.updates))
            else:
                self._insert(target, columns, changes.updates)
        sources = tuple(SOURCE_PREFIX + column for column in key)
        for partial in changes.partials:
            present = tuple(column for column in columns if column not in partial.missing)
            source = self._source(target, present, partial.rows, sources=key)
            self._insert_with(
                target, source, gone, present, (*partial.missing, *extra), key, sources, len(partial.rows)
            )

    def _delete_replaced(self, target: Target, changes: TableChanges, *, keep: bool) -> sql.Identifier:
        """Delete all that goes or is replaced; with `keep` into a table from which unsent values are taken."""
        key = changes.key
        source = self._source(target, key, changes.replaced)
        gone = sql.Identifier("pg_temp", "stretto_none")
        delete = _delete(target, source, key)
        if keep:
            gone = self._empty(target, tuple(target.columns), role="gone")
            returned = sql.SQL(", ").join(sql.Identifier("t", column) for column in target.columns)
            names = sql.SQL(", ").join(map(sql.Identifier, target.columns))
            delete = sql.SQL("with d as ({} returning {}) insert into {} ({}) select * from d").format(
                delete, returned, gone, names
            )
        done = self._run(("replace", target.oid, key, keep, source.signature), lambda: delete, source)
        self._expect(target, done, len(changes.replaced), "update or delete")
        return gone

    def _insert(self, target: Target, columns: tuple[str, ...], rows: Rows) -> None:
        if rows.chunks is not None:
            self._copy(target.plain, columns, rows.chunks)
            return
        source = self._source(target, columns, rows)
        self._run(
            ("insert", target.oid, columns, source.signature),
            lambda: _insert(target, columns, [source.columns[column] for column in columns], source.item),
            source,
        )

    def _insert_with(
        self,
        target: Target,
        source: Source,
        gone: sql.Identifier,
        given: tuple[str, ...],
        kept: tuple[str, ...],
        key: tuple[str, ...],
        sources: tuple[str, ...],
        count: int,
    ) -> None:
        """Insert rows whose `kept` columns come from the rows that are gone, found by their key in `sources`."""
        on = sql.SQL(" and ").join(
            sql.SQL("{} = {}").format(sql.Identifier("g", column), source.columns[name])
            for column, name in zip(key, sources, strict=True)
        )
        values = [source.columns[column] for column in given] + [sql.Identifier("g", column) for column in kept]
        item = sql.SQL("{} join {} g on {}").format(source.item, gone, on)
        done = self._run(None, lambda: _insert(target, given + kept, values, item), source)
        self._expect(target, done, count, "move or update")

    # --- tables without key -------------------------------------------------------------------------------------------

    def _remove_copies(self, target: Target, changes: TableChanges) -> None:
        if not changes.removed:
            return
        source = self._source(target, changes.columns, changes.removed, counted=True)

        def statement() -> sql.Composable:
            mine = _row_text([sql.Identifier("t", column) for column in changes.columns])
            return sql.SQL(
                "delete from {table} t using (select ctid, tableoid, row_number() over (partition by {mine}) as n,"
                " {mine} as r from {table} t) have, (select {theirs} as r, {count} as n from {item}) s"
                " where t.ctid = have.ctid and t.tableoid = have.tableoid and have.r = s.r and have.n <= s.n"
            ).format(
                table=target.identifier,
                mine=mine,
                theirs=_row_text([source.columns[column] for column in changes.columns]),
                count=source.columns[COUNT_COLUMN],
                item=source.item,
            )

        done = self._run(("remove", target.oid, changes.columns, source.signature), statement, source)
        self._expect(target, done, changes.removed_copies, "delete")

    # --- sources of rows ----------------------------------------------------------------------------------------------

    def _source(
        self,
        target: Target,
        columns: tuple[str, ...],
        rows: Rows,
        *,
        sources: tuple[str, ...] = (),
        counted: bool = False,
    ) -> Source:
        """The rows as a FROM item: the statement's JSON parameter, or a staging table that they are copied into."""
        types = [(column, target.columns[column]) for column in columns]
        types += [(SOURCE_PREFIX + column, target.columns[column]) for column in sources]
        json_names = target.json_columns | {SOURCE_PREFIX + column for column in target.json_columns}
        types += [(COUNT_COLUMN, "bigint")] if counted else []
        if rows.chunks is None:
            return _parameter(types, json_names, rows.values, (columns, sources, counted))
        staged = self._empty(target, columns, sources=sources, counted=counted)
        self._copy(staged, tuple(name for name, _ in types), rows.chunks)
        failpoint("follower.after_staging")
        named = {name: sql.Identifier("s", name) for name, _ in types}
        return Source(sql.SQL("{} s").format(staged), named, [], (staged.as_string(), columns, sources, counted))

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
        self._conn.execute(sql.SQL("drop table if exists {}").format(staged))
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

    def _run(self, place: tuple[Any, ...] | None, make: Callable[[], sql.Composable], source: Source) -> int:
        """Execute a statement, whose text is made once; return how many rows it touched."""
        text = self._statements.get(place) if place is not None else None
        if text is None:
            text = make().as_bytes(self._conn)
            if place is not None:
                self._statements[place] = text
        return self._cursor.execute(text, source.parameters or None, prepare=bool(place)).rowcount

    def _expect(self, target: Target, found: int, expected: int, verb: str) -> None:
        if found != expected:
            raise Divergence(
                f"{expected - found} of {expected} rows to {verb} are not in the follower's table {target.schema}.{target.name}",
                expected="the rows that the source had: nobody else writes a follower's tables",
                fix=f"find them with `stretto verify`, then {COPY_AGAIN}; nothing of it was applied",
            )


def _parameter(
    types: list[tuple[str, str]], json_names: frozenset[str], rows: list[Row], signature: tuple[Any, ...]
) -> Source:
    """Rows as the JSON parameter $1. A JSON string goes through the input function of the column's type, as COPY does it.

    Only json itself would take the string for a value: its text is read as text and cast, which is its input function.
    """
    names = [f"c{i}" for i in range(len(types))]
    declared = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL("text" if column in json_names else type_name))
        for name, (column, type_name) in zip(names, types, strict=True)
    )
    columns: dict[str, sql.Composable] = {}
    for name, (column, type_name) in zip(names, types, strict=True):
        value = sql.Identifier("s", name)
        columns[column] = sql.SQL("{}::{}").format(value, sql.SQL(type_name)) if column in json_names else value
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    item = sql.SQL("json_to_recordset($1::json) as s({})").format(declared)
    return Source(item, columns, [msgspec.json.encode(objects).decode()], ("parameter", *signature))


def _delete(target: Target, source: Source, key: tuple[str, ...]) -> sql.Composable:
    return sql.SQL("delete from {} t using {} where {}").format(target.identifier, source.item, _same(source, key))


def _update(target: Target, source: Source, changed: list[str], key: tuple[str, ...]) -> sql.Composable:
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(column), source.columns[column]) for column in changed
    )
    return sql.SQL("update {} t set {} from {} where {}").format(
        target.identifier, assignments, source.item, _same(source, key)
    )


def _insert(
    target: Target, columns: tuple[str, ...], values: list[sql.Composable], item: sql.Composable
) -> sql.Composable:
    return sql.SQL("insert into {} ({}) overriding system value select {} from {}").format(
        target.plain, sql.SQL(", ").join(map(sql.Identifier, columns)), sql.SQL(", ").join(values), item
    )


def _same(source: Source, key: tuple[str, ...]) -> sql.Composable:
    return sql.SQL(" and ").join(
        sql.SQL("{} = {}").format(sql.Identifier("t", column), source.columns[column]) for column in key
    )


def _row_text(columns: list[sql.Composable]) -> sql.Composable:
    return sql.SQL("row({})::text").format(sql.SQL(", ").join(columns))
