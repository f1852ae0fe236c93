"""Telling the others where this follower stands: records of `<prefix>.followers`, from a thread of its own.

A few times a second at most while it moves, every `publish_s` at rest, and also while one statement takes minutes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import confluent_kafka

from stretto_connectors.failpoints import failpoint
from stretto_connectors.kafka.client import client_options, drop, explain
from stretto_consumers.follower.progress import Progress
from stretto_schemas import names
from stretto_schemas.follower_state import FollowerState, encode_state, state_key
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

AT_MOST_EVERY_S = 0.1
"""At fifty batches a second a record each is a tenth of a small broker's work, and nobody reads them that fast."""

FLUSH_S = 2.0

_DROPPED = (confluent_kafka.KafkaError._PURGE_QUEUE, confluent_kafka.KafkaError._PURGE_INFLIGHT)
"""What the end of a session threw away, waiting and on its way."""


class Publisher:
    """Publishes `state()` from `start()` to `close()`. `moved()` is called from the thread that applies."""

    def __init__(self, settings: Settings, progress: Progress, state: Callable[[], FollowerState | None]) -> None:
        self._kafka = settings.kafka
        self._progress = progress
        self._state = state
        self._topic = names.followers_topic(settings.prefix)
        self._every_s = settings.follower.publish_s
        self._due = threading.Event()
        self._stop = threading.Event()
        self._failed = False
        self._refused_for = ""
        """Why the last record was not taken."""
        self._producer = confluent_kafka.Producer(
            {
                **client_options(settings.kafka, "stretto-position"),
                # No idempotence: a refused record would be a fatal error for it, and what is refused today is granted
                # tomorrow. A position that comes twice does no harm, and one at a time they stay in order.
                "enable.idempotence": False,
                "max.in.flight.requests.per.connection": 1,
                "acks": "all",
                "linger.ms": 0,
                "message.timeout.ms": 10_000,  # by then a newer one is due
            }
        )
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        """Publish for the first time, and go on."""
        self._due.set()
        self._thread.start()

    def moved(self) -> None:
        """Something became visible, or the state changed: a record is due."""
        self._due.set()

    def close(self, *, last: bool) -> None:
        """End the thread; `last`: what was not published yet goes out first, if a broker takes it in time."""
        self._stop.set()
        due = self._due.is_set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join()
        if last:
            if due:
                self._publish()
            with suppress(confluent_kafka.KafkaException):  # an error that was told of before
                self._producer.flush(FLUSH_S)
        # What nobody took would go out later, behind the next session's, and its callback would keep this session.
        drop(self._producer)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._due.clear()
            self._publish()
            failpoint("follower.after_publish")
            pause_s = self._every_s if self._failed else AT_MOST_EVERY_S
            self._failed = False
            if self._wait(pause_s):
                return
            self._due.wait(max(0.0, self._every_s - pause_s))

    def _wait(self, seconds: float) -> bool:
        """Let the producer work for so long; True when the end came first."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self._stop.is_set():
                return True
            self._producer.poll(min(left, AT_MOST_EVERY_S))
        return self._stop.is_set()

    def _publish(self) -> None:
        state = self._state()
        if state is None:
            return
        sent_us = time.monotonic_ns() // 1000

        def delivered(error: confluent_kafka.KafkaError | None, message: confluent_kafka.Message) -> None:
            if error is not None:
                self._not_taken(confluent_kafka.KafkaException(error))
                return
            self._refused_for = ""
            kind, appended_ms = message.timestamp()
            if kind == confluent_kafka.TIMESTAMP_LOG_APPEND_TIME:
                self._progress.broker_clock.exchange(sent_us, appended_ms * 1000 + 500, time.monotonic_ns() // 1000)

        try:
            self._producer.poll(0)
            self._producer.produce(
                self._topic, encode_state(state), state_key(state.follower, state.source), on_delivery=delivered
            )
        except confluent_kafka.KafkaException as error:
            self._not_taken(error)
        except BufferError:
            self._failed = True  # many wait for a broker that does not answer; librdkafka says so

    def _not_taken(self, error: confluent_kafka.KafkaException) -> None:
        if error.args[0].code() not in _DROPPED:
            why = str(explain(error, self._kafka, f"publishing to {self._topic}"))
            if why != self._refused_for:
                log.warning("where this follower stands is not published: %s", why)
            self._refused_for = why
        self._failed = True
