"""Reads a source's log as somebody would who has only the documentation: a plain `read_committed` consumer.

It shares no code with the follower, so that both can be compared. What it demands of the log:

1. Frontiers come one after another, none missing.
2. Past the void ranges, each frontier finds as many records in each partition as it counts.
3. Each record belongs to a transaction that its frontier lists, and no transaction is listed twice.
4. The changes of a transaction have the orders 1, 2, 3, ... each once.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import confluent_kafka
from confluent_kafka import KafkaError, TopicPartition

from stretto.embedded.processes import wait_until

Place = tuple[str, int]


@dataclass
class Log:
    """What the frontiers say was done."""

    transactions: list[str] = field(default_factory=list)
    """Ids in commit order."""
    changes: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    """Envelopes by topic, in the order of each partition."""
    void: int = 0
    """Committed records that belong to no frontier."""
    uncounted: int = 0
    """Records after the last frontier's."""

    def inserted(self, topic: str, column: str) -> list[Any]:
        """The column's values in the rows that were inserted."""
        return [change["after"][column] for change in self.changes[topic] if change["op"] == "c"]


def read_log(bootstrap: str, prefix: str, source: str = "leader") -> Log:
    """Read everything that is there now and check it against the rules."""
    stem = f"{prefix}.{source}."
    records = _read_all(bootstrap, stem)
    frontiers = [
        record
        for _, _, value, _ in records.pop((f"{stem}transactions", 0), [])
        if (record := json.loads(value or b"{}"))["record"] == "frontier"
    ]
    records.pop((f"{stem}schema", 0), None)
    return _follow(frontiers, records)


def _follow(frontiers: list[dict[str, Any]], records: dict[Place, list[tuple[Any, ...]]]) -> Log:
    log = Log()
    at: dict[Place, int] = defaultdict(int)
    orders: dict[str, set[int]] = defaultdict(set)
    for sequence, frontier in enumerate(frontiers):
        assert frontier["sequence"] == sequence, "rule 1"
        for topic, partition, offset in frontier.get("resume_offsets") or ():
            rows = records.get((topic, partition), [])
            while at[topic, partition] < len(rows) and rows[at[topic, partition]][0] < offset:
                at[topic, partition] += 1
                log.void += 1
        listed = [f"{transaction[0]}:{transaction[1]}" for transaction in frontier.get("transactions", ())]
        assert not set(listed) & set(log.transactions), "rule 3"
        log.transactions += listed
        for (topic, partition), count in zip(frontier.get("partitions", ()), frontier.get("counts", ()), strict=True):
            start = at[topic, partition]
            rows = records[topic, partition][start : start + count]
            assert len(rows) == count, f"rule 2: {len(rows)} of {count} in {topic} {partition}"
            at[topic, partition] = start + count
            for _, _, value, headers in rows:
                _take(log, orders, topic, set(listed), value, headers)
    for transaction, found in orders.items():
        assert found == set(range(1, len(found) + 1)), f"rule 4: {transaction} has {sorted(found)}"
    log.uncounted = sum(len(rows) - at[place] for place, rows in records.items())
    return log


def _take(
    log: Log, orders: dict[str, set[int]], topic: str, listed: set[str], value: bytes | None, headers: Any
) -> None:
    if value is None:
        assert dict(headers)["transaction.id"].decode() in listed, "rule 3"
        return
    change = json.loads(value)
    block = change["transaction"]
    if block is None:
        return  # a logical message outside of any transaction
    assert block["id"] in listed, "rule 3"
    assert block["total_order"] not in orders[block["id"]], "rule 4"
    orders[block["id"]].add(block["total_order"])
    log.changes[topic].append(change)


def _read_all(bootstrap: str, stem: str) -> dict[Place, list[tuple[Any, ...]]]:
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "plain-reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    found: dict[Place, list[tuple[Any, ...]]] = {}
    ended: set[Place] = set()

    def take(messages: Iterable[confluent_kafka.Message]) -> bool:
        for message in messages:
            place = (message.topic() or "", message.partition() or 0)
            error = message.error()
            if error is None:
                found[place].append((message.offset(), message.key(), message.value(), message.headers()))
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(place)
            else:
                raise AssertionError(error.str())
        return ended == set(found)

    try:
        topics = consumer.list_topics(timeout=20).topics
        for name, topic in topics.items():
            if name.startswith(stem):
                found |= {(name, partition): [] for partition in topic.partitions}
        consumer.assign([TopicPartition(topic, partition, 0) for topic, partition in found])
        assert wait_until(lambda: take(consumer.consume(5000, 0.1)), 60.0), (
            f"the ends of {set(found) - ended} did not come"
        )
    finally:
        consumer.close()
    return found
