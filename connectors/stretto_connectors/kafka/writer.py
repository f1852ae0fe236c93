"""Writing to the log: whole batches, each one Kafka transaction.

librdkafka lacks the second part of KIP-890, so a late duplicate of an abort may void the first part of a transaction.
Therefore an `Open` record goes first (the commit then fails as a whole), and a producer that saw an error, an abort or a
time-out is never used again: the caller makes a new writer, which decides the old transaction's outcome and fences others.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException

from stretto_connectors.failpoints import failpoint
from stretto_connectors.kafka.client import client_options, drop, explain
from stretto_schemas.errors import Fenced, Halted, StrettoError, Unreachable
from stretto_schemas.settings import KafkaSettings

LogRecord = tuple[str, bytes, bytes, int]
"""A control record: topic, value, key, partition."""

Headers = list[tuple[str, bytes]]
RowRecord = tuple[bytes | None, bytes] | tuple[bytes | None, bytes, Headers]
"""A record of a partition's list: value and key, and headers where there are any."""

Partition = tuple[str, int]

LINGER_MS = 5
"""Larger requests while a large batch is produced: a fifth less CPU here and on the broker. A commit does not wait for it."""


TAKEOVER_S = 3.0
"""Longer than a capture that waits for the slot takes to find it free and to write its first record."""


TOPICS_NAMED = 3
"""Of the topics that a refused transaction was to write to."""


LOADING_S: Final = 60.0
"""For commands that end when a broker refuses: whoever gave one, or a job that runs it, would but give it again."""

_LOADING: Final = {KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.COORDINATOR_NOT_AVAILABLE}


class LogWriter:
    """A transactional producer. `init()` once, then per Kafka transaction `begin()`, `produce()` and `commit()`."""

    def __init__(self, kafka: KafkaSettings, transactional_id: str, transaction_timeout_s: float) -> None:
        self._kafka = kafka
        self._id = transactional_id
        self._timeout_s = transaction_timeout_s
        self._opened_at = 0.0
        self._producer = confluent_kafka.Producer(
            {
                **client_options(kafka, transactional_id),
                "transactional.id": transactional_id,
                "transaction.timeout.ms": int(transaction_timeout_s * 1000),
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": LINGER_MS,
                "batch.size": 1024 * 1024,
                "batch.num.messages": 100_000,
                "queue.buffering.max.messages": 0,
                "queue.buffering.max.kbytes": 1024 * 1024,
                "message.max.bytes": kafka.max_message_bytes,
                "compression.type": kafka.compression,
                "delivery.report.only.error": False,
            }
        )

    def init(self, timeout_s: float = 10.0, loading_s: float = 0.0) -> None:
        """Fence every other writer of this id and learn what became of its last transaction. Raises Unreachable.

        A broker that has just started reads its own log first and says so: it is asked again for `loading_s`.
        """
        by = time.monotonic() + loading_s
        while True:
            try:
                self._producer.init_transactions(timeout_s)
                return
            except KafkaException as error:
                if error.args[0].code() in _LOADING and time.monotonic() < by:
                    continue
                doing = f"taking over transactional id {self._id}"
                raise explain(error, self._kafka, doing, self._producer) from None

    def begin(self, first: Iterable[LogRecord]) -> None:
        """Begin a Kafka transaction with the records `first`. Raises as `commit` does."""
        self._offsets: dict[Partition, int] = {}
        self._counts: dict[Partition, int] = {}
        self._others: set[str] = set()
        try:
            self._producer.begin_transaction()
            self._opened_at = _clock_s()
            self._write(first)
        except KafkaException as error:
            raise self._failure(error) from None
        failpoint("capture.after_open", self._producer.flush)

    def produce(self, topic: str, partition: int, rows: list[RowRecord]) -> None:
        """Add a partition's records, at least one and once a Kafka transaction. Raises as `commit` does."""
        produce, head = self._producer.produce, rows[0]
        self._counts[topic, partition] = len(rows)
        try:
            # The first one tells the offset that it got: the others follow it without a gap.
            headers = head[2] if len(head) == 3 else None
            self._produce(topic, head[0], head[1], partition, on_delivery=self._delivered, headers=headers)
            rows = rows[1:]
            for row in rows:
                try:
                    if len(row) == 2:
                        produce(topic, row[0], row[1], partition)
                    else:
                        produce(topic, row[0], row[1], partition, headers=row[2])  # type: ignore[arg-type]  # list is invariant
                except BufferError:
                    self._produce(topic, row[0], row[1], partition, headers=row[2] if len(row) == 3 else None)
            self._producer.poll(0)
        except KafkaException as error:
            raise self._failure(error) from None

    def _delivered(self, error: KafkaError | None, message: confluent_kafka.Message) -> None:
        offset = message.offset()
        if error is None and offset is not None:
            self._offsets[message.topic() or "", message.partition() or 0] = offset

    def commit(self, last: Iterable[LogRecord]) -> dict[Partition, int]:
        """Add the records `last` and commit; return the next offset of each partition that got records.

        Blocks until the broker has committed. Raises Fenced, Halted (a record that the broker does not take) or
        Unreachable; after any of them this writer is of no more use.
        """
        failpoint("capture.after_rows", self._producer.flush)
        try:
            self._write(last)
            failpoint("capture.after_frontier", self._producer.flush)
            self._producer.commit_transaction(self._timeout_s + 10)
        except KafkaException as error:
            raise self._failure(error) from None
        for topic, _ in self._counts.keys() - self._offsets.keys():
            # So for a batch that the broker had already, from a try whose answer was lost. A new session asks for the ends.
            raise Unreachable(
                f"Kafka at {self._kafka.bootstrap} took records of {topic}, but did not say where they lie",
                fix="this is tried again",
            )
        return {place: self._offsets[place] + count for place, count in self._counts.items()}

    def _write(self, records: Iterable[LogRecord]) -> None:
        """Records that are no rows: few, and of topics that no partition counts."""
        for record in records:
            self._others.add(record[0])
            self._produce(*record)

    def _produce(self, topic: str, value: bytes | None, key: bytes, partition: int, **more: Any) -> None:
        """Produce, waiting while librdkafka's queue is full."""
        while True:
            try:
                self._producer.produce(topic, value, key, partition, **{k: v for k, v in more.items() if v is not None})
                return
            except BufferError:
                self._producer.poll(0.1)

    def _failure(self, error: KafkaException) -> StrettoError:
        cause = error.args[0]
        if cause.code() in (KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH):
            if _clock_s() - self._opened_at < self._timeout_s:
                return fenced()
            return explain(error, self._kafka, "committing (the transaction had timed out)")
        if cause.code() == KafkaError.UNKNOWN:
            # So a broker answers, too, when another process takes over the id in the middle of a commit: leave it time.
            time.sleep(TAKEOVER_S)
        if cause.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            return Halted(
                f"a row does not fit into a Kafka record: {cause.str()}",
                expected=f"at most {self._kafka.max_message_bytes} bytes (max_message_bytes) and the topic's max.message.bytes",
                fix="raise `max_message_bytes` in section [kafka] and max.message.bytes of the table's topic, then start again",
            )
        topics = sorted({topic for topic, _ in self._counts} | self._others)
        more = f" and {len(topics) - TOPICS_NAMED} more" if len(topics) > TOPICS_NAMED else ""
        return explain(error, self._kafka, f"writing to {', '.join(topics[:TOPICS_NAMED])}{more}")

    def close(self) -> None:
        """Drop the producer with everything it still holds.

        It must be gone at once: an init that nobody waits for any more would be tried on, and fence its successor.
        """
        drop(self._producer)
        del self._producer


def _clock_s() -> float:
    """Seconds that went by, also while this machine was suspended: the broker's time-out does not stop then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def fenced() -> Fenced:
    """Another process writes with this one's transactional id."""
    return Fenced(
        "another capture of this source has started and fenced this one",
        expected="one capture per source",
        fix="stop the other one, or let it run and leave this one stopped",
    )
