"""The head of the transactions topic goes once its rows are gone, and never what a follower still needs."""

from __future__ import annotations

import confluent_kafka
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from stretto.embedded.processes import wait_until
from stretto_connectors.kafka.reader import find_frontier, watermarks
from stretto_schemas.names import schema_topic, table_topic, transactions_topic
from stretto_schemas.settings import Settings
from tests.faults.conftest import Faults

SOON = {"capture__trim_s": "0.2", "capture__full_frontier_s": "0.1", "kafka__retention_hours": "0.000001"}
"""What is a few milliseconds old counts as old. The topics themselves were made to keep everything."""


def remove_rows(settings: Settings) -> None:
    """What retention does: all records of the tables' topics so far."""
    client = AdminClient({"bootstrap.servers": settings.kafka.bootstrap})
    of_source = f"{settings.prefix}.{settings.source.name}."
    others = (
        transactions_topic(settings.prefix, settings.source.name),
        schema_topic(settings.prefix, settings.source.name),
    )
    places = [
        TopicPartition(name, partition, confluent_kafka.OFFSET_END)
        for name, topic in client.list_topics(timeout=20).topics.items()
        if name.startswith(of_source) and name not in others
        for partition in topic.partitions
    ]
    assert places
    for future in client.delete_records(places).values():
        future.result(20)


def first_offset(settings: Settings) -> int:
    """Where the transactions topic begins."""
    return watermarks(settings.kafka, transactions_topic(settings.prefix, settings.source.name))[0]


def test_frontiers_go_after_their_rows_and_a_follower_that_had_them_goes_on(faults: Faults) -> None:
    settings = faults.pipeline.settings
    capture, follower = faults.processes.capture(**SOON), faults.processes.follower()
    faults.write_some(50)
    faults.settled()
    follower.stop()
    [(place,)] = faults.pipeline.follower.fetch("select frontier_offset from stretto.position")
    assert first_offset(settings) < place  # there are rows, so only the frontiers before them may have gone
    remove_rows(settings)
    assert wait_until(lambda: first_offset(settings) > place, 30.0), capture.log  # heartbeats' frontiers followed
    capture.says("begins at offset")
    faults.write_some(50)
    faults.processes.follower()
    faults.settled()
    faults.check_equal()


def test_a_follower_that_stands_at_the_beginning_of_the_log_lacks_nothing_of_its_cut_head(faults: Faults) -> None:
    settings = faults.pipeline.settings
    capture = faults.processes.capture(**SOON)
    [(place,)] = faults.pipeline.follower.fetch("select frontier_offset from stretto.position")
    assert wait_until(lambda: first_offset(settings) > place, 30.0), capture.log
    faults.write_some(50)
    faults.processes.follower()
    faults.settled()
    faults.check_equal()


def test_a_deleted_topic_holds_nothing_back(faults: Faults) -> None:
    settings, leader = faults.pipeline.settings, faults.pipeline.leader
    capture, follower = faults.processes.capture(**SOON), faults.processes.follower()
    leader.execute("create table brief (id int primary key)")
    leader.execute("insert into brief values (1)")
    faults.settled()
    leader.execute("drop table brief")
    topic = table_topic(settings.prefix, settings.source.name, "public", "brief")
    client = AdminClient({"bootstrap.servers": settings.kafka.bootstrap})
    client.delete_topics([topic])[topic].result(20)
    assert wait_until(lambda: topic not in client.list_topics(timeout=20).topics, 20.0)
    faults.write_some(50)
    faults.settled()
    held = first_offset(settings)
    remove_rows(settings)
    assert wait_until(lambda: first_offset(settings) > held, 30.0), capture.log
    faults.write_some(50)
    faults.settled()
    follower.stop()
    capture.stop()


def test_a_follower_that_lacks_rows_that_are_gone_says_so(faults: Faults) -> None:
    settings = faults.pipeline.settings
    capture, follower = faults.processes.capture(**SOON), faults.processes.follower()
    faults.write_some(50)
    faults.settled()
    follower.stop()
    faults.write_some(50)
    [(before,)] = faults.pipeline.follower.fetch("select frontier_offset from stretto.position")
    [(lsn,)] = faults.pipeline.leader.fetch("select pg_current_wal_insert_lsn()::text")
    slot = "select confirmed_flush_lsn >= %s::pg_lsn from pg_replication_slots where slot_name = %s"
    passed = (lsn, settings.source.slot_name)
    assert wait_until(lambda: faults.pipeline.leader.fetch(slot, *passed) == [(True,)], 30.0), capture.log
    topic = transactions_topic(settings.prefix, settings.source.name)
    found = find_frontier(settings.kafka, topic, lambda frontier: bool(frontier.transactions))
    assert found is not None
    assert found[1] >= before
    remove_rows(settings)
    assert wait_until(lambda: first_offset(settings) > found[1], 30.0), (
        capture.log
    )  # what it lacks is counted nowhere now
    late = faults.processes.follower()
    assert late.exit_code(60.0) == 4, late.log
    assert f"offset {before} is not there" in late.log
    assert "stretto follower add --replace" in late.log
