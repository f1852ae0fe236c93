"""What the monitor writes: its looks for the windows, and alerts. In order; a broker that is away is waited for."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import confluent_kafka

from stretto_connectors.kafka.client import client_options, drop, explain
from stretto_consumers.lag.monitor.alert_log import alert_key, encode_alert
from stretto_consumers.lag.monitor.broker_clock import BrokerClock
from stretto_consumers.lag.monitor.places import Places
from stretto_schemas.errors import StrettoError
from stretto_schemas.lag.view import Alert, Point, encode_points
from stretto_schemas.settings import KafkaSettings

log = logging.getLogger(__name__)

POINTS_WAIT_MS = 5_000
"""Looks are worth nothing once newer ones are there."""
FLUSH_S = 2.0


class Telling:
    """Two producers: looks may be given up, alerts never are while the process lives. One thread."""

    def __init__(self, kafka: KafkaSettings, found: Places, clock: BrokerClock) -> None:
        """`clock` learns from each look that is written."""
        self._kafka = kafka
        self._clock = clock
        self._places = found
        self.trouble: StrettoError | None = None
        """Why the newest record was not taken; None: it was."""
        # gzip: the one codec that every client reads without help
        self._points = self._producer("points", {"message.timeout.ms": POINTS_WAIT_MS, "compression.type": "gzip"})
        self._alerts = self._producer("alerts", {"message.timeout.ms": 0})

    def points(self, points: Sequence[Point]) -> None:
        """Write the looks of one interval."""
        self._write(self._points, self._places.points, encode_points(points), None)

    def alert(self, alert: Alert) -> None:
        """Write an alert."""
        self._write(self._alerts, self._places.alerts, encode_alert(alert), alert_key(alert).encode())

    def forget(self) -> None:
        """Throw away the alerts that nobody took: the topic that they were for is gone."""
        drop(self._alerts)

    def poll(self) -> None:
        """Learn what became of the records."""
        for producer in (self._points, self._alerts):
            with suppress(confluent_kafka.KafkaException):
                producer.poll(0)

    def close(self) -> None:
        """Write what waits, if a broker takes it within seconds. An alert that nobody took is told again after the start."""
        with suppress(confluent_kafka.KafkaException):
            self._alerts.flush(FLUSH_S)
        for producer in (self._points, self._alerts):
            drop(producer)

    def _producer(self, name: str, options: dict[str, object]) -> confluent_kafka.Producer:
        own = {"acks": "all", "max.in.flight.requests.per.connection": 1, "linger.ms": 0, **options}
        return confluent_kafka.Producer({**client_options(self._kafka, f"stretto-lag-{name}"), **own})

    def _write(self, producer: confluent_kafka.Producer, topic: str, value: bytes, key: bytes | None) -> None:
        try:
            producer.produce(topic, value, key, 0, on_delivery=partial(self._delivered, time.monotonic()))
        except confluent_kafka.KafkaException as error:
            self._say(error, topic)
        except BufferError:
            log.warning("too much waits for %s: a record is given up", topic)

    def _delivered(
        self, sent_at: float, error: confluent_kafka.KafkaError | None, message: confluent_kafka.Message
    ) -> None:
        if error is None:
            self.trouble = None
            self._clock.taken(sent_at, message)
        elif error.code() not in _DROPPED:
            self._say(confluent_kafka.KafkaException(error), message.topic() or "")

    def _say(self, error: confluent_kafka.KafkaException, topic: str) -> None:
        trouble = explain(error, self._kafka, f"writing to {topic}")
        if self.trouble is None or self.trouble.found != trouble.found:
            log.warning("a record is not written: %s; %s", trouble.found, trouble.fix)
        self.trouble = trouble


_DROPPED = (confluent_kafka.KafkaError._PURGE_QUEUE, confluent_kafka.KafkaError._PURGE_INFLIGHT)
"""What was still waiting at the end."""
