"""Topics that go under a monitor, as by `stretto destroy`, on a broker that makes topics by itself, as Kafka does by default."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stretto.embedded.kafka import EmbeddedKafka
from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import delete_topics, topic_ids
from stretto_connectors.kafka.topics import partition_counts
from stretto_schemas import names
from stretto_schemas.lag.view import Alert
from tests.lag.monitor.fix_log import DEADLINE_S, WrittenLog

REJOINED_S = 150.0
"""Two monitors that begin at the same time join one group again and again; a member that vanished is waited for up to a minute."""


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
    monitor.until(lambda _: {monitor.state, standby.state} == {"running", "standby"}, "new beginning", REJOINED_S)
    written.frontier(300, epoch=2)
    written.frontier(400, epoch=2)
    written.flush()
    monitor.until(lambda _: 1 in (monitor.flow()["rows"], standby.flow()["rows"]), "rows of the new log")


@pytest.mark.parametrize("all_topics", [True, False], ids=["with all topics", "alone"])
def test_when_the_topic_of_alerts_is_deleted_what_is_still_wrong_is_told_once_more(
    written: WrittenLog, all_topics: bool
) -> None:
    written.make()
    monitor = written.monitor().running()
    written.behind("near", 1.0)

    def told() -> list[Alert]:
        return [alert for alert in written.alerts() if alert.kind == "budget"]

    monitor.until(lambda _: told(), "alert")
    [before] = told()
    kafka, alerts = written.settings.kafka, written.places.alerts
    client = admin(kafka)
    [old_id] = topic_ids(client, kafka, [alerts], DEADLINE_S).values()
    if all_topics:
        delete_topics(client, kafka, written.places.all)
        monitor.until(lambda it: "is not there yet" in it.get("/readyz")[1].decode(), "wait")
        monitor.until(lambda it: it.json("/alerts") == [], "end of what was told in a topic that is gone")
        written.make()
        written.behind("near", 1.0, epoch=2)
    else:
        delete_topics(client, kafka, [alerts])
    monitor.until(lambda _: topic_ids(client, kafka, [alerts], DEADLINE_S).get(alerts, old_id) != old_id, "new topic")
    monitor.until(lambda _: told(), "alert in the new topic")
    [again] = told()
    assert (again.follower, again.status, again.recovered) == (before.follower, before.status, False)
    assert again.at_us > before.at_us
