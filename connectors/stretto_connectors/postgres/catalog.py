"""What the source's catalog says about a table that a Relation message names."""

from __future__ import annotations

from stretto_connectors.postgres.connection import Connection
from stretto_schemas.tables import Column, kind_of

# `pg_get_expr` with the table's OID would lock the table, and whoever holds it may wait for us. A default names no column.
_COLUMNS = """
with recursive base(oid, root) as (
    select t.oid, t.oid from pg_type t
    join (select distinct atttypid from pg_attribute where attrelid = %(relid)s and attnum > 0 and not attisdropped) used
      on used.atttypid = t.oid
    union all
    select t.typbasetype, base.root from base join pg_type t on t.oid = base.oid where t.typtype = 'd'
)
select a.attname, format_type(a.atttypid, a.atttypmod),
       (select b.oid::bigint from base b join pg_type t on t.oid = b.oid where b.root = a.atttypid and t.typtype <> 'd'),
       a.attnotnull, pg_get_expr(d.adbin, 0),
       case when a.atthasmissing then (a.attmissingval::text::text[])[1] end,
       (d.adbin is not null and not a.atthasmissing) or a.attidentity <> '', a.attnum::int
from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = %(relid)s and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
order by a.attnum
"""

_KEY = """
select coalesce(array_agg(a.attname order by k.ord), '{}')
from pg_index i cross join lateral unnest(i.indkey) with ordinality k(attnum, ord)
join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
where i.indrelid = %(relid)s and k.ord <= i.indnkeyatts and i.indimmediate
  and %(identity)s <> 'n' and case when %(identity)s = 'i' then i.indisreplident else i.indisprimary end
"""


def read_columns(conn: Connection, relid: int) -> dict[str, Column]:
    """The columns of a table as they are now, less generated ones, by name. Empty when the table is gone."""
    rows = conn.execute(_COLUMNS, {"relid": relid}).fetchall()
    return {
        name: Column(
            name=name,
            type_name=type_name,
            kind=kind_of(base or 0),
            not_null=not_null,
            default=default,
            missing_value=missing,
            rewritten=rewritten,
            number=number,
        )
        for name, type_name, base, not_null, default, missing, rewritten, number in rows
    }


def read_key(conn: Connection, relid: int, replica_identity: str) -> tuple[str, ...]:
    """The columns of the topic's key: the replica identity's index for `i`, else the primary key; empty without one.

    With identity `n` nothing names a row. A deferrable key is none: in the middle of a transaction two rows may have the same.
    """
    row = conn.execute(_KEY, {"relid": relid, "identity": replica_identity}).fetchone()
    return tuple(row[0]) if row else ()


def read_type_names(conn: Connection, types: list[tuple[int, int]]) -> list[tuple[str, int]]:
    """`format_type()` and base type of (type OID, modifier) pairs, for columns that the catalog no longer has."""
    return [
        (row[0], row[1])
        for row in conn.execute(
            "select format_type(t.oid, u.typmod), coalesce(nullif(t.typbasetype, 0), t.oid)::bigint"
            " from unnest(%s::oid[], %s::int[]) with ordinality u(oid, typmod, ord) left join pg_type t on t.oid = u.oid"
            " order by u.ord",
            ([oid for oid, _ in types], [typmod for _, typmod in types]),
        ).fetchall()
    ]


def takes_new_tables(conn: Connection, publication: str) -> bool:
    """Whether tables made later join the publication by themselves."""
    row = conn.execute(
        "select puballtables or exists (select from pg_publication_namespace pn where pn.pnpubid = p.oid)"
        " from pg_publication p where pubname = %s",
        (publication,),
    ).fetchone()
    return bool(row and row[0])
