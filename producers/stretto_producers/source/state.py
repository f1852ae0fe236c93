"""What of a source's pipeline is there already: server, tables, publication, slot, topics, last frontier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from confluent_kafka.admin import AdminClient

from stretto_connectors.kafka.existing import read_cluster
from stretto_connectors.kafka.reader import find_frontier
from stretto_connectors.kafka.topics import partition_counts
from stretto_connectors.postgres.connection import where
from stretto_connectors.postgres.publication import Publication, read_publication
from stretto_connectors.postgres.relations import list_relations
from stretto_connectors.postgres.replication import ReplicationConnection
from stretto_connectors.postgres.server import OLDEST, Server, read_server, refusals
from stretto_connectors.postgres.slot import FAILOVER_SINCE, Slot, read_slot
from stretto_producers.capture.relations import read_shapes
from stretto_producers.source.selection import Selection, select
from stretto_schemas import names
from stretto_schemas.errors import CheckFailed, SettingsError
from stretto_schemas.frontier import Frontier
from stretto_schemas.settings import Settings, SourceSettings

REACH_S = 8.0
"""A person waits for the answer, and a broker that is up tells who it is within milliseconds."""

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class SourceTopics:
    """Names of the topics that belong to a source or its prefix."""

    transactions: str
    schema: str
    message: str
    followers: str
    tables: tuple[str, ...]
    """Of the published tables and of those that the schema topic knows, sorted."""

    @property
    def rows(self) -> tuple[str, ...]:
        """Topics whose records frontiers count."""
        return (self.message, *self.tables)


@dataclass(frozen=True, slots=True)
class SourceState:
    """A look at everything; nothing was changed by taking it."""

    server: Server
    selection: Selection
    publication: Publication | None
    slot: Slot | None
    frontier: Frontier | None
    topics: SourceTopics
    partitions: dict[str, int]
    """Number of partitions of every topic of the prefix that is there."""
    brokers: int


def inspect(settings: Settings, sql: Connection, client: AdminClient) -> SourceState:
    """Look at source and broker. Raises Unreachable, SettingsError or CheckFailed."""
    source, kafka = settings.source, settings.kafka
    with refusals(where(source.dsn), "reading the catalog"):
        server = read_server(sql)
        relations = list_relations(sql)
        publication = read_publication(sql, source.publication)
        slot = read_slot(sql, source.slot_name)
    selection = select(
        source.tables,
        relations,
        server_version=server.version,
        superuser=server.superuser,
        via_root=source.publish_via_partition_root,
    )
    brokers = read_cluster(client, kafka, REACH_S).brokers
    partitions = partition_counts(client, kafka, settings.prefix + ".")
    transactions = names.transactions_topic(settings.prefix, source.name)
    found = find_frontier(kafka, transactions) if transactions in partitions else None
    return SourceState(
        server=server,
        selection=selection,
        publication=publication,
        slot=slot,
        frontier=found[0] if found else None,
        topics=source_topics(settings, partitions, selection.published),
        partitions=partitions,
        brokers=brokers,
    )


def source_topics(
    settings: Settings, partitions: dict[str, int], published: tuple[tuple[str, str], ...] = ()
) -> SourceTopics:
    """Topics of the source: of `published` tables and of all that the schema topic has seen."""
    prefix, source = settings.prefix, settings.source.name
    tables = {names.table_topic(prefix, source, schema, table) for schema, table in published}
    schema_topic = names.schema_topic(prefix, source)
    if schema_topic in partitions:
        tables |= {shape.topic for shape in read_shapes(settings).values()}
    return SourceTopics(
        transactions=names.transactions_topic(prefix, source),
        schema=schema_topic,
        message=names.message_topic(prefix, source),
        followers=names.followers_topic(prefix),
        tables=tuple(sorted(tables)),
    )


def captured_topics(settings: Settings, topics: SourceTopics, partitions: dict[str, int]) -> set[str]:
    """Table topics that have been written to: the schema topic knows their table."""
    return {shape.topic for shape in read_shapes(settings).values()} if topics.schema in partitions else set()


def check_server(settings: Settings, state: SourceState) -> None:
    """Raise what makes capturing from this server, or making these topics, impossible."""
    server, source, place = state.server, settings.source, where(settings.source.dsn)
    if server.version < OLDEST:
        raise CheckFailed(
            f"PostgreSQL at {place} has version {server.version_text}", expected="14 or newer", fix="upgrade it"
        )
    if server.in_recovery:
        raise CheckFailed(
            f"PostgreSQL at {place} is a physical standby",
            expected="the primary",
            fix="name the primary in `dsn` of [source]",
        )
    if server.wal_level != "logical":
        raise CheckFailed(
            f"PostgreSQL at {place} has wal_level = {server.wal_level}",
            expected="wal_level = logical",
            fix="alter system set wal_level = logical; then restart the server",
        )
    check_replication(source, server)
    if source.failover_slot and server.version < FAILOVER_SINCE:
        raise SettingsError(
            f"failover_slot is set, but PostgreSQL at {place} has version {server.version_text}",
            expected="17 or newer for slots that standbys keep",
            fix="set failover_slot = false in section [source]",
        )
    if settings.kafka.replication_factor > state.brokers:
        raise SettingsError(
            f"replication_factor is {settings.kafka.replication_factor}, the cluster has {state.brokers} brokers",
            expected="at most one replica a broker",
            fix="lower `replication_factor` in section [kafka], or add brokers",
        )
    if settings.kafka.min_insync_replicas > settings.kafka.replication_factor:
        raise SettingsError(
            f"min_insync_replicas is {settings.kafka.min_insync_replicas}, replication_factor"
            f" {settings.kafka.replication_factor}",
            expected="min_insync_replicas at most replication_factor",
            fix="correct them in section [kafka]",
        )


def check_replication(source: SourceSettings, server: Server) -> None:
    """Raise what keeps the session's role from replicating.

    What membership in `rds_replication` is worth, the server itself is asked: by a replication session, which leaves nothing.
    """
    if server.replication:
        return
    if server.rds_replication:
        ReplicationConnection(source.dsn, source.password, application="stretto-check").close()
        return
    amazon = server.rds_replication is not None
    raise SettingsError(
        f"role {server.role} at {where(source.dsn)} may not replicate",
        expected="a member of rds_replication" if amazon else "a role with the replication attribute",
        fix=f"grant rds_replication to {server.role}" if amazon else f"alter role {server.role} replication",
    )
