"""What a publication publishes, cut down to the tables that hold rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Stored:
    """A table that holds rows of a published table: itself, or a leaf of a partitioned one."""

    schema: str
    name: str
    published: tuple[str, str]
    """Schema and name under which its rows travel."""
    relid: int
    columns: tuple[str, ...]
    """Published columns in order, less generated ones."""
    row_filter: str | None
    """The publication's WHERE."""
    size_bytes: int
    estimated_rows: int
    splittable: bool
    """True when rows can be read by ranges of ctid (heap)."""
    policies_apply: bool
    """True when row-level security would hide rows from this role."""
    readable: bool
    """True when this role may read it."""

    @property
    def identifier(self) -> sql.Identifier:
        """The table in a statement."""
        return sql.Identifier(self.schema, self.name)

    @property
    def qualified(self) -> str:
        """`schema.table`, for messages to people."""
        return f"{self.schema}.{self.name}"


_STORED: Final = """
select l.oid::bigint, ln.nspname::text, l.relname::text, p.schemaname::text, p.tablename::text,
       array(select a.attname::text from pg_attribute a
             where a.attrelid = l.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and {columns}
             order by a.attnum),
       {row_filter}, pg_relation_size(l.oid), greatest(l.reltuples, 0)::bigint,
       coalesce((select amname = 'heap' from pg_am where pg_am.oid = l.relam), false),
       row_security_active(l.oid),
       has_schema_privilege(ln.oid, 'usage') and has_any_column_privilege(l.oid, 'select')
from pg_publication_tables p
join pg_namespace n on n.nspname = p.schemaname
join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
cross join lateral (select c.oid where c.relkind = 'r'
                    union all
                    select t.relid from pg_partition_tree(c.oid) t where c.relkind = 'p' and t.isleaf) leaf
join pg_class l on l.oid = leaf.oid and l.relkind = 'r'
join pg_namespace ln on ln.oid = l.relnamespace
where p.pubname = %s and p.schemaname <> 'stretto'
order by l.oid
"""


def stored_tables(conn: Connection, publication: str) -> list[Stored]:
    """Every table that holds published rows, each once, as the session's snapshot sees them."""
    lists = conn.info.server_version >= 150000  # column lists and row filters
    query = sql.SQL(_STORED).format(
        columns=sql.SQL("a.attname = any(p.attnames)" if lists else "true"),
        row_filter=sql.SQL("p.rowfilter" if lists else "null::text"),
    )
    return [
        Stored(
            relid=row[0],
            schema=row[1],
            name=row[2],
            published=(row[3], row[4]),
            columns=tuple(row[5]),
            row_filter=row[6],
            size_bytes=row[7],
            estimated_rows=row[8],
            splittable=row[9],
            policies_apply=row[10],
            readable=row[11],
        )
        for row in conn.execute(query, (publication,)).fetchall()
    ]


def publication_exists(conn: Connection, publication: str) -> bool:
    """True when the database has a publication of this name."""
    return conn.execute("select from pg_publication where pubname = %s", (publication,)).fetchone() is not None
