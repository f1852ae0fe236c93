"""Topics: made with settings that last, never by the broker's auto-create."""

from __future__ import annotations

from collections.abc import Iterable

import confluent_kafka
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, TopicMetadata  # type: ignore[attr-defined]  # exported, but not by name
from confluent_kafka.cimpl import NewTopic

from stretto_connectors.kafka.client import explain, outcome
from stretto_schemas.settings import KafkaSettings

TIMEOUT_S = 15.0

BROKERS_CLOCK = {"message.timestamp.type": "LogAppendTime"}
"""Who writes a record learns from its delivery what the broker's clock showed, and who reads it too."""


def rows_config(kafka: KafkaSettings) -> dict[str, str]:
    """Of a table's topic: no compaction, which would take rows out of frontiers."""
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(int(kafka.retention_hours * 3_600_000)),
        "retention.bytes": "-1",
        "max.message.bytes": str(kafka.max_message_bytes),
        "min.insync.replicas": str(kafka.min_insync_replicas),
        "message.timestamp.type": "CreateTime",
    }


def frontiers_config(kafka: KafkaSettings) -> dict[str, str]:
    """Of the transactions topic: it has no retention of its own, and the broker's clock, by which others are compared."""
    return rows_config(kafka) | {"retention.ms": "-1"} | BROKERS_CLOCK


def compacted_config(kafka: KafkaSettings) -> dict[str, str]:
    """Of topics that hold the newest state by key."""
    return {
        "cleanup.policy": "compact",
        "max.message.bytes": str(kafka.max_message_bytes),
        "min.insync.replicas": str(kafka.min_insync_replicas),
    }


def followers_config(kafka: KafkaSettings) -> dict[str, str]:
    """Of the followers topic: the newest state by key, with the broker's clock.

    A segment that is written to is never compacted: small ones, so that who reads it from its beginning reads little.
    """
    small = {"segment.bytes": str(4 * 1024 * 1024), "min.cleanable.dirty.ratio": "0.1"}
    return compacted_config(kafka) | BROKERS_CLOCK | small


def ensure_topics(
    client: AdminClient, kafka: KafkaSettings, topics: Iterable[str], *, partitions: int, config: dict[str, str]
) -> list[str]:
    """Make those of `topics` that are missing; return the ones made. Raises Unreachable or SettingsError."""
    wanted = [
        NewTopic(topic, num_partitions=partitions, replication_factor=kafka.replication_factor, config=config)
        for topic in topics
    ]
    made = []
    times = {"operation_timeout": TIMEOUT_S, "request_timeout": TIMEOUT_S}
    for topic, future in client.create_topics(wanted, **times).items() if wanted else ():
        doing = f"making topic {topic}"
        try:
            outcome(future, kafka, doing, TIMEOUT_S)
            made.append(topic)
        except confluent_kafka.KafkaException as error:
            if error.args[0].code() != confluent_kafka.KafkaError.TOPIC_ALREADY_EXISTS:
                raise explain(error, kafka, doing, client) from None
    return made


def topic_metadata(
    client: AdminClient | confluent_kafka.Consumer, kafka: KafkaSettings, topic: str, timeout_s: float
) -> TopicMetadata:
    """What the brokers say of one topic; `error` where they have none. Raises Unreachable or SettingsError (no right to see it).

    Of a consumer nothing is read, not even its callbacks: a record could come along.
    """
    doing = f"asking for topic {topic}"
    try:
        found = client.list_topics(topic, timeout=timeout_s).topics[topic]
    except confluent_kafka.KafkaException as error:
        raise explain(error, kafka, doing, client if isinstance(client, AdminClient) else None) from None
    if found.error is not None and found.error.code() == confluent_kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED:
        raise explain(confluent_kafka.KafkaException(found.error), kafka, doing)
    return found


def partition_counts(client: AdminClient, kafka: KafkaSettings, prefix: str = "") -> dict[str, int]:
    """Number of partitions of each topic whose name begins with `prefix`. Raises Unreachable."""
    try:
        metadata = client.list_topics(timeout=TIMEOUT_S)
    except confluent_kafka.KafkaException as error:
        raise explain(error, kafka, "listing topics", client) from None
    return {
        name: len(topic.partitions)
        for name, topic in metadata.topics.items()
        if name.startswith(prefix) and topic.error is None
    }


def delete_before(client: AdminClient, kafka: KafkaSettings, topic: str, partition: int, offset: int) -> None:
    """Take away the records of a partition that lie before `offset`. Raises Unreachable or SettingsError (no right to delete)."""
    doing = f"deleting the head of topic {topic}"
    times = {"operation_timeout": TIMEOUT_S, "request_timeout": TIMEOUT_S}
    for future in client.delete_records([TopicPartition(topic, partition, offset)], **times).values():
        try:
            outcome(future, kafka, doing, TIMEOUT_S)
        except confluent_kafka.KafkaException as error:
            raise explain(error, kafka, doing, client) from None
