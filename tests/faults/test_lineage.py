"""A source or a log that is not what it was: capture halts before it writes anything, and says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions

from stretto.embedded.postgres import EmbeddedPostgres
from stretto.embedded.processes import wait_until
from stretto_connectors.kafka.reader import find_frontier
from stretto_producers.source.genesis import write_genesis
from stretto_schemas.names import table_topic, transactions_topic
from tests.faults.conftest import Faults
from tests.faults.test_damage import at_rest, halted

REPAIR = ("stretto destroy --yes", "stretto init", "stretto follower add --replace")


@pytest.fixture(scope="module")
def leader(stack_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A leader of these tests only: it is promoted, and loses WAL."""
    with EmbeddedPostgres(stack_dir / "lineage", name="lineage") as server:
        yield server


def lead(server: EmbeddedPostgres, statement: str) -> Any:
    """Run a statement as the superuser; give its first value."""
    with psycopg.connect(server.dsn, autocommit=True) as conn:
        cursor = conn.execute(statement.encode())
        return cursor.fetchall()[0][0] if cursor.description else None


def make_standby(server: EmbeddedPostgres) -> None:
    """Restart it as a hot standby of nobody."""
    server.stop()
    (server.data / "cluster" / "standby.signal").touch()
    server.start()
    assert lead(server, "select pg_is_in_recovery()")


def forge(faults: Faults, **changes: Any) -> None:
    """Write a frontier that differs from the newest one, as a capture of another server would have."""
    settings = faults.pipeline.settings
    found = find_frontier(settings.kafka, transactions_topic(settings.prefix, settings.source.name))
    assert found is not None
    write_genesis(settings, msgspec.structs.replace(found[0], sequence=found[0].sequence + 1, **changes), ())


def end_of_wal(server: EmbeddedPostgres) -> int:
    return int(lead(server, "select pg_current_wal_flush_lsn() - '0/0'"))


def test_another_server(faults: Faults) -> None:
    forge(faults, system_id="1234567890")
    halted(faults.processes.capture(), "the log continues system 1234567890", *REPAIR)


def test_a_server_that_was_restored_to_an_earlier_time(faults: Faults, leader: EmbeddedPostgres) -> None:
    ahead = end_of_wal(leader) + (1 << 40)
    forge(faults, commit_lsn=ahead, end_lsn=ahead)
    halted(faults.processes.capture(), "the server's WAL ends at", "before the frontier at", *REPAIR)


def test_a_server_that_is_on_an_older_timeline(faults: Faults, leader: EmbeddedPostgres) -> None:
    timeline = int(lead(leader, "select timeline_id from pg_control_checkpoint()"))
    forge(faults, timeline=timeline + 1)
    halted(faults.processes.capture(), f"which left timeline {timeline + 1} at an unknown place", *REPAIR)


def test_a_slot_that_lost_its_wal(faults: Faults, leader: EmbeddedPostgres) -> None:
    lead(leader, "alter system set max_slot_wal_keep_size = '1MB'")
    lead(leader, "select pg_reload_conf()")
    slot = faults.pipeline.settings.source.slot_name

    def lost() -> bool:
        lead(leader, "select pg_logical_emit_message(true, 'filling', '')")
        lead(leader, "select pg_switch_wal()")
        lead(leader, "checkpoint")
        return bool(lead(leader, f"select wal_status = 'lost' from pg_replication_slots where slot_name = '{slot}'"))

    assert wait_until(lost, 60.0)
    lead(leader, "alter system reset max_slot_wal_keep_size")
    lead(leader, "select pg_reload_conf()")
    halted(faults.processes.capture(), f"slot {slot} has lost WAL that the log needs", *REPAIR)


def test_a_standby_is_waited_for_until_it_is_promoted(faults: Faults, leader: EmbeddedPostgres) -> None:
    capture, follower = faults.processes.both()
    faults.pipeline.leader.execute("insert into ledger values (1, 'before')")
    faults.settled()
    capture.stop()
    make_standby(leader)
    capture = faults.processes.capture()
    capture.says("is a standby; trying again")
    assert lead(leader, "select pg_promote()")
    faults.pipeline.leader.execute("insert into ledger values (2, 'after')")
    faults.settled()
    capture.stop()
    follower.stop()
    faults.check_equal()
    faults.check_log()


def test_a_server_that_was_promoted_before_it_had_all_that_the_log_has(
    faults: Faults, leader: EmbeddedPostgres
) -> None:
    timeline = int(lead(leader, "select timeline_id from pg_control_checkpoint()"))
    make_standby(leader)
    assert lead(leader, "select pg_promote()")
    lead(leader, "checkpoint")
    faults.pipeline.leader.execute("insert into ledger values (1, 'another history')")
    end = end_of_wal(leader)
    forge(faults, timeline=timeline, commit_lsn=end, end_lsn=end)
    halted(
        faults.processes.capture(),
        f"the server is on timeline {timeline + 1}, which left timeline {timeline} at",
        "before the frontier at",
        *REPAIR,
    )


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
