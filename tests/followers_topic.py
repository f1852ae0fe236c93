"""What is in `<prefix>.followers`, record by record."""

from __future__ import annotations

from stretto_connectors.kafka.reader import read_range, watermarks
from stretto_schemas.follower_state import FollowerState, decode_state
from stretto_schemas.names import followers_topic
from stretto_schemas.settings import KafkaSettings

Record = tuple[bytes, FollowerState | None]
"""Key and state; None: a tombstone."""


def follower_records(kafka: KafkaSettings, prefix: str) -> list[Record]:
    """All records so far, oldest first."""
    topic = followers_topic(prefix)
    found = []
    for message in read_range(kafka, topic, 0, *watermarks(kafka, topic)):
        key, value = message.key(), message.value()
        assert isinstance(key, bytes)
        found.append((key, decode_state(value) if value is not None else None))
    return found


def newest_state(kafka: KafkaSettings, prefix: str) -> FollowerState | None:
    """What the last record says."""
    records = follower_records(kafka, prefix)
    return records[-1][1] if records else None
