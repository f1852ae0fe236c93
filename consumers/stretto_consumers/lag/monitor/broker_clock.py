"""The broker's clock, by which windows begin and end: this machine's own may be off.

Whoever writes a record learns when the broker took it. The monitor writes its looks all the time; before its first session
it writes an empty one.
"""

from __future__ import annotations

import threading
import time
from typing import Final

import confluent_kafka
from confluent_kafka import KafkaException, Producer

from stretto_connectors.kafka.client import client_options, drop, explain, no_answer
from stretto_schemas.lag.skew import ClockOffset
from stretto_schemas.lag.view import encode_points
from stretto_schemas.settings import KafkaSettings

TIMEOUT_S: Final = 15.0
HALF_A_MILLISECOND_US: Final = 500
"""The broker cuts its time to milliseconds."""


class BrokerClock:
    """What the broker's clock shows at a moment of the monotonic one. Any thread."""

    def __init__(self) -> None:
        self._offset = ClockOffset()
        self._lock = threading.Lock()

    def taken(self, sent_at: float, message: confluent_kafka.Message) -> None:
        """The broker has taken a record that was sent at this moment (monotonic, seconds)."""
        kind, taken_ms = message.timestamp()
        if kind != confluent_kafka.TIMESTAMP_LOG_APPEND_TIME:
            return  # a topic of somebody else's making, which shows our own clock
        received_at = sent_at + (message.latency() or 0.0)
        with self._lock:
            self._offset.exchange(
                round(sent_at * 1e6), taken_ms * 1000 + HALF_A_MILLISECOND_US, round(received_at * 1e6)
            )

    def us(self, at: float) -> int | None:
        """Microseconds since 1970 at a moment (monotonic, seconds); None before the first record."""
        offset_us = self._offset.us
        return round(at * 1e6) + offset_us if offset_us is not None else None

    def ask(self, kafka: KafkaSettings, topic: str) -> int:
        """Write an empty look into the topic of looks; return what the broker's clock shows, microseconds since 1970.

        Our own clock where the topic does not show the broker's. Raises Unreachable or SettingsError (no right to write).
        """
        doing = f"writing to {topic}"
        outcomes: list[confluent_kafka.KafkaError | None] = []
        sent_at = time.monotonic()

        def told(error: confluent_kafka.KafkaError | None, message: confluent_kafka.Message) -> None:
            outcomes.append(error)
            if error is None:
                self.taken(sent_at, message)

        own = {"acks": "all", "enable.idempotence": False, "message.timeout.ms": int(TIMEOUT_S * 1000)}
        producer = Producer({**client_options(kafka, "stretto-lag-clock"), **own})
        try:
            producer.produce(topic, encode_points([]), None, 0, on_delivery=told)
            producer.flush(2 * TIMEOUT_S)
        finally:
            drop(producer)
        if not outcomes:
            raise no_answer(kafka, doing)
        if outcomes[0] is not None:
            raise explain(KafkaException(outcomes[0]), kafka, doing)
        return self.us(time.monotonic()) or time.time_ns() // 1000
