"""What the catalog says about every relation that somebody might want to publish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

Connection = psycopg.Connection[tuple[Any, ...]]

KINDS = {
    "r": "a table",
    "p": "a partitioned table",
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
}
"""`pg_class.relkind` in words."""


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, or something that could be taken for one."""

    oid: int
    schema: str
    name: str
    kind: str
    persistence: str
    """PostgreSQL's letter: p permanent, u unlogged, t temporary."""
    ancestors: tuple[int, ...]
    """OIDs of the partitioned tables it is a partition of, the root last."""
    children: tuple[int, ...]
    """OIDs of direct inheritance children or partitions."""
    replica_identity: str
    identity_usable: bool
    """False when PostgreSQL refuses UPDATE and DELETE of this table as soon as it is published."""
    generated: bool
    """It has a generated column."""
    identity_generated: bool
    """A generated column is part of the replica identity's index."""
    owned: bool
    """The session's role may alter it."""
    readable: bool
    row_security: bool

    @property
    def qualified(self) -> str:
        """`schema.name`, for messages to people."""
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        """The relation in a statement."""
        return sql.Identifier(self.schema, self.name)


_RELATIONS = """
select c.oid::bigint, n.nspname, c.relname, c.relkind::text, c.relpersistence::text,
       array(select a.relid::oid::bigint from pg_partition_ancestors(c.oid) with ordinality a(relid, depth)
             where a.relid <> c.oid order by a.depth),
       array(select i.inhrelid::bigint from pg_inherits i where i.inhparent = c.oid order by 1),
       c.relreplident::text,
       c.relreplident = 'f' or exists (
           select from pg_index i where i.indrelid = c.oid and i.indisvalid and i.indimmediate
           and case c.relreplident when 'i' then i.indisreplident when 'd' then i.indisprimary else false end),
       exists (select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
               and a.attgenerated <> ''),
       exists (select from pg_index i cross join lateral unnest(i.indkey) k(attnum)
               join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
               where i.indrelid = c.oid and a.attgenerated <> ''
               and case c.relreplident when 'i' then i.indisreplident when 'd' then i.indisprimary else false end),
       pg_has_role(c.relowner, 'usage'),
       has_table_privilege(c.oid, 'select'),
       c.relrowsecurity
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.oid >= 16384
  and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
order by n.nspname, c.relname
"""


def list_relations(conn: Connection) -> list[Relation]:
    """Every relation outside of the system's schemas, by name."""
    rows = conn.execute(_RELATIONS).fetchall()
    return [
        Relation(oid, schema, name, kind, persistence, tuple(ancestors), tuple(children), *rest)
        for oid, schema, name, kind, persistence, ancestors, children, *rest in rows
    ]
