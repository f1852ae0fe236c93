"""The first frontier: from this place of the WAL on, everything will be in the log."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import psycopg
from confluent_kafka.admin import AdminClient

from stretto_connectors.kafka.reader import end_offsets
from stretto_connectors.kafka.writer import LOADING_S, LogWriter
from stretto_connectors.postgres.publication import read_published
from stretto_connectors.postgres.replication import ReplicationConnection
from stretto_schemas import names
from stretto_schemas.frontier import Frontier, Open, PartitionOffset, encode_record
from stretto_schemas.settings import Settings
from stretto_schemas.tables import Table, encode_table, schema_key


def make_genesis(
    settings: Settings,
    sql: psycopg.Connection[tuple[Any, ...]],
    client: AdminClient,
    consistent_point: int,
    partitions: dict[str, int],
    fresh: Collection[str],
) -> Frontier:
    """The frontier that begins a log at the slot's consistent point.

    `partitions` are the row topics with their number of partitions; what lies in them already belongs to no frontier.
    Those in `fresh` were made a moment ago: they begin at 0, and a broker may not know yet who leads them.
    """
    source = settings.source
    stream = ReplicationConnection(source.dsn, source.password, application="stretto-init")
    try:
        identity = stream.identify()
    finally:
        stream.close()
    row = sql.execute("select (extract(epoch from clock_timestamp()) * 1000000)::bigint").fetchone()
    assert row is not None, "a select without from has one row"
    places = [(topic, partition) for topic, count in sorted(partitions.items()) for partition in range(count)]
    offsets = dict.fromkeys(places, 0)
    offsets |= end_offsets(client, settings.kafka, [place for place in places if place[0] not in fresh])
    return Frontier(
        source=source.name,
        epoch=row[0] // 1_000_000,  # another log is another epoch: a follower of one never goes on in the other
        system_id=identity.system_id,
        timeline=identity.timeline,
        commit_lsn=0,  # no transaction yet: who stands at the consistent point lacks none before it
        end_lsn=consistent_point,
        commit_ts_us=row[0],
        sequence=0,
        offsets=[PartitionOffset(topic, partition, offset) for (topic, partition), offset in sorted(offsets.items())],
        offsets_lsn=consistent_point,
        publication=read_published(sql, source.publication),
    )


def write_genesis(settings: Settings, frontier: Frontier, shapes: Iterable[Table]) -> None:
    """Write it as capture would: in a Kafka transaction of the source's transactional id, after an Open record.

    The shapes of the tables there are go into the schema topic in the same Kafka transaction.
    """
    topic = names.transactions_topic(settings.prefix, frontier.source)
    key = frontier.source.encode()
    transactional_id = names.transactional_id(settings.prefix, frontier.source)
    writer = LogWriter(settings.kafka, transactional_id, settings.capture.transaction_timeout_s)
    try:
        writer.init(loading_s=LOADING_S)
        first = (topic, encode_record(Open(frontier.source, frontier.epoch)), key, 0)
        schema = names.schema_topic(settings.prefix, frontier.source)
        known = [(schema, encode_table(table), schema_key(table), 0) for table in shapes]
        writer.begin([first])
        writer.commit([*known, (topic, encode_record(frontier), key, 0)])
    finally:
        writer.close()
