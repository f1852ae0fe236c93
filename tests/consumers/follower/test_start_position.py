"""Where a follower goes on when the head of the transactions topic was cut beyond its position."""

from __future__ import annotations

import confluent_kafka
import pytest
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # exported, but not by name

from stretto.embedded.kafka import EmbeddedKafka
from stretto_connectors.kafka.reader import watermarks
from stretto_consumers.follower.start_position import position_after_cut
from stretto_schemas.frontier import Frontier, Open, PartitionOffset, encode_record
from stretto_schemas.names import transactions_topic
from stretto_schemas.position import Position
from stretto_schemas.settings import Settings, load

EPOCH, END = 7, 500


def log_beginning_with(kafka: EmbeddedKafka, prefix: str, commit_lsn_before: int | None) -> Settings:
    """A transactions topic whose first frontier is full and names the newest transaction before it."""
    settings = load(None, {"STRETTO_KAFKA__BOOTSTRAP": kafka.bootstrap, "STRETTO_PREFIX": prefix})
    topic = transactions_topic(settings.prefix, settings.source.name)
    client = AdminClient({"bootstrap.servers": kafka.bootstrap})
    client.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)
    frontier = Frontier(
        source=settings.source.name,
        epoch=EPOCH,
        system_id="1",
        timeline=1,
        commit_lsn=900,
        end_lsn=910,
        commit_ts_us=1,
        sequence=41,
        offsets=[PartitionOffset("rows", 0, 17), PartitionOffset("rows", 1, 3)],
        offsets_lsn=800,
        commit_lsn_before=commit_lsn_before,
    )
    producer = confluent_kafka.Producer({"bootstrap.servers": kafka.bootstrap})
    for record in (Open(settings.source.name, EPOCH), frontier):
        producer.produce(topic, encode_record(record), partition=0)
    assert producer.flush(20) == 0
    return settings


def position(source: str, epoch: int = EPOCH) -> Position:
    """Of a follower that has all transactions up to `END`, and whose place in the log is gone."""
    return Position(
        source, epoch, END, 5, END, -1, 12, {("rows", 0): 11, ("gone", 0): 2}, term=4, transactions=30, rows=60
    )


def test_it_goes_on_there_when_it_has_all_that_went(kafka: EmbeddedKafka, prefix: str) -> None:
    settings = log_beginning_with(kafka, prefix, END - 1)
    topic = transactions_topic(settings.prefix, settings.source.name)
    moved = position_after_cut(settings, position(settings.source.name), *watermarks(settings.kafka, topic))
    assert moved == Position(
        settings.source.name,
        EPOCH,
        END,
        5,
        800,
        1,
        40,
        {("rows", 0): 17, ("rows", 1): 3},
        term=4,
        transactions=30,
        rows=60,
    )


@pytest.mark.parametrize(
    ("before", "epoch"),
    [(END, EPOCH), (END + 200, EPOCH), (None, EPOCH), (END - 1, EPOCH + 1)],
    ids=["the next transaction went", "later ones went", "nobody says what went", "another log"],
)
def test_it_does_not_when_something_may_be_lacking(
    kafka: EmbeddedKafka, prefix: str, before: int | None, epoch: int
) -> None:
    settings = log_beginning_with(kafka, prefix, before)
    topic = transactions_topic(settings.prefix, settings.source.name)
    mine = position(settings.source.name, epoch)
    assert position_after_cut(settings, mine, *watermarks(settings.kafka, topic)) is None
