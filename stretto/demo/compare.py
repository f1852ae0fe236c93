"""Are two databases equal? Table by table, by count and by a checksum of the whole rows' text.

The checksum of a table is the sum of a 64-bit hash of every row's text: it does not depend on the rows' order, and
unlike an exclusive or it sees a row that is there twice. Rows are printed under the same settings on both sides, with
their columns in order of name, so that a table whose columns were added in another order is still the same table.
Sequences, indexes and what is not a table are not compared. While somebody writes, databases differ: compare at rest.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

import psycopg
from psycopg import sql

from stretto_schemas.errors import Unreachable, UsageError

# Everything that changes how a value is printed. An empty search_path makes reg* types print schemas.
_SETTINGS: Final = """
set datestyle = 'ISO, YMD'; set intervalstyle = 'postgres'; set timezone = 'UTC'; set extra_float_digits = 3;
set bytea_output = 'hex'; set xmlbinary = 'base64'; set lc_monetary = 'C'; set search_path = '';
set client_encoding = 'UTF8'; set row_security = off; set statement_timeout = 0; set quote_all_identifiers = off;
"""

# Roots stand for their partitions. What an extension brought along is not the user's.
_TABLES: Final = """
select n.nspname::text, c.relname::text, c.relkind::text,
       array(select a.attname::text from pg_catalog.pg_attribute a
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attname collate "C"),
       array(select pg_catalog.format_type(a.atttypid, a.atttypmod) from pg_catalog.pg_attribute a
             where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped order by a.attname collate "C"),
       array(select a.attname::text from pg_catalog.pg_index i
             join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = any(i.indkey)
             where i.indrelid = c.oid and i.indisprimary order by a.attname collate "C")
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence = 'p'
  and n.nspname not in ('pg_catalog', 'information_schema', 'stretto') and n.nspname !~ '^pg_(toast|temp)'
  and not exists (select from pg_catalog.pg_depend d
                  where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.objid = c.oid and d.deptype = 'e')
"""

# Rows of the buckets that differ are fetched one by one; more buckets mean fewer of them, and a longer first answer.
_BUCKETS: Final = 4096

TableName = tuple[str, str]
"""Schema and table, as they are, without quotes."""


@dataclass(frozen=True)
class Shape:
    """A table's columns with their types, and its primary key, in order of name. Partitioned tables read whole."""

    kind: str
    columns: Mapping[str, str]
    key: tuple[str, ...]


@dataclass(frozen=True)
class Checksum:
    """How many rows, and the sum of the hashes of their text."""

    rows: int
    total: int


@dataclass(frozen=True)
class TableComparison:
    """One table on both sides. A side that has no such table has no checksum. Checksums are of the shared columns;
    `leader_only` and `follower_only` are the columns that the other side lacks or has with another type."""

    schema: str
    table: str
    leader: Checksum | None
    follower: Checksum | None
    leader_only: tuple[str, ...] = ()
    follower_only: tuple[str, ...] = ()

    @property
    def name(self) -> TableName:
        """Schema and table."""
        return self.schema, self.table

    @property
    def equal(self) -> bool:
        """True when both sides have the table, the same columns and the same rows."""
        return self.leader == self.follower and not self.leader_only and not self.follower_only


@dataclass(frozen=True)
class Comparison:
    """All tables of both sides, in order of schema and name."""

    tables: tuple[TableComparison, ...]

    @property
    def equal(self) -> bool:
        """True when every table is on both sides with the same columns and the same rows."""
        return all(table.equal for table in self.tables)

    @property
    def differing(self) -> tuple[TableComparison, ...]:
        """The tables that are not equal."""
        return tuple(table for table in self.tables if not table.equal)

    @property
    def rows(self) -> int:
        """Rows on the leader."""
        return sum(table.leader.rows for table in self.tables if table.leader is not None)


@dataclass(frozen=True)
class Difference:
    """One row that differs, without its values. `missing`: the follower lacks it; `surplus`: only the follower has
    it; `changed`: same primary key, other values in `columns`. `key` is the primary key as PostgreSQL prints a row,
    None in a table without one. The places are ctids, after the partition's name where there are partitions."""

    kind: Literal["missing", "surplus", "changed"]
    key: str | None
    leader_place: str | None
    follower_place: str | None
    columns: tuple[str, ...] = ()


def compare(leader_dsn: str, follower_dsn: str) -> Comparison:
    """Compare all user tables (none of the schemas pg_catalog, information_schema and stretto). Reads every row once,
    each side in one snapshot, both sides at a time. Raises Unreachable, and UsageError when encodings differ."""
    with _both(leader_dsn, follower_dsn) as (leader, follower), ThreadPoolExecutor(2) as pool:
        shapes = _shapes(leader), _shapes(follower)
        compared = []
        for name in sorted(shapes[0].keys() | shapes[1].keys()):
            here, there = (side.get(name) for side in shapes)
            shared = _shared(here, there)
            sums = [
                pool.submit(_checksum, conn, name, shape, shared or tuple(shape.columns)) if shape is not None else None
                for conn, shape in ((leader, here), (follower, there))
            ]
            leader_sum, follower_sum = (each.result() if each is not None else None for each in sums)
            compared.append(TableComparison(*name, leader_sum, follower_sum, _only(here, there), _only(there, here)))
    return Comparison(tuple(compared))


def differences(leader_dsn: str, follower_dsn: str, table: TableName, limit: int = 20) -> list[Difference]:
    """Up to `limit` rows of one table that differ in its shared columns, by key and place, never by value. Memory is
    that of the rows in the differing 1/4096ths of the table. Raises UsageError when a side has no such table."""
    with _both(leader_dsn, follower_dsn) as (leader, follower), ThreadPoolExecutor(2) as pool:
        here, there = _shapes(leader).get(table), _shapes(follower).get(table)
        if here is None or there is None:
            missing = "the leader" if here is None else "the follower"
            raise UsageError(f"{missing} has no table {'.'.join(table)}", expected="a table of both sides")
        columns = _shared(here, there)
        key = here.key if here.key == there.key and set(here.key) <= set(columns) else ()
        sides = tuple(
            _Side(conn, name_of(table, shape), columns, key, shape.kind == "p")
            for conn, shape in ((leader, here), (follower, there))
        )
        buckets = list(pool.map(_Side.buckets, sides))
        wrong = sorted(b for b in buckets[0].keys() | buckets[1].keys() if buckets[0].get(b) != buckets[1].get(b))
        found: list[Difference] = []
        for at in range(0, len(wrong), 64):
            rows = list(pool.map(_Side.rows, sides, [wrong[at : at + 64]] * 2))
            found += _match(rows[0], rows[1], columns, keyed=bool(key))
            if len(found) >= limit:
                break
    return found[:limit]


def name_of(table: TableName, shape: Shape) -> sql.Composed:
    """The table as it stands after FROM: without the children of an inheritance parent, with those of a root."""
    only = sql.SQL("" if shape.kind == "p" else "only ")
    return sql.SQL("{}{}").format(only, sql.Identifier(*table))


@dataclass(frozen=True)
class _Row:
    place: str
    total: int
    columns: Sequence[int]


@dataclass(frozen=True)
class _Side:
    """One table on one side, cut into buckets by its key, or by the whole row where there is no key."""

    conn: psycopg.Connection[Any]
    table: sql.Composed
    columns: tuple[str, ...]
    key: tuple[str, ...]
    partitioned: bool

    def buckets(self) -> dict[int, tuple[int, int]]:
        query = sql.SQL("select {}, count(*), sum({}) from {} t group by 1").format(
            self._bucket(), _hash(self.columns), self.table
        )
        return {bucket: (rows, int(total)) for bucket, rows, total in self.conn.execute(query)}

    def rows(self, buckets: list[int]) -> dict[str, list[_Row]]:
        place = "t.tableoid::pg_catalog.regclass::text || t.ctid::text" if self.partitioned else "t.ctid::text"
        each = sql.SQL(", ").join(_hash((column,)) for column in self.columns)
        key = _row(self.key) if self.key else sql.SQL("{}::text").format(_hash(self.columns))
        query = sql.SQL("select {}, {}, {}, array[{}]::int8[] from {} t where {} = any({}) order by t.ctid").format(
            key, sql.SQL(place), _hash(self.columns), each, self.table, self._bucket(), sql.Literal(buckets)
        )
        # No parameters: psycopg would take a per cent sign in a column's name for a placeholder.
        rows: dict[str, list[_Row]] = defaultdict(list)
        for name, where, total, hashes in self.conn.execute(query):
            rows[name].append(_Row(where, total, hashes))
        return rows

    def _bucket(self) -> sql.Composed:
        return sql.SQL("(({} % {n} + {n}) % {n})::int4").format(
            _hash(self.key or self.columns), n=sql.Literal(_BUCKETS)
        )


def _match(
    leader: Mapping[str, list[_Row]], follower: Mapping[str, list[_Row]], columns: Sequence[str], *, keyed: bool
) -> Iterator[Difference]:
    for name in sorted(leader.keys() | follower.keys()):
        here, there = leader.get(name, []), follower.get(name, [])
        if Counter(row.total for row in here) == Counter(row.total for row in there):
            continue
        shown = name if keyed else None
        if keyed and here and there:
            pairs = zip(columns, here[0].columns, there[0].columns, strict=True)
            changed = tuple(column for column, one, other in pairs if one != other)
            yield Difference("changed", shown, here[0].place, there[0].place, changed)
            continue
        for row in here[len(there) :]:
            yield Difference("missing", shown, row.place, None)
        for row in there[len(here) :]:
            yield Difference("surplus", shown, None, row.place)


def _row(columns: Sequence[str]) -> sql.Composed:
    """The text of a row, which tells NULL from an empty string. An explicit collation keeps the hash from asking."""
    names = sql.SQL(", ").join(sql.Identifier("t", column) for column in columns)
    return sql.SQL('row({})::text collate "C"').format(names)


def _hash(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL("pg_catalog.hashtextextended({}, 0)").format(_row(columns))


def _checksum(conn: psycopg.Connection[Any], name: TableName, shape: Shape, columns: Sequence[str]) -> Checksum:
    query = sql.SQL("select count(*), coalesce(sum({}), 0) from {} t").format(_hash(columns), name_of(name, shape))
    found = conn.execute(query).fetchone() or (0, 0)
    return Checksum(found[0], int(found[1]))


def _shared(here: Shape | None, there: Shape | None) -> tuple[str, ...]:
    if here is None or there is None:
        return ()
    return tuple(column for column in here.columns if column in there.columns)


def _only(here: Shape | None, there: Shape | None) -> tuple[str, ...]:
    if here is None or there is None:
        return ()
    return tuple(column for column, type_name in here.columns.items() if there.columns.get(column) != type_name)


def _shapes(conn: psycopg.Connection[Any]) -> dict[TableName, Shape]:
    return {
        (schema, table): Shape(kind, dict(zip(columns, types, strict=True)), tuple(key))
        for schema, table, kind, columns, types, key in conn.execute(_TABLES)
    }


@contextmanager
def _both(leader_dsn: str, follower_dsn: str) -> Iterator[tuple[psycopg.Connection[Any], psycopg.Connection[Any]]]:
    with ExitStack() as stack:
        leader, follower = (
            stack.enter_context(_snapshot(side, dsn))
            for side, dsn in (("leader", leader_dsn), ("follower", follower_dsn))
        )
        encodings = [conn.execute("show server_encoding").fetchone() for conn in (leader, follower)]
        if encodings[0] != encodings[1]:
            raise UsageError(
                f"the databases' encodings are {encodings[0]} and {encodings[1]}",
                expected="the same encoding, as checksums are of bytes",
                fix="create the follower's database with the leader's encoding",
            )
        yield leader, follower


@contextmanager
def _snapshot(side: str, dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """A session that prints values the one fixed way, in a read-only transaction with one snapshot."""
    try:
        conn = psycopg.connect(dsn, autocommit=True, application_name="stretto compare")
    except psycopg.OperationalError as error:
        raise Unreachable(f"the {side} does not answer: {str(error).strip()}") from error
    with conn:
        conn.execute(_SETTINGS)
        conn.execute("begin isolation level repeatable read read only")
        yield conn
