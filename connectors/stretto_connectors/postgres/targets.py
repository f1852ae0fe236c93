"""What a follower's catalog says about a table that rows are applied to."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from stretto_connectors.postgres.connection import Connection
from stretto_schemas.errors import Divergence
from stretto_schemas.repairs import COPY_AGAIN


@dataclass(frozen=True, slots=True)
class Target:
    """A table of the follower."""

    schema: str
    name: str
    oid: int
    columns: dict[str, str]
    """Name and `format_type()` of each column that can be written, in order; generated ones are left out."""
    json_columns: frozenset[str]
    """Those of type json or jsonb, or of a domain over one."""
    unique_keys: tuple[frozenset[str], ...]
    """Columns of each plain unique index that is checked at once: with a deferrable one, a key may name two rows."""
    unique_count: int
    """Number of unique indexes and exclusion constraints in all."""
    only: bool
    """True for a plain table with inheritance children: its statements say ONLY."""
    primary_key: frozenset[str] = frozenset()
    """Columns of the primary key; empty without one, or where it is deferrable."""
    not_null: frozenset[str] = frozenset()
    """Columns that are never null."""
    always_identity: frozenset[str] = frozenset()
    """Columns that are GENERATED ALWAYS AS IDENTITY: an INSERT can give them values, an UPDATE cannot."""

    @property
    def identifier(self) -> sql.Composable:
        """The table in a statement."""
        name = sql.Identifier(self.schema, self.name)
        return sql.SQL("only {}").format(name) if self.only else name

    @property
    def plain(self) -> sql.Identifier:
        """The table's name without ONLY, for COPY and INSERT."""
        return sql.Identifier(self.schema, self.name)

    def has_key(self, columns: tuple[str, ...]) -> bool:
        """True when at most one row can have given values in these columns."""
        return any(key <= set(columns) for key in self.unique_keys)

    def has_exact_key(self, columns: tuple[str, ...]) -> bool:
        """True when these columns are never null and a unique index is on all of them and no others."""
        return set(columns) in self.unique_keys and set(columns) <= self.not_null

    def replaces(self, key: tuple[str, ...]) -> bool:
        """True when rows with this key are deleted and inserted anew rather than updated where they are."""
        return self.restricted_beside(key) or not self.always_identity <= set(key)

    def restricted_beside(self, columns: tuple[str, ...]) -> bool:
        """True when something besides one unique index on exactly these columns can refuse a row."""
        return self.unique_count > 1 or (self.unique_count == 1 and set(columns) not in self.unique_keys)


_TARGET = """
with recursive is_json(oid) as (
    select oid from pg_type where oid in (114, 3802)
    union all
    select t.oid from pg_type t join is_json on t.typbasetype = is_json.oid where t.typtype = 'd'
)
select c.oid::bigint,
       c.relkind = 'r' and exists (select from pg_inherits where inhparent = c.oid),
       (select array_agg(array[a.attname::text, format_type(a.atttypid, a.atttypmod)] order by a.attnum)
        from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''),
       (select coalesce(array_agg(a.attname::text), '{}') from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and a.atttypid in (select oid from is_json)),
       (select coalesce(jsonb_agg((select jsonb_agg(a.attname) from unnest(i.indkey) with ordinality k(attnum, ord)
                                   join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
                                   where k.ord <= i.indnkeyatts)), '[]')
        from pg_index i where i.indrelid = c.oid and i.indisunique and i.indimmediate and i.indisvalid
          and i.indpred is null and i.indexprs is null),
       (select count(*) from pg_index i where i.indrelid = c.oid and (i.indisunique or i.indisexclusion)),
       (select coalesce(array_agg(a.attname::text), '{}') from pg_index i
        join pg_attribute a on a.attrelid = c.oid and a.attnum = any(i.indkey[:i.indnkeyatts - 1])
        where i.indrelid = c.oid and i.indisprimary and i.indimmediate),
       (select coalesce(array_agg(a.attname::text), '{}') from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attnotnull),
       (select coalesce(array_agg(a.attname::text), '{}') from pg_attribute a
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attidentity = 'a')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = %s and c.relname = %s and c.relkind in ('r', 'p')
"""


def find_target(conn: Connection, schema: str, name: str) -> Target | None:
    """The table, or None when the follower has none of this name."""
    row = conn.execute(_TARGET, (schema, name)).fetchone()
    if row is None:
        return None
    oid, only, columns, json_columns, uniques, count, primary_key, not_null, always_identity = row
    return Target(
        schema=schema,
        name=name,
        oid=oid,
        columns=dict(columns or []),
        json_columns=frozenset(json_columns),
        unique_keys=tuple(frozenset(key) for key in uniques),
        unique_count=count,
        only=only,
        primary_key=frozenset(primary_key),
        not_null=frozenset(not_null),
        always_identity=frozenset(always_identity),
    )


def missing_table(schema: str, name: str) -> Divergence:
    """The follower lacks a table that rows come for."""
    return Divergence(
        f"the follower has no table {schema}.{name}, but the log has rows for it",
        expected="every published table of the source",
        fix=f"make the table and copy its rows, or {COPY_AGAIN}; nothing was skipped",
    )


def missing_columns(target: Target, columns: list[str]) -> Divergence:
    """The follower's table lacks columns that rows come with."""
    return Divergence(
        f"the follower's table {target.schema}.{target.name} lacks column {', '.join(columns)}",
        expected="every published column of the source",
        fix="add the column with the source's type and default, then start again; nothing was skipped",
    )
