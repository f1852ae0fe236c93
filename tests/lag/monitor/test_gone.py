"""Topics that go under a monitor, as by `stretto destroy`, on a broker that makes topics by itself, as Kafka does by default."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stretto.embedded.kafka import EmbeddedKafka
from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import delete_topics
from stretto_connectors.kafka.topics import partition_counts
from stretto_schemas import names
from tests.lag.monitor.fix_log import WrittenLog


@pytest.fixture(scope="module")
def kafka(stack_dir: Path) -> Iterator[EmbeddedKafka]:
    """A broker of these tests only."""
    with EmbeddedKafka(stack_dir / "auto-create", settings={"auto.create.topics.enable": "true"}) as broker:
        yield broker


def test_a_monitor_whose_topics_are_deleted_brings_none_back_waits_and_goes_on_once_they_are_made_anew(
    written: WrittenLog,
) -> None:
    written.make()
    monitor, standby = written.monitor().running(), written.monitor()
    standby.until(lambda it: it.state == "standby", "stand-by")
    written.frontier(100)
    written.frontier(200)
    written.flush()
    monitor.until(lambda it: it.flow()["rows"] == 1, "rows before")
    kafka, prefix = written.settings.kafka, written.settings.prefix
    client = admin(kafka)
    deleted = delete_topics(client, kafka, written.places.all)
    assert set(deleted) == {*names.monitor_topics(prefix, "lag"), *written.places.watched}
    for each in (monitor, standby):
        each.until(lambda it: it.state == "waiting" and "is not there yet" in it.get("/readyz")[1].decode(), "wait")
    assert partition_counts(client, kafka, prefix) == {}
    written.make()
    monitor.until(lambda _: {monitor.state, standby.state} == {"running", "standby"}, "new beginning")
    written.frontier(300, epoch=2)
    written.frontier(400, epoch=2)
    written.flush()
    monitor.until(lambda _: 1 in (monitor.flow()["rows"], standby.flow()["rows"]), "rows of the new log")
