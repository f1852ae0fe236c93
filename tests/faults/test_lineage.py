"""A source or a log that is not what it was: capture halts before it writes anything, and says what to do."""

from __future__ import annotations

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from stretto.embedded.processes import wait_until
from stretto_schemas.names import table_topic
from tests.faults.conftest import Faults
from tests.faults.test_damage import at_rest, halted


def grow(faults: Faults, table: str, partitions: int) -> None:
    """Give the topic of a table more partitions."""
    settings = faults.pipeline.settings
    topic = table_topic(settings.prefix, settings.source.name, "public", table)
    client = AdminClient({"bootstrap.servers": settings.kafka.bootstrap})
    client.create_partitions([NewPartitions(topic, partitions)])[topic].result(20)
    assert wait_until(lambda: len(client.list_topics(topic, timeout=20).topics[topic].partitions) == partitions, 20.0)


def test_a_topic_that_got_more_partitions(faults: Faults) -> None:
    at_rest(faults)
    grow(faults, "ledger", 6)
    halted(faults.processes.capture(), "has 6 partitions", "stretto follower add --replace")


def test_a_topic_that_capture_made_itself_and_that_got_more_partitions(faults: Faults) -> None:
    capture, follower = faults.processes.both()
    faults.pipeline.leader.execute("create table fresh (id int primary key)")
    faults.pipeline.leader.execute("insert into fresh values (1)")
    faults.settled()
    follower.stop()
    capture.stop()
    again = faults.processes.capture()
    again.says("capturing from")  # the same number: it goes on
    again.stop()
    grow(faults, "fresh", 6)
    halted(faults.processes.capture(), "public.fresh has 6 partitions", "stretto follower add --replace")
