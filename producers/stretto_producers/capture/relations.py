"""Relation messages become tables with a topic: shapes are compared with what the schema topic already has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from confluent_kafka.admin import AdminClient

from stretto_connectors.kafka.reader import missing_topic, read_range, watermarks
from stretto_connectors.kafka.topics import ensure_topics, partition_counts, rows_config
from stretto_connectors.postgres.catalog import (
    read_columns,
    read_key,
    read_type_names,
    takes_new_tables,
)
from stretto_connectors.postgres.pgoutput import Relation
from stretto_producers.capture.encoder import PartitionRows, RelationEncoder, Tally
from stretto_producers.capture.lineage import REPAIR
from stretto_schemas.errors import Unsupported
from stretto_schemas.names import message_topic, schema_topic, table_topic
from stretto_schemas.settings import Settings
from stretto_schemas.tables import Column, Table, decode_table, kind_of, same_columns


def read_shapes(settings: Settings) -> dict[tuple[str, str], Table]:
    """The newest shape of each table in the schema topic. Raises Halted when there is no such topic."""
    topic = schema_topic(settings.prefix, settings.source.name)
    low, high = watermarks(settings.kafka, topic)
    shapes = {}
    for message in read_range(settings.kafka, topic, 0, low, high):
        if message.value() is not None:
            table = decode_table(message.value() or b"")
            shapes[table.schema, table.name] = table
    return shapes


def key_of(message: Relation, now: tuple[str, ...], before: Table | None) -> tuple[str, ...]:
    """Columns of the topic's key. `now`: what the catalog says today, maybe long after the message, or of a table that is gone.

    The message says which columns identify a row; order comes from the catalog or the shape before. With the whole row as
    identity (`f`) it flags every column, so there the catalog says whether fewer will do.
    """
    flagged = tuple(column.name for column in message.columns if column.is_key)
    known = [now, before.key if before else ()]
    if message.replica_identity == "f":
        return next((key for key in known if key and set(key) <= set(flagged)), ())
    if message.replica_identity == "n":
        return ()
    return next((key for key in known if set(key) == set(flagged)), flagged)


class Relations:
    """Every table of the stream: its current encoder, its topic's partitions, its last published shape."""

    def __init__(
        self, settings: Settings, admin: AdminClient, sql: psycopg.Connection[tuple[Any, ...]], tally: Tally
    ) -> None:
        self._tally = tally
        self._settings = settings
        self._admin = admin
        self._sql = sql
        self._shapes = read_shapes(settings)
        self._names = {table.relid: table.qualified for table in self._shapes.values() if table.relid}
        self._takes_new = takes_new_tables(sql, settings.source.publication)
        prefix = f"{settings.prefix}.{settings.source.name}."
        self.counts = partition_counts(admin, settings.kafka, prefix)
        """Number of partitions of each topic of the source."""
        for table in self._shapes.values():
            if table.topic not in self.counts:
                raise missing_topic(table.topic)
        self._row_topics = {topic for topic in self.counts if topic.removeprefix(prefix).count(".") == 1}
        """Topics of all tables there ever were: a published name may have changed since rows came under it."""
        self._partitions: dict[str, list[PartitionRows]] = {}
        self.encoders: dict[int, RelationEncoder] = {}
        self.new_partitions: list[tuple[str, int]] = []
        """Partitions of topics made since the last look: the next frontier that counts them says they begin at 0."""

    @property
    def row_partitions(self) -> list[tuple[str, int]]:
        """All partitions that may hold rows or messages of this source, those of a crashed session too."""
        topics = self._row_topics | {self.message_topic} | set(self._partitions)
        return [(topic, p) for topic in sorted(topics) for p in range(self.counts.get(topic, 0))]

    @property
    def message_topic(self) -> str:
        """Topic of logical messages."""
        return message_topic(self._settings.prefix, self._settings.source.name)

    def partitions_of(self, topic: str, *, partitions: int | None = None) -> list[PartitionRows]:
        """The topic's waiting records by partition; the topic is made when it is missing."""
        found = self._partitions.get(topic)
        if found is None:
            if topic not in self.counts:
                kafka = self._settings.kafka
                wanted = partitions or kafka.partitions
                ensure_topics(self._admin, kafka, [topic], partitions=wanted, config=rows_config(kafka))
                self.counts[topic] = wanted
                self.new_partitions += [(topic, p) for p in range(wanted)]
            found = [PartitionRows(topic, p) for p in range(self.counts[topic])]
            self._partitions[topic] = found
        return found

    def all_partitions(self) -> list[PartitionRows]:
        """Every partition that records may wait for."""
        return [rows for partitions in self._partitions.values() for rows in partitions]

    def see(self, message: Relation, lsn: int) -> tuple[Table, Table | None]:
        """Take in a Relation message: make its encoder; return its shape, and the one before (None: first seen)."""
        catalog = read_columns(self._sql, message.relid)
        columns = self._columns(message, catalog)
        before = self._shapes.get((message.schema, message.name))
        identity = message.replica_identity
        key = key_of(message, read_key(self._sql, message.relid, identity), before)
        topic = (
            before.topic
            if before
            else table_topic(self._settings.prefix, self._settings.source.name, message.schema, message.name)
        )
        created = before is None and self._takes_new
        table = Table(message.schema, message.name, topic, columns, key, identity, lsn, created, message.relid)
        self._check_same(table, before)
        partitions, encoder = self.partitions_of(topic), self.encoders.get(message.relid)
        self.encoders[message.relid] = RelationEncoder(message.relid, table, partitions, self._tally, encoder)
        self._shapes[message.schema, message.name] = table
        self._names[message.relid] = table.qualified
        return table, before

    def _check_same(self, table: Table, before: Table | None) -> None:
        """Raise Unsupported when a table took another's name, or a column another's: rows of the old one are elsewhere now."""
        known = self._names.get(table.relid, table.qualified)
        if known != table.qualified:
            raise Unsupported(
                f"table {known} is called {table.qualified} now",
                expected="tables that keep their names",
                fix=f"rename it back before it is written to again, or {REPAIR}",
            )
        if before is not None and before.relid not in (0, table.relid):
            raise Unsupported(
                f"table {table.qualified} was dropped and made again, or another one took its name",
                expected=f"the table that the log has had (OID {before.relid}; this one has {table.relid})",
                fix=f"followers still hold the rows of the old one; {REPAIR}",
            )
        if before is not None and not same_columns(table, before):
            raise Unsupported(
                f"a column of table {table.qualified} was dropped and made again, or another one took its name",
                expected="columns that keep their names",
                fix=f"followers still hold the values of the old one; {REPAIR}",
            )

    def _columns(self, message: Relation, catalog: Mapping[str, Column]) -> tuple[Column, ...]:
        """The message's columns with what the catalog adds; the message is older and wins where they differ."""
        names = read_type_names(self._sql, [(c.type_oid, c.type_modifier) for c in message.columns])
        made = []
        for column, (type_name, base) in zip(message.columns, names, strict=True):
            now = catalog.get(column.name)
            if now is not None and now.type_name == type_name:
                made.append(now)
            else:
                number = now.number if now is not None else 0
                kind = kind_of(base or column.type_oid)
                made.append(Column(column.name, type_name or "text", kind, number=number))
        return tuple(made)
