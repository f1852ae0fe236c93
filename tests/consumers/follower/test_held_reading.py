"""What a reader does whose follower must not show anything for a while."""

from __future__ import annotations

import time

import confluent_kafka
import pytest

from stretto.embedded.kafka import EmbeddedKafka
from stretto.embedded.processes import wait_until
from stretto_connectors.postgres.control import Control
from stretto_consumers.follower import gate as module
from stretto_consumers.follower.accounting import Batch
from stretto_consumers.follower.gate import Gate
from stretto_consumers.follower.log import LogReader
from stretto_schemas.frontier import Frontier, Transaction, encode_record
from stretto_schemas.names import transactions_topic
from stretto_schemas.position import Position
from stretto_schemas.settings import load
from tests.fix_stack import make_topic

FRONTIERS, ROWS, BUFFER_BYTES = 200, 200, 4 << 20
"""Forty megabytes of rows, ten times the buffer."""


class Order:
    """What is wanted, changed by the test."""

    def __init__(self) -> None:
        self.control = Control()

    def __call__(self) -> Control:
        return self.control


@pytest.mark.parametrize("wanted", [Control(paused=True), Control(apply_delay_s=3600.0)], ids=["paused", "delayed"])
def test_it_reads_as_far_as_its_buffer_allows_and_loses_nothing_of_the_rest(
    kafka: EmbeddedKafka, prefix: str, monkeypatch: pytest.MonkeyPatch, wanted: Control
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    environment = {"STRETTO_KAFKA__BOOTSTRAP": kafka.bootstrap, "STRETTO_PREFIX": prefix}
    settings = load(None, environment | {"STRETTO_FOLLOWER__BUFFER_BYTES": str(BUFFER_BYTES)})
    source, topic, rows = settings.source.name, transactions_topic(prefix, settings.source.name), f"{prefix}.rows"
    for name in (topic, rows):
        make_topic(kafka, name)
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap, "queue.buffering.max.messages": 0})
    now_us = time.time_ns() // 1000
    for number in range(FRONTIERS):
        for _ in range(ROWS):
            producer.produce(rows, b"x" * 1000, b"key", 0)
        lsn = 600 + number
        frontier = Frontier(
            *(source, 7, "1", 1),
            commit_lsn=lsn,
            end_lsn=lsn,
            commit_ts_us=now_us,
            sequence=number,
            partitions=[(rows, 0)],
            counts=[ROWS],
            transactions=[Transaction(number, lsn, lsn, now_us, [0, ROWS])],
        )
        producer.produce(topic, encode_record(frontier), partition=0)
    assert producer.flush(30) == 0

    order = Order()
    order.control = wanted
    gate = Gate(order, source_us=lambda: now_us)
    gate.look()
    reader = LogReader(settings, Position(source, 7, 500, 5, 500, 0, -1, {(rows, 0): 0}), gate=gate)
    batches: list[Batch] = []

    def take() -> int:
        batch = reader.poll(0.2)
        if batch is not None:
            batches.append(batch)
        return sum(each.records for each in batches)

    def full() -> bool:
        assert take() == 0
        return (rows, 0) in reader._paused

    try:
        assert wait_until(full, 30.0)
        for _ in range(10):
            assert take() == 0  # what is still on its way to us
        assert reader.budget.used + reader.budget.spilled < 2 * BUFFER_BYTES
        assert len(reader.accounting.queues[rows, 0]) < FRONTIERS * ROWS / 3
        order.control = Control()
        gate.look()
        assert wait_until(lambda: take() == FRONTIERS * ROWS, 60.0), len(batches)
        assert reader.accounting.position.end_lsn == 600 + FRONTIERS - 1
    finally:
        reader.close()
