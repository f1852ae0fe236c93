"""Reading the log: the newest frontiers, and the ends of partitions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import confluent_kafka
import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported, but not by name

from stretto_connectors.kafka.client import client_options, explain, no_answer, outcome
from stretto_connectors.kafka.topics import topic_metadata
from stretto_schemas.errors import Halted
from stretto_schemas.frontier import Frontier, Open, Record, decode_record
from stretto_schemas.repairs import START_OVER
from stretto_schemas.settings import KafkaSettings

R = TypeVar("R")

TIMEOUT_S = 20.0
FIRST_WINDOW = 256
"""Records read at first when searching back; each further window is four times as large."""


def consumer_options(kafka: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Options of every consumer: committed records only, positions of our own, and no silent jump over a gap."""
    return {
        **client_options(kafka, client_id),
        "group.id": client_id,
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "fetch.queue.backoff.ms": 2,
        "fetch.wait.max.ms": 500,
        # Of one partition in one answer, compressed: more, and one partition comes so far ahead of the others that it spills.
        "fetch.message.max.bytes": 512 * 1024,
        "fetch.max.bytes": max(52_428_800, kafka.max_message_bytes),
        "receive.message.max.bytes": max(52_428_800, kafka.max_message_bytes) + 1024 * 1024,
        "check.crcs": False,
    }


def decode(value: bytes | None, topic: str, offset: int) -> Record:
    """A record of the transactions topic. Raises Halted, naming the place, when it is none."""
    try:
        record: Record = decode_record(value or b"")
        return record
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise Halted(
            f"record {offset} of {topic} is no frontier: {error}",
            expected="records written by capture only",
            fix="give only capture's principal the right to write this topic; see docs/guarantees.md",
        ) from None


def read_range(
    kafka: KafkaSettings, topic: str, partition: int, start: int, end: int, *, uncommitted: bool = False
) -> Iterator[confluent_kafka.Message]:
    """Committed (or also uncommitted) records with `start <= offset < end`, in order. Raises Unreachable after a time without any answer."""
    consumer = confluent_kafka.Consumer(
        {
            **consumer_options(kafka, "stretto-scan"),
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
            "isolation.level": "read_uncommitted" if uncommitted else "read_committed",
        }
    )
    try:
        consumer.assign([TopicPartition(topic, partition, start)])
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            message = consumer.poll(0.5)
            if message is None:
                if time.monotonic() > deadline:
                    raise no_answer(kafka, f"reading {topic}")
                continue
            error = message.error()
            if error is not None and error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
                continue  # librdkafka asks for a group's coordinator even where nothing is kept in the group
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                if (message.offset() or 0) >= end:
                    return
                continue  # records before the end whose commit marker is still to come
            if error is not None:
                raise explain(KafkaException(error), kafka, f"reading {topic}")
            if (message.offset() or 0) >= end:
                return
            deadline = time.monotonic() + TIMEOUT_S
            yield message
    finally:
        consumer.close()


def find_frontier(
    kafka: KafkaSettings, topic: str, wanted: Callable[[Frontier], bool] = lambda _: True
) -> tuple[Frontier, int] | None:
    """The newest committed frontier that is `wanted`, with its offset; None when the topic holds none."""
    return _newest(kafka, topic, lambda record: record if isinstance(record, Frontier) and wanted(record) else None)


def newest_open(kafka: KafkaSettings, topic: str) -> Open | None:
    """The `Open` record written last, committed or not: whose producer wrote to the log last."""
    found = _newest(kafka, topic, lambda record: record if isinstance(record, Open) else None, uncommitted=True)
    return found[0] if found is not None else None


def _newest(
    kafka: KafkaSettings, topic: str, pick: Callable[[Record], R | None], *, uncommitted: bool = False
) -> tuple[R, int] | None:
    """The last record that is picked, with its offset.

    Control records and aborted ones may lie behind it, so the search goes back in growing windows.
    """
    low, high = watermarks(kafka, topic)
    end, window = high, FIRST_WINDOW
    while end > low:
        start = max(low, end - window)
        found: tuple[R, int] | None = None
        for message in read_range(kafka, topic, 0, start, end, uncommitted=uncommitted):
            offset = message.offset() or 0
            picked = pick(decode(message.value(), topic, offset))
            if picked is not None:
                found = picked, offset
        if found is not None:
            return found
        end, window = start, window * 4
    return None


def watermarks(kafka: KafkaSettings, topic: str, partition: int = 0) -> tuple[int, int]:
    """First offset still there and end offset of one partition, open transactions included. Raises Unreachable or Halted (no such topic)."""
    consumer = confluent_kafka.Consumer(
        {**consumer_options(kafka, "stretto-scan"), "isolation.level": "read_uncommitted"}
    )
    try:
        answer = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() in (
            KafkaError.UNKNOWN_TOPIC_OR_PART,
            KafkaError._UNKNOWN_PARTITION,
            KafkaError._UNKNOWN_TOPIC,
        ):
            raise missing_topic(topic) from None
        raise explain(error, kafka, f"asking for the end of {topic}", consumer) from None
    finally:
        consumer.close()
    if answer is None:
        raise no_answer(kafka, f"asking for the end of {topic}")
    return answer[0], answer[1]


def require_topic(client: confluent_kafka.Consumer, kafka: KafkaSettings, topic: str, timeout_s: float) -> None:
    """Return when the broker has the topic and lets this client see it. Raises Unreachable, Halted (no such topic) or
    SettingsError (no right to it: then fetching gives no error, and no records either). Reads nothing.
    """
    error = topic_metadata(client, kafka, topic, timeout_s).error
    if error is not None and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise missing_topic(topic)


def missing_topic(topic: str) -> Halted:
    """A topic that the log needs is not there."""
    return Halted(
        f"topic {topic} does not exist",
        expected="the topics that `stretto init` and capture made",
        fix=f"a deleted topic took its rows along: {START_OVER}; or run `stretto init` when this is the first start",
    )


def end_offsets(
    client: AdminClient,
    kafka: KafkaSettings,
    partitions: Iterable[tuple[str, int]],
    *,
    earliest: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> dict[tuple[str, int], int]:
    """End offset (or first offset still there) of each partition, open and aborted transactions included."""
    spec: Any = OffsetSpec.earliest() if earliest else OffsetSpec.latest()  # type: ignore[no-untyped-call]
    request = {TopicPartition(topic, partition): spec for topic, partition in partitions}
    if not request:
        return {}
    answer = {}
    for place, future in client.list_offsets(request, request_timeout=timeout_s).items():
        doing = f"asking for the end of {place.topic}"
        try:
            answer[place.topic, place.partition] = outcome(future, kafka, doing, timeout_s).offset
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise missing_topic(place.topic) from None
            raise explain(error, kafka, doing) from None
    return answer
