"""`<prefix>.followers`: who is known there, and taking somebody off."""

from __future__ import annotations

import confluent_kafka
from confluent_kafka import KafkaException, Producer

from stretto_connectors.kafka.client import client_options, drop, explain
from stretto_connectors.kafka.reader import read_range, watermarks
from stretto_schemas.errors import Unreachable
from stretto_schemas.settings import KafkaSettings

FLUSH_S = 15.0


def known_followers(kafka: KafkaSettings, topic: str, source: str = "") -> list[bytes]:
    """Keys that speak of this source, or of any, and are not taken back yet. Raises Unreachable, SettingsError or Halted (no topic)."""
    suffix = f"/{source}".encode() if source else b""
    low, high = watermarks(kafka, topic)
    newest = {message.key(): message.value() for message in read_range(kafka, topic, 0, low, high)}
    return [
        key for key, value in newest.items() if isinstance(key, bytes) and key.endswith(suffix) and value is not None
    ]


def forget_followers(kafka: KafkaSettings, topic: str, keys: list[bytes], client_id: str) -> None:
    """Write a tombstone for each key; they are in the log when this returns. Raises Unreachable or SettingsError (no right)."""
    refusals: list[confluent_kafka.KafkaError] = []

    def told(error: confluent_kafka.KafkaError | None, _: confluent_kafka.Message) -> None:
        if error is not None:
            refusals.append(error)

    # No idempotence: a refused record would be a fatal error for it. A tombstone that comes twice does no harm.
    producer = Producer({**client_options(kafka, client_id), "acks": "all", "enable.idempotence": False})
    try:
        for key in keys:
            producer.produce(topic, None, key, 0, on_delivery=told)
        left = producer.flush(FLUSH_S)
    finally:
        drop(producer)
    if refusals:
        raise explain(KafkaException(refusals[0]), kafka, f"writing to {topic}")
    if left:
        raise Unreachable(f"Kafka at {kafka.bootstrap} took no records for {FLUSH_S:.0f} s", fix="run this again")
