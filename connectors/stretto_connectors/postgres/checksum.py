"""Checksums of rows, computed by the server: by ranges of the key, by single keys, or of a whole table.

A row's checksum is the 64-bit hash of its text under the fixed session settings; a range's is the sum of its rows', which
does not depend on their order and sees a row that is there twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

Connection = psycopg.Connection[tuple[Any, ...]]

Key = tuple[str, ...]
"""The key of a row, column by column, as PostgreSQL prints it. It is a cell's value: not for logs."""

FETCH_ROWS: Final = 10_000
"""Rows that a cursor hands over at a time."""


@dataclass(frozen=True, slots=True)
class Version:
    """A row as it was read. Without a key: all rows with the same checksum, which is their key."""

    content: int
    """To be compared between sides: the checksum; without a key, the number of rows."""
    written_by: str
    """To be compared within a side: xmin; without a key, the sum of the rows' xmin."""


@dataclass(frozen=True, slots=True)
class Sum:
    """Rows and the sum of their checksums."""

    rows: int
    total: int


@dataclass(frozen=True, slots=True)
class Shape:
    """A table as a catalog has it."""

    kind: str
    """`pg_class.relkind`."""
    columns: dict[str, str]
    """Name and type, in order."""
    generated: frozenset[str]
    key: tuple[str, ...]
    """Columns of the primary key, or of the replica identity's index."""


@dataclass(frozen=True, slots=True)
class Summed:
    """A table on one side, with the columns and the key that both sides share."""

    conn: Connection
    schema: str
    name: str
    partitioned: bool
    columns: tuple[str, ...]
    key: tuple[tuple[str, str], ...]
    """Name and type of each column of the key; empty: rows are compared as a multiset."""
    row_filter: str | None

    def boundary(self, after: Key | None, rows: int) -> Key | None:
        """The key that stands `rows` rows behind `after` (None: the beginning); None when the table ends before."""
        query = sql.SQL("select {} from {} where {} order by {} offset %(rows)s limit 1").format(
            self._key_text(), self._table(), self._range(after, None), self._key_columns()
        )
        row = self.conn.execute(query, {"rows": rows, **_bounds(after, None)}).fetchone()
        return None if row is None else tuple(row)

    def range_sum(self, start: Key | None, end: Key | None) -> Sum:
        """Of the rows with start <= key < end; None is open."""
        query = sql.SQL("select count(*), coalesce(sum({}), 0) from {} where {}").format(
            self._checksum(), self._table(), self._range(start, end)
        )
        row = self.conn.execute(query, _bounds(start, end)).fetchone()
        assert row is not None
        return Sum(row[0], int(row[1]))

    def range_rows(self, start: Key | None, end: Key | None) -> dict[Key, int]:
        """Key and checksum of each of these rows."""
        query = sql.SQL("select {}, {} from {} where {}").format(
            self._checksum(), self._key_text(), self._table(), self._range(start, end)
        )
        return {tuple(row[1:]): row[0] for row in self.conn.execute(query, _bounds(start, end))}

    def versions(self, keys: Sequence[Key]) -> dict[Key, Version]:
        """Those of the keys that are there."""
        if not self.key:
            return self._versions_by_checksum(keys)
        wanted = sql.SQL(", ").join(sql.Identifier(f"k{i}") for i in range(len(self.key)))
        same = sql.SQL(" and ").join(
            sql.SQL("t.{} = wanted.{}::{}").format(sql.Identifier(name), sql.Identifier(f"k{i}"), _printed(type_name))
            for i, (name, type_name) in enumerate(self.key)
        )
        arrays = sql.SQL(", ").join([sql.SQL("%s::text[]")] * len(self.key))
        query = sql.SQL("select {}, t.xmin::text, {} from {} join unnest({}) wanted ({}) on {} where {}").format(
            self._checksum(), self._key_text(), self._table(), arrays, wanted, same, self._filter()
        )
        columns = [[key[i] for key in keys] for i in range(len(self.key))]
        return {tuple(row[2:]): Version(row[0], row[1]) for row in self.conn.execute(query, columns)}

    def _versions_by_checksum(self, checksums: Sequence[Key]) -> dict[Key, Version]:
        query = sql.SQL(
            "select h::text, count(*), sum(x)::text from (select {} as h, t.xmin::text::bigint as x from {} where {}) r"
            " where h = any(%s::bigint[]) group by h"
        ).format(self._checksum(), self._table(), self._filter())
        found = self.conn.execute(query, [[checksum for (checksum,) in checksums]])
        return {(row[0],): Version(row[1], row[2]) for row in found}

    def counted(self) -> Iterator[tuple[int, int]]:
        """Each checksum with the number of its rows, in order. In a transaction."""
        query = sql.SQL("select {} as h, count(*) from {} where {} group by h order by h").format(
            self._checksum(), self._table(), self._filter()
        )
        with self.conn.cursor("stretto_checksums") as cursor:
            cursor.itersize = FETCH_ROWS
            cursor.execute(query)
            yield from cursor

    def _table(self) -> sql.Composed:
        only = sql.SQL("" if self.partitioned else "only ")
        return sql.SQL("{}{} t").format(only, sql.Identifier(self.schema, self.name))

    def _checksum(self) -> sql.Composed:
        # An explicit collation: without, a row with a column of an undecided one is refused.
        columns = sql.SQL(", ").join(sql.Identifier("t", column) for column in self.columns)
        return sql.SQL('hashtextextended(row({})::text collate "C", 0)').format(columns)

    def _key_columns(self) -> sql.Composed:
        return sql.SQL(", ").join(sql.Identifier("t", name) for name, _ in self.key)

    def _key_text(self) -> sql.Composed:
        return sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier("t", name)) for name, _ in self.key)

    def _filter(self) -> sql.Composable:
        return sql.SQL("true") if self.row_filter is None else _printed(f"({self.row_filter})")

    def _range(self, start: Key | None, end: Key | None) -> sql.Composed:
        conditions: list[sql.Composable] = [self._filter()]
        for bound, name, comparison in ((start, "start", ">="), (end, "end", "<")):
            if bound is not None:
                values = sql.SQL(", ").join(
                    sql.SQL("{}::text::{}").format(sql.Placeholder(f"{name}{i}"), _printed(type_name))
                    for i, (_, type_name) in enumerate(self.key)
                )
                conditions.append(sql.SQL("({}) {} ({})").format(self._key_columns(), sql.SQL(comparison), values))
        return sql.SQL(" and ").join(conditions)


def _bounds(start: Key | None, end: Key | None) -> dict[str, str]:
    return {
        f"{name}{i}": value
        for bound, name in ((start, "start"), (end, "end"))
        if bound is not None
        for i, value in enumerate(bound)
    }


def _printed(text: str) -> sql.SQL:
    """Types and filters as the server itself printed them, with a search_path in which they mean the same again."""
    return sql.SQL(text.replace("%", "%%"))


_SHAPE: Final = """
select c.relkind::text,
       array(select array[a.attname::text, format_type(a.atttypid, a.atttypmod), a.attgenerated::text] from pg_attribute a
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attnum),
       array(select a.attname::text from unnest(i.indkey::int2[]) with ordinality k (attnum, ord)
             join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
             where k.ord <= i.indnkeyatts order by k.ord)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
left join lateral (select * from pg_index where indrelid = c.oid and (indisprimary or indisreplident)
                   order by indisprimary desc limit 1) i on true
where n.nspname = %s and c.relname = %s and c.relkind in ('r', 'p')
"""


def find_shape(conn: Connection, schema: str, name: str) -> Shape | None:
    """The table of this name; None when there is none."""
    row = conn.execute(_SHAPE, (schema, name)).fetchone()
    if row is None:
        return None
    kind, columns, key = row
    return Shape(
        kind,
        {column: type_name for column, type_name, _ in columns},
        frozenset(column for column, _, generated in columns if generated),
        tuple(key or ()),
    )


_PUBLISHED: Final = """
select schemaname::text, tablename::text, {}, {} from pg_publication_tables
where pubname = %s and schemaname <> 'stretto' order by 1, 2
"""


@dataclass(frozen=True, slots=True)
class Published:
    """What a publication says of a table."""

    schema: str
    name: str
    columns: frozenset[str] | None
    """None: all."""
    row_filter: str | None


def published_tables(conn: Connection, publication: str) -> list[Published]:
    """The tables of a publication, as their rows travel: a partitioned table once, where it is published by its root."""
    lists = conn.info.server_version >= 150000
    query = sql.SQL(_PUBLISHED).format(
        sql.SQL("attnames::text[]" if lists else "null::text[]"), sql.SQL("rowfilter" if lists else "null::text")
    )
    return [
        Published(schema, name, frozenset(columns) if columns is not None else None, row_filter)
        for schema, name, columns, row_filter in conn.execute(query, (publication,))
    ]
