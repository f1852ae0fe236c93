"""The shapes of the published tables as they are when a log begins: what comes later and is not among them is new."""

from __future__ import annotations

from typing import Any

import psycopg

from stretto_connectors.postgres.catalog import read_columns, read_key
from stretto_schemas.names import table_topic
from stretto_schemas.settings import Settings
from stretto_schemas.tables import Table

_PUBLISHED = """
select c.oid::bigint, n.nspname::text, c.relname::text, c.relreplident::text, p.attnames::text[]
from pg_publication_tables p join pg_namespace n on n.nspname = p.schemaname
join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
where p.pubname = %s order by 2, 3
"""


def read_shapes(settings: Settings, sql: psycopg.Connection[tuple[Any, ...]], lsn: int) -> list[Table]:
    """The shape of every table in the publication, as of `lsn`."""
    shapes = []
    for relid, schema, name, identity, published in sql.execute(_PUBLISHED, (settings.source.publication,)).fetchall():
        columns = tuple(column for column in read_columns(sql, relid).values() if column.name in published)
        key = read_key(sql, relid, identity)
        usable = key if set(key) <= {column.name for column in columns} else ()
        topic = table_topic(settings.prefix, settings.source.name, schema, name)
        shapes.append(Table(schema, name, topic, columns, usable, identity, lsn, relid=relid))
    return shapes
