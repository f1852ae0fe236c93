"""Reading the log while the broker is away, and while its head is cut."""

from __future__ import annotations

import confluent_kafka
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from stretto.embedded.kafka import EmbeddedKafka
from stretto.embedded.processes import wait_until
from stretto_consumers.follower import log
from stretto_consumers.follower.log import LogReader
from stretto_schemas.errors import Unreachable
from stretto_schemas.frontier import Frontier, Open, PartitionOffset, Transaction, encode_record
from stretto_schemas.names import transactions_topic
from stretto_schemas.position import Position
from stretto_schemas.settings import load
from tests.fix_proxy import proxy_to
from tests.fix_stack import make_topic


def cut(kafka: EmbeddedKafka, topic: str, offset: int) -> None:
    """Delete the topic's records before this offset."""
    client = AdminClient({"bootstrap.servers": kafka.bootstrap})
    client.delete_records([TopicPartition(topic, 0, offset)])[TopicPartition(topic, 0)].result(20)


def test_a_partition_that_nobody_leads_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "METADATA_S", 0.2)
    settings = load(None, {"STRETTO_KAFKA__BOOTSTRAP": "127.0.0.1:1"})
    reader = LogReader(settings, Position("leader", 1, 0, 0, 0, 0, 0, {}))
    try:
        with pytest.raises(Unreachable, match="offsets of partition 3 of t"):
            reader._out_of_range("t", 3)
    finally:
        reader.close()


def test_a_partition_that_comes_far_ahead_waits_in_kafka_and_loses_nothing(kafka: EmbeddedKafka, prefix: str) -> None:
    """The frontiers count rows of two partitions; those of the second come when the first one's have filled the memory."""
    environment = {"STRETTO_KAFKA__BOOTSTRAP": kafka.bootstrap, "STRETTO_PREFIX": prefix}
    settings = load(None, environment | {"STRETTO_FOLLOWER__BUFFER_BYTES": str(16 << 20)})
    source, topic, rows = settings.source.name, transactions_topic(prefix, settings.source.name), f"{prefix}.rows"
    make_topic(kafka, topic)
    make_topic(kafka, rows, partitions=2)
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap, "queue.buffering.max.messages": 0})
    for number in range(40):
        for _ in range(1000):
            producer.produce(rows, b"x" * 1000, b"key", 0)
        lsn = 600 + number
        transaction = Transaction(number, lsn, lsn, 1, [0, 1000, 1, 1])
        frontier = Frontier(
            *(source, 7, "1", 1),
            commit_lsn=lsn,
            end_lsn=lsn,
            commit_ts_us=1,
            sequence=number,
            partitions=[(rows, 0), (rows, 1)],
            counts=[1000, 1],
            transactions=[transaction],
        )
        producer.produce(topic, encode_record(frontier), partition=0)
    assert producer.flush(30) == 0

    taken: list[int] = []

    def take() -> None:
        batch = reader.poll(0.2)
        if batch is not None:
            taken.append(batch.records)

    def held() -> bool:
        take()
        return (rows, 0) in reader._paused

    def all_came() -> bool:
        take()
        return sum(taken) == 40 * 1001

    reader = LogReader(settings, Position(source, 7, 500, 5, 500, 0, -1, {(rows, 0): 0, (rows, 1): 0}))
    try:
        assert wait_until(held, 30.0)
        for _ in range(5):
            take()  # what is still on its way to us
        assert taken == []
        waiting = len(reader.accounting.queues[rows, 0])
        assert 0 < waiting < 20_000
        assert reader.budget.spilled == 0
        for _ in range(40):
            producer.produce(rows, b"y", b"key", 1)
        assert producer.flush(30) == 0
        assert wait_until(all_came, 60.0), taken
        assert reader.accounting.position.end_lsn == 639
    finally:
        reader.close()


def test_a_broker_that_falls_silent_is_named_once_and_read_on_when_it_answers(
    kafka: EmbeddedKafka, prefix: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The reader stays, with all that it has: a session that ended would read a large transaction from its start again."""
    monkeypatch.setattr(log, "SILENT_AFTER_S", 1.0)
    monkeypatch.setattr(log, "ASK_S", 0.5)
    environment = {"STRETTO_KAFKA__BOOTSTRAP": kafka.bootstrap, "STRETTO_PREFIX": prefix}
    settings = load(None, environment)
    source, topic, rows = settings.source.name, transactions_topic(prefix, settings.source.name), f"{prefix}.rows"
    make_topic(kafka, topic)
    make_topic(kafka, rows)
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap})

    def write(number: int) -> None:
        """A frontier of two rows, of which only one is there: the other one comes later."""
        producer.produce(rows, b"x", b"key", 0)
        lsn = 600 + number
        frontier = Frontier(
            *(source, 7, "1", 1),
            commit_lsn=lsn,
            end_lsn=lsn,
            commit_ts_us=1,
            sequence=number,
            partitions=[(rows, 0)],
            counts=[2],
            transactions=[Transaction(number, lsn, lsn, 1, [0, 2])],
        )
        producer.produce(topic, encode_record(frontier), partition=0)
        assert producer.flush(30) == 0

    def complete() -> None:
        producer.produce(rows, b"y", b"key", 0)
        assert producer.flush(30) == 0

    with proxy_to(kafka.port, advertised=True) as proxy:
        behind = load(None, environment | {"STRETTO_KAFKA__BOOTSTRAP": f"127.0.0.1:{proxy.port}"})
        reader = LogReader(behind, Position(source, 7, 500, 5, 500, 0, -1, {(rows, 0): 0}))
        taken: list[int] = []

        def take() -> int:
            batch = reader.poll(0.2)
            if batch is not None:
                taken.append(batch.records)
            return len(taken)

        def half_read() -> bool:
            return take() == 0 and len(reader.accounting.queues[rows, 0]) == 1

        try:
            write(0)
            assert wait_until(half_read, 30.0)
            proxy.cut()
            assert wait_until(lambda: take() == 0 and "does not answer while asking" in caplog.text, 60.0)
            assert wait_until(lambda: take() == 0 and reader._silent_s > 0.5, 30.0)  # asked again, and said nothing new
            complete()
            write(1)
            complete()
            proxy.mend()
            assert wait_until(lambda: take() == 2 or sum(taken) == 4, 60.0), taken
            assert sum(taken) == 4
        finally:
            reader.close()
    assert caplog.text.count("does not answer while asking") == 1


def test_a_partition_that_was_held_back_is_read_again_behind_a_cut_head(kafka: EmbeddedKafka, prefix: str) -> None:
    settings = load(None, {"STRETTO_KAFKA__BOOTSTRAP": kafka.bootstrap, "STRETTO_PREFIX": prefix})
    source, topic, rows = settings.source.name, transactions_topic(prefix, settings.source.name), f"{prefix}.rows"
    make_topic(kafka, topic)
    make_topic(kafka, rows)
    frontier = Frontier(
        *(source, 7, "1", 1),
        commit_lsn=900,
        end_lsn=910,
        commit_ts_us=1,
        sequence=41,
        partitions=[(rows, 0)],
        counts=[3],
        transactions=[Transaction(1, 900, 910, 1, [0, 3])],
        offsets=[PartitionOffset(rows, 0, 0)],
        offsets_lsn=400,
        commit_lsn_before=400,
    )
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap})
    for value in (encode_record(Open(source, 7)), encode_record(frontier)):
        producer.produce(topic, value, partition=0)
    for _ in range(3):
        producer.produce(rows, b"x", b"key", 0)
    assert producer.flush(20) == 0
    cut(kafka, topic, 1)
    reader = LogReader(settings, Position(source, 7, 500, 5, 500, 0, 12, {(rows, 0): 0}))
    try:
        reader._assign()
        reader._consumer.pause([TopicPartition(rows, 0)])
        reader._paused.add((rows, 0))
        assert wait_until(lambda: reader.poll(0.2) is not None, 30.0)
        assert reader.accounting.position.end_lsn == 910
    finally:
        reader.close()


def test_a_head_that_is_cut_while_it_is_read_is_no_gap_yet(kafka: EmbeddedKafka, prefix: str) -> None:
    settings = load(None, {"STRETTO_KAFKA__BOOTSTRAP": kafka.bootstrap, "STRETTO_PREFIX": prefix})
    source, topic = settings.source.name, transactions_topic(prefix, settings.source.name)
    make_topic(kafka, topic)
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap})
    for sequence in (41, 42):
        frontier = Frontier(source, 7, "1", 1, commit_lsn=900, end_lsn=910, commit_ts_us=1, sequence=sequence)
        producer.produce(topic, encode_record(frontier), partition=0)
    assert producer.flush(20) == 0

    def read() -> bool:
        reader.poll(0.5)
        return reader.accounting.newest is not None

    reader = LogReader(settings, Position(source, 7, 500, 5, 500, 0, 40, {}))
    try:
        assert wait_until(read, 30.0)
        cut(kafka, topic, 2)
        with pytest.raises(Unreachable, match="cut to offset 2 while it was read"):
            reader._out_of_range(topic, 0)
    finally:
        reader.close()
