"""The table `wide`: one column of every type that the server ships, and of one type of each kind made here.

The list comes from pg_type at run time: base types, ranges, multiranges and domains of pg_catalog and
information_schema, our own enum, domains, composites and range, and the arrays of all of them. What is left out is
named with its reason in `Wide.exceptions`. Values are text literals that this server has been seen to accept, print
and read back unchanged.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

from stretto.demo.composed import array_literals, multirange_literals, range_literals, row_literals
from stretto.demo.literals import BASE_LITERALS, GENERIC_LITERALS, TEXTS

TABLE: Final = "wide"

_OWN_TYPES: Final = (
    """create type mood as enum ('calm', 'Größe', 'it''s "fine"', 'back\\slash', 'a,b', ' ', '')""",
    "create domain percent as numeric(5, 2) check (value between 0 and 100)",
    "create domain int_list as int4[] check (cardinality(value) < 100)",
    'create type pair as (label text, amount numeric, "at Ä" timestamptz)',
    "create type nest as (first pair, rest pair[], feeling mood)",
    "create domain tagged_pair as pair check ((value).label is distinct from 'refused')",
    'create type text_range as range (subtype = text, collation = "C", multirange_type_name = text_multirange)',
)
OWN_TYPE_NAMES: Final = (
    *("mood", "percent", "int_list", "pair", "nest", "tagged_pair", "text_range", "text_multirange"),
)

NO_INPUT: Final[Mapping[str, str]] = {
    "pg_node_tree": "the server's own parse trees; it refuses every input",
    "pg_ndistinct": "extended statistics; the server refuses every input",
    "pg_dependencies": "extended statistics; the server refuses every input",
    "pg_mcv_list": "extended statistics; the server refuses every input",
    "pg_brin_bloom_summary": "contents of BRIN indexes; the server refuses every input",
    "pg_brin_minmax_multi_summary": "contents of BRIN indexes; the server refuses every input",
    "gtsvector": "contents of GiST indexes; the server refuses every input",
}
"""Types that no text can be turned into, so that neither a dump nor a replica could carry them."""

_ROW_TYPE = "row type of a catalog relation; the composite types made here stand for all of them"
_PSEUDO = "pseudo-type: no column can have it"
_NO_LIBXML = "this server was built without libxml"

# Declared with a type modifier, which pg_type does not list: (column, declaration, type whose literals are tried).
_MODIFIED: Final = (
    ("char_5", "char(5)", "bpchar"),
    ("varchar_7", "varchar(7)", "varchar"),
    ("numeric_10_3", "numeric(10, 3)", "numeric"),
    ("numeric_1000", "numeric(1000, 0)", "numeric"),
    ("bit_5", "bit(5)", "bit"),
    ("varbit_9", "varbit(9)", "varbit"),
    ("time_0", "time(0)", "time"),
    ("timetz_3", "timetz(3)", "timetz"),
    ("timestamp_3", "timestamp(3)", "timestamp"),
    ("timestamptz_0", "timestamptz(0)", "timestamptz"),
    ("interval_2", "interval(2)", "interval"),
    ("interval_ym", "interval year to month", "interval"),
    ("char_3_array", "char(3)[]", "_bpchar"),
)

# Reads the literal, prints it, reads that and prints it again; null where the server refuses or the two differ.
# `%L::type` calls the input function, as replication does; a cast from text would cut "char" to one byte.
_PRINTED = """
create or replace function pg_temp.printed(literal text, type_name text) returns text language plpgsql as $body$
declare
    first text;
    again text;
begin
    execute format('select (%L::%s)::text', literal, type_name) into strict first;
    execute format('select (%L::%s)::text', first, type_name) into strict again;
    return case when first = again then first end;
exception when others then
    return null;
end
$body$
"""

_TYPES = """
select t.oid::int8, n.nspname::text, t.typname::text, t.typtype::text, e.oid::int8, e.typdelim::text,
       r.rngsubtype::int8, m.rngtypid::int8, nullif(t.typbasetype, 0)::int8,
       array(select a.atttypid::int8 from pg_attribute a
             where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped order by a.attnum),
       array(select l.enumlabel::text from pg_enum l where l.enumtypid = t.oid order by l.enumsortorder)
from pg_type t
join pg_namespace n on n.oid = t.typnamespace
left join pg_type e on e.typarray = t.oid
left join pg_range r on r.rngtypid = t.oid
left join pg_range m on m.rngmultitypid = t.oid
where n.nspname in ('pg_catalog', 'information_schema')
   or (n.nspname = 'public' and coalesce(e.typname, t.typname) = any(%s))
order by t.oid
"""


@dataclass(frozen=True)
class ServerType:
    """One row of pg_type, with what its values are put together from."""

    oid: int
    schema: str
    name: str
    kind: str
    element: int | None
    delimiter: str | None
    range_subtype: int | None
    range_type: int | None
    domain_base: int | None
    fields: Sequence[int]
    labels: Sequence[str]

    @property
    def full_name(self) -> str:
        """The name, with its schema where that is not pg_catalog."""
        return self.name if self.schema == "pg_catalog" else f"{self.schema}.{self.name}"


@dataclass(frozen=True)
class Column:
    """A column of `wide` and the literals that are put into it; NULL goes into every column as well."""

    name: str
    declaration: sql.Composable
    literals: tuple[str, ...]


@dataclass(frozen=True)
class Wide:
    """The columns of `wide` on one server, the types left out, and the listed literals this server does not take."""

    columns: tuple[Column, ...]
    exceptions: Mapping[str, str]
    refused: Mapping[str, tuple[str, ...]]

    @property
    def without_values(self) -> tuple[str, ...]:
        """Columns that only ever hold NULL: types nobody listed literals for and on which no generic literal works."""
        return tuple(column.name for column in self.columns if not column.literals)

    def create_sql(self) -> sql.Composed:
        """The `create table` statement. `id` is an identity column that also takes explicit values."""
        columns = [sql.SQL("{} {}").format(sql.Identifier(c.name), c.declaration) for c in self.columns]
        return sql.SQL("create table {} (id bigint generated by default as identity primary key, {})").format(
            sql.Identifier(TABLE), sql.SQL(", ").join(columns)
        )

    def insert_rows(self, conn: psycopg.Connection[Any], n: int, rng: random.Random) -> int:
        """Insert n rows. Each column walks through its literals and NULL in an order of its own, so that enough rows
        (one more than the longest list) hold every value. Returns n; the caller commits."""
        walks = []
        for column in self.columns:
            values: list[str | None] = [*column.literals, None]
            rng.shuffle(values)
            walks.append(itertools.cycle(values))
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in self.columns)
        copy_in = sql.SQL("copy {} ({}) from stdin").format(sql.Identifier(TABLE), names)
        with conn.cursor() as cursor, cursor.copy(copy_in) as copy:
            for _ in range(n):
                copy.write_row([next(walk) for walk in walks])
        return n

    def update_rows(self, conn: psycopg.Connection[Any], n: int, rng: random.Random) -> int:
        """Give up to n rows new values in one to eight columns each. Returns the rows changed; the caller commits."""
        changed = 0
        for key in pick_keys(conn, n, rng):
            columns = rng.sample(self.columns, rng.randint(1, min(8, len(self.columns))))
            assignments = [
                sql.SQL("{} = {}").format(sql.Identifier(column.name), sql.Placeholder()) for column in columns
            ]
            update = sql.SQL("update {} set {} where id = {}").format(
                sql.Identifier(TABLE), sql.SQL(", ").join(assignments), sql.Placeholder()
            )
            values = [rng.choice((*column.literals, None)) for column in columns]
            changed += conn.execute(update, [*values, key]).rowcount
        return changed

    def rekey_rows(self, conn: psycopg.Connection[Any], n: int, rng: random.Random) -> int:
        """Give up to n rows a new primary key and leave the rest of them alone. Returns the rows changed."""
        rekey = sql.SQL("update {0} set id = nextval(pg_get_serial_sequence({1}, 'id')) where id = %s").format(
            sql.Identifier(TABLE), sql.Literal(TABLE)
        )
        return sum(conn.execute(rekey, [key]).rowcount for key in pick_keys(conn, n, rng))

    def delete_rows(self, conn: psycopg.Connection[Any], n: int, rng: random.Random) -> int:
        """Delete up to n rows. Returns the rows deleted; the caller commits."""
        delete = sql.SQL("delete from {} where id = any(%s)").format(sql.Identifier(TABLE))
        return conn.execute(delete, [pick_keys(conn, n, rng)]).rowcount


def pick_keys(conn: psycopg.Connection[Any], n: int, rng: random.Random) -> list[int]:
    """Up to n neighbouring keys of `wide` from a random place, locked in key order."""
    name = sql.Identifier(TABLE)
    ends = conn.execute(sql.SQL("select min(id), max(id) from {}").format(name)).fetchone()
    if ends is None or ends[0] is None:
        return []
    near = sql.SQL("select id from {} where id >= %s order by id limit %s for update").format(name)
    return [key for (key,) in conn.execute(near, (rng.randint(*ends), n))]


def create(conn: psycopg.Connection[Any]) -> Wide:
    """Make our own types and the table `wide` in the schema public. The caller commits."""
    for statement in _OWN_TYPES:
        conn.execute(statement.encode())
    wide = plan(conn)
    conn.execute(wide.create_sql())
    return wide


def server_types(conn: psycopg.Connection[Any]) -> list[ServerType]:
    """Every type of pg_catalog and information_schema, and our own with their arrays."""
    return [ServerType(*row) for row in conn.execute(_TYPES, [list(OWN_TYPE_NAMES)])]


def plan(conn: psycopg.Connection[Any]) -> Wide:
    """Work out the columns of `wide` and their literals for this server; our own types must exist. Writes nothing
    but a function in the session's temporary schema."""
    conn.execute(_PRINTED.encode())
    types = {each.oid: each for each in server_types(conn)}
    has_xml = bool(_surviving(conn, sql.Identifier("pg_catalog", "xml"), ["<a/>"]))
    exceptions = _exceptions(types, has_xml)
    planner = _Planner(conn, types)
    columns = [
        Column(each.name, sql.Identifier(each.schema, each.name), planner.literals(each.oid))
        for each in types.values()
        if each.full_name not in exceptions
    ]
    by_name = {each.name: each for each in types.values() if each.schema == "pg_catalog"}
    for name, declaration, like in _MODIFIED:
        type_name = sql.SQL(declaration)
        candidates = planner.literals(by_name[like].oid)
        # A cast cuts or rounds what is too long where an insert refuses it: what the cast printed fits.
        fitting = dict.fromkeys(printed for _, printed in _tried(conn, type_name, candidates))
        columns.append(Column(name, type_name, tuple(fitting)))
    refused = {name: values for name, values in planner.refused.items() if name not in exceptions}
    return Wide(tuple(columns), exceptions, refused)


def _exceptions(types: Mapping[int, ServerType], has_xml: bool) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for each in types.values():
        root = types[each.element] if each.element is not None else each
        if root.kind == "p" or each.kind == "p":
            reasons[each.full_name] = _PSEUDO
        elif root.kind == "c" and root.schema != "public":
            reasons[each.full_name] = _ROW_TYPE
        elif root.full_name in NO_INPUT:
            reasons[each.full_name] = NO_INPUT[root.full_name]
        elif root.full_name == "xml" and not has_xml:
            reasons[each.full_name] = _NO_LIBXML
    return reasons


def _tried(conn: psycopg.Connection[Any], type_name: sql.Composable, literals: Iterable[str]) -> list[tuple[str, str]]:
    """The literals that this server takes for the type, each with what it prints."""
    return conn.execute(
        """
        select literal, printed
        from (select literal, pg_temp.printed(literal, %s) as printed, n
              from unnest(%s::text[]) with ordinality as x(literal, n)) as tried
        where printed is not null order by n
        """,
        [type_name.as_string(conn), list(literals)],
    ).fetchall()


def _surviving(conn: psycopg.Connection[Any], type_name: sql.Composable, literals: Iterable[str]) -> list[str]:
    return [literal for literal, _ in _tried(conn, type_name, literals)]


class _Planner:
    """Finds literals type by type; those of elements, subtypes, bases and fields first."""

    # Enough to combine; every combination of long texts would only make the rows longer.
    _PARTS = 6
    _RANGES = 14

    def __init__(self, conn: psycopg.Connection[Any], types: Mapping[int, ServerType]) -> None:
        self._conn = conn
        self._types = types
        self._known: dict[int, tuple[str, ...]] = {}
        self.refused: dict[str, tuple[str, ...]] = {}

    def literals(self, oid: int) -> tuple[str, ...]:
        if oid not in self._known:
            each = self._types[oid]
            candidates = list(dict.fromkeys(self._candidates(each)))
            taken = _surviving(self._conn, sql.Identifier(each.schema, each.name), candidates)
            if each.full_name in BASE_LITERALS and len(taken) < len(candidates):
                self.refused[each.full_name] = tuple(c for c in candidates if c not in set(taken))
            self._known[oid] = tuple(taken[: self._RANGES]) if each.range_subtype is not None else tuple(taken)
        return self._known[oid]

    def _candidates(self, each: ServerType) -> Iterable[str]:
        if each.element is not None:
            return array_literals(self.literals(each.element), each.delimiter or ",")
        if each.range_subtype is not None:
            return range_literals(self._few(each.range_subtype))
        if each.range_type is not None:
            return multirange_literals(self.literals(each.range_type))
        if each.domain_base is not None:
            return (*self.literals(each.domain_base), *("YES", "NO", "7.25", "100", "{1,2}", "(a,1.50,)"))
        if each.labels:
            return each.labels
        if each.kind == "c":
            return row_literals([self._few(field) for field in each.fields])
        return BASE_LITERALS.get(each.full_name, GENERIC_LITERALS)

    def _few(self, oid: int) -> tuple[str, ...]:
        literals = self.literals(oid)
        if literals == TEXTS:
            return ("a", "b,c", 'q"u', "Ä ]", "", "back\\")
        return (*literals[: self._PARTS], *literals[self._PARTS :][-2:])
