"""What a kill leaves behind: read afterwards from Kafka and from PostgreSQL, never guessed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, LiteralString

import confluent_kafka
import psycopg
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stretto.embedded.processes import wait_until
from stretto_connectors.kafka.client import explain
from stretto_connectors.kafka.reader import TIMEOUT_S, consumer_options, decode, find_frontier, read_range, watermarks
from stretto_schemas import names
from stretto_schemas.errors import Unreachable
from stretto_schemas.frontier import Frontier, Open
from stretto_schemas.settings import KafkaSettings, Settings

Place = tuple[str, int]
"""Topic and partition."""

FIND_S: Final = 2.0
GONE_S: Final = 10.0


@dataclass(frozen=True)
class LogTraces:
    """What a killed capture left in Kafka, up to where the next one began."""

    aborted: int
    """Records of a Kafka transaction that was open at the kill. The next capture's start aborted it."""
    void: int
    """Rows that were committed, but that no frontier counts: the first parts of a large source transaction."""

    @property
    def hit(self) -> bool:
        """Whether the kill came in the middle of something."""
        return bool(self.aborted or self.void)


def newest_sequence(settings: Settings) -> int:
    """The number of the newest frontier in the log."""
    found = find_frontier(settings.kafka, names.transactions_topic(settings.prefix, settings.source.name))
    return found[0].sequence if found else -1


@contextmanager
def open_transaction(settings: Settings) -> Iterator[bool]:
    """Wait up to `FIND_S` for capture to open a Kafka transaction, and give control at once: it is open now, or was a
    moment ago. False when none came."""
    kafka, topic = settings.kafka, names.transactions_topic(settings.prefix, settings.source.name)
    consumer = confluent_kafka.Consumer(
        {**consumer_options(kafka, "stretto-demo-open"), "isolation.level": "read_uncommitted"}
    )
    try:
        consumer.assign([TopicPartition(topic, 0, watermarks(kafka, topic)[1])])
        deadline, opened = time.monotonic() + FIND_S, False
        while not opened and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                opened = isinstance(decode(message.value(), topic, message.offset() or 0), Open)
        yield opened
    finally:
        consumer.close()


def read_log_traces(settings: Settings, after: int) -> LogTraces | None:
    """Look behind the first frontier that a capture wrote after its start, if its number is above `after`; None while
    there is none. Raises Unreachable.

    That frontier names where every partition ended when its capture began. The last full frontier before it names
    where counting stood. In between, records that only an uncommitted reader sees were aborted, and committed rows
    beyond what frontiers count are void.
    """
    kafka, topic = settings.kafka, names.transactions_topic(settings.prefix, settings.source.name)
    resumed = find_frontier(kafka, topic, lambda each: each.resume_offsets is not None and each.sequence > after)
    if resumed is None:
        return None
    first, first_at = resumed
    before = find_frontier(kafka, topic, lambda each: each.offsets is not None and each.sequence < first.sequence)
    if before is None:
        return LogTraces(0, 0)
    full, full_at = before
    counted = {(each.topic, each.partition): each.offset for each in full.offsets or ()}
    ends = {(each.topic, each.partition): each.offset for each in first.resume_offsets or ()}
    rows = {place: (counted.get(place, 0), end) for place, end in ends.items() if end > counted.get(place, 0)}
    ranges = {**rows, (topic, 0): (full_at, first_at)}
    everything, committed = (_records(kafka, ranges, level) for level in ("read_uncommitted", "read_committed"))
    frontiers = [
        record
        for message in read_range(kafka, topic, 0, full_at, first_at)
        if isinstance(record := decode(message.value(), topic, message.offset() or 0), Frontier)
    ]
    # Logical messages outside of transactions belong to no frontier, so their topic says nothing.
    outside = (topic, names.message_topic(settings.prefix, settings.source.name))
    counts = sum(
        count
        for frontier in frontiers
        for (name, _), count in zip(frontier.partitions, frontier.counts, strict=True)
        if name not in outside
    )
    rows_committed = sum(1 for name, _, _ in committed if name not in outside)
    return LogTraces(aborted=len(everything - committed), void=max(0, rows_committed - counts))


def _records(kafka: KafkaSettings, ranges: Mapping[Place, tuple[int, int]], level: str) -> set[tuple[str, int, int]]:
    """Topic, partition and offset of all records in the ranges, as a reader of this isolation level sees them."""
    consumer = confluent_kafka.Consumer(
        {
            **consumer_options(kafka, "stretto-demo-traces"),
            "isolation.level": level,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        }
    )
    found: set[tuple[str, int, int]] = set()
    unread = set(ranges)
    deadline = time.monotonic() + TIMEOUT_S
    try:
        consumer.assign([TopicPartition(name, number, start) for (name, number), (start, _) in ranges.items()])
        while unread:
            for message in consumer.consume(1000, timeout=0.2):
                error, place = message.error(), (message.topic() or "", message.partition() or 0)
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise explain(KafkaException(error), kafka, f"reading {place[0]}")
                offset = message.offset() or 0
                if offset >= ranges[place][1]:
                    unread.discard(place)
                elif error is None:
                    found.add((*place, offset))
                    if offset == ranges[place][1] - 1:
                        unread.discard(place)
            if time.monotonic() > deadline:
                raise Unreachable(f"Kafka at {kafka.bootstrap} did not send what lies behind the kill in {TIMEOUT_S} s")
    finally:
        consumer.close()
    return found


_APPLYING: Final[LiteralString] = (
    "select pid, backend_xid::text from pg_stat_activity"
    " where application_name like 'stretto-apply-%' and backend_xid is not null and query !~* '^commit'"
)


def find_apply(conn: psycopg.Connection[Any]) -> tuple[int, str] | None:
    """Wait up to `FIND_S` for the applier to be in a transaction that has written: its backend and the transaction."""
    deadline = time.monotonic() + FIND_S
    while time.monotonic() < deadline:
        row = conn.execute(_APPLYING).fetchone()
        if row is not None:
            return row[0], row[1]
        time.sleep(0.002)
    return None


def fate(conn: psycopg.Connection[Any], backend: int, xid: str) -> str:
    """Wait until the killed process's backend has noticed; say what became of its transaction: aborted, committed,
    or in progress when the backend still lives after `GONE_S`."""
    if not wait_until(
        lambda: not conn.execute("select from pg_stat_activity where pid = %s", [backend]).rowcount, GONE_S
    ):
        return "in progress"
    row = conn.execute("select pg_xact_status(%s::text::xid8)", [xid]).fetchone()
    return str(row[0]) if row else "unknown"
