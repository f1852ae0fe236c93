"""What waiting does not heal: a clear sentence, exit code 4, and after the repair nothing is missing."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import confluent_kafka
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, but not by name
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from stretto.embedded.postgres import EmbeddedPostgres
from stretto.embedded.processes import wait_until
from stretto_connectors.kafka.reader import find_frontier
from stretto_connectors.postgres.connection import connect
from stretto_consumers.follower.add_progress import Silent
from stretto_consumers.follower.bootstrap import add_follower
from stretto_producers.source.destroy import destroy
from stretto_producers.source.init import init
from stretto_schemas.frontier import Frontier
from stretto_schemas.names import followers_topic, table_topic, transactions_topic
from stretto_schemas.settings import Settings
from tests.faults.conftest import Faults
from tests.faults.load import NAMES
from tests.fix_processes import Running


def halted(process: Running, *words: str) -> None:
    """It ends with exit code 4, and says what was found and what to do."""
    assert process.exit_code(60.0) == 4, process.log
    for each in words:
        assert each in process.log
    assert "fix: " in process.log


def at_rest(faults: Faults) -> None:
    """Everything written so far is on the follower, and no process runs."""
    capture, follower = faults.processes.both()
    faults.write_some()
    faults.settled()
    follower.stop()
    capture.stop()


def copy_again(faults: Faults) -> None:
    """The repair of a log that ended: `destroy`, `init`, `follower add` (into an emptied database)."""
    settings = faults.pipeline.settings
    destroy(settings, lambda _: None)
    with connect(settings.follower.dsn, application="test") as conn:
        conn.execute(
            f"drop schema stretto cascade; drop table {', '.join(f'public.{name}' for name in NAMES)}".encode()
        )
    init(settings, lambda _: None)
    capture = faults.processes.capture()
    add_follower(settings, progress=Silent())
    follower = faults.processes.follower()
    faults.write_some()
    faults.settled()
    faults.check_equal()
    capture.stop()
    follower.stop()


def test_a_slot_that_was_dropped(faults: Faults) -> None:
    at_rest(faults)
    faults.pipeline.leader.execute("select pg_drop_replication_slot(%s)", faults.pipeline.settings.source.slot_name)
    faults.write_some()
    halted(faults.processes.capture(), "does not exist", "stretto init")
    copy_again(faults)


def test_a_slot_that_somebody_else_advanced_past_the_log(faults: Faults) -> None:
    at_rest(faults)
    faults.write_some()
    faults.pipeline.leader.execute(
        "select pg_replication_slot_advance(%s, pg_current_wal_lsn())", faults.pipeline.settings.source.slot_name
    )
    halted(faults.processes.capture(), "past the log's last frontier", "stretto init")
    copy_again(faults)


def test_an_emptied_transactions_topic_is_no_first_start(faults: Faults) -> None:
    at_rest(faults)
    settings = faults.pipeline.settings
    topic = transactions_topic(settings.prefix, settings.source.name)
    _delete_records(settings, topic)
    halted(faults.processes.capture(), "holds no frontier", "stretto init")
    copy_again(faults)


def test_a_follower_behind_an_emptied_transactions_topic(faults: Faults) -> None:
    at_rest(faults)
    settings = faults.pipeline.settings
    capture = faults.processes.capture()
    faults.write_some()
    _captured(faults)
    _delete_records(settings, transactions_topic(settings.prefix, settings.source.name))
    halted(faults.processes.follower(), "transactions", "stretto follower add")
    capture.stop()
    copy_again(faults)


def test_rows_that_were_removed_before_a_follower_had_them(faults: Faults) -> None:
    at_rest(faults)
    settings = faults.pipeline.settings
    capture = faults.processes.capture()
    faults.write_some()
    _captured(faults)
    _delete_records(settings, table_topic(settings.prefix, settings.source.name, "public", "ledger"))
    halted(faults.processes.follower(), "public.ledger", "stretto follower add")
    capture.stop()
    copy_again(faults)


def test_follower_add_with_replace_repairs_a_follower_that_halted(faults: Faults) -> None:
    """The repair that a follower's errors name, on a follower that was made by `stretto follower add`."""
    settings = faults.pipeline.settings
    with connect(settings.follower.dsn, application="test") as conn:
        conn.execute(
            f"drop schema stretto cascade; drop table {', '.join(f'public.{name}' for name in NAMES)}".encode()
        )
    capture = faults.processes.capture()
    faults.write_some()
    add_follower(settings, progress=Silent())
    follower = faults.processes.follower()
    follower.says("applying source")
    faults.settled()
    follower.stop()
    faults.write_some()
    _captured(faults)
    _delete_records(settings, table_topic(settings.prefix, settings.source.name, "public", "ledger"))
    halted(faults.processes.follower(), "public.ledger", "`stretto follower add --replace`")
    faults.pipeline.follower.execute("create table of_mine (id int); insert into of_mine values (1)")
    _full_frontier(faults)
    add_follower(settings, progress=Silent(), replace=True)
    follower = faults.processes.follower()
    follower.says("applying source")
    faults.write_some()
    faults.settled()
    assert faults.pipeline.follower.fetch("select id from of_mine") == [(1,)]
    faults.pipeline.follower.execute("drop table of_mine")
    faults.check_equal()
    follower.stop()
    capture.stop()


def delete_topic(faults: Faults) -> str:
    """Delete the topic of the ledger."""
    settings = faults.pipeline.settings
    topic = table_topic(settings.prefix, settings.source.name, "public", "ledger")
    client = AdminClient({"bootstrap.servers": settings.kafka.bootstrap})
    client.delete_topics([topic], operation_timeout=20)[topic].result(20)
    assert wait_until(lambda: topic not in client.list_topics(timeout=20).topics, 20.0)
    return topic


def test_a_deleted_topic_halts_capture(faults: Faults) -> None:
    at_rest(faults)
    topic = delete_topic(faults)
    faults.write_some()
    halted(faults.processes.capture(), f"topic {topic} does not exist", "stretto follower add")
    copy_again(faults)


def test_a_topic_deleted_under_a_running_capture_halts_it(faults: Faults) -> None:
    at_rest(faults)
    capture = faults.processes.capture()
    capture.says("capturing from")
    topic = delete_topic(faults)
    faults.write_some()
    halted(capture, f"topic {topic} does not exist", "stretto follower add")
    copy_again(faults)


def test_a_deleted_topic_halts_a_follower_that_needs_its_rows(faults: Faults) -> None:
    at_rest(faults)
    capture = faults.processes.capture()
    faults.write_some()
    _captured(faults)
    capture.stop()
    topic = delete_topic(faults)
    halted(faults.processes.follower(), f"topic {topic} does not exist", "stretto follower add")
    copy_again(faults)


def test_without_the_topic_of_positions_a_follower_goes_on(faults: Faults) -> None:
    """Nobody needs it to apply rows: it is told of, and its topic can be made again."""
    capture, follower = faults.processes.both()
    faults.write_some()
    faults.settled()
    follower.stop()
    topic = followers_topic(faults.pipeline.settings.prefix)
    client = AdminClient({"bootstrap.servers": faults.pipeline.settings.kafka.bootstrap})
    client.delete_topics([topic], operation_timeout=20)[topic].result(20)
    assert wait_until(lambda: topic not in client.list_topics(timeout=20).topics, 20.0)
    follower = faults.processes.follower()
    faults.write_some()
    faults.settled()
    follower.says(
        f"where this follower stands is not published: Kafka at {faults.pipeline.settings.kafka.bootstrap} refused"
    )
    assert f"while publishing to {topic}: " in follower.log
    faults.check_equal()
    follower.stop()
    capture.stop()


@pytest.mark.parametrize("key", [b'{"id":1}', None])
@pytest.mark.parametrize("value", [b"not json", b'{"op":"c","after":{"id":1}}'])
def test_a_record_that_is_no_envelope(faults: Faults, value: bytes, key: bytes | None) -> None:
    settings = faults.pipeline.settings
    topic = table_topic(settings.prefix, settings.source.name, "public", "accounts")
    capture, follower = faults.processes.both()
    faults.pipeline.leader.execute("update accounts set balance = balance")
    faults.settled()
    # Capture runs meanwhile: at its next start such a record would lie in a void.
    producer = confluent_kafka.Producer({"bootstrap.servers": settings.kafka.bootstrap})
    for partition in range(settings.kafka.partitions):
        producer.produce(topic, value, key, partition)
    assert producer.flush(20) == 0
    faults.pipeline.leader.execute("update accounts set balance = balance + 1 where id = 1")
    halted(follower, topic, "is no envelope", "stretto follower add")
    capture.stop()
    copy_again(faults)


def test_a_table_that_the_follower_lacks(faults: Faults) -> None:
    at_rest(faults)
    faults.pipeline.follower.execute("alter table ledger rename to hidden")
    capture = faults.processes.capture()
    faults.write_some()
    halted(faults.processes.follower(), "no table public.ledger")
    faults.pipeline.follower.execute("alter table hidden rename to ledger")
    faults.processes.follower()
    faults.check()
    capture.stop()


def test_a_column_that_the_follower_lacks(faults: Faults) -> None:
    at_rest(faults)
    faults.pipeline.follower.execute("alter table ledger rename kind to hidden")
    capture = faults.processes.capture()
    faults.write_some()
    halted(faults.processes.follower(), "public.ledger lacks column kind")
    faults.pipeline.follower.execute("alter table ledger rename hidden to kind")
    faults.processes.follower()
    faults.check()
    capture.stop()


@pytest.mark.parametrize("broker_only", [False, True])
def test_a_row_larger_than_a_record_may_be(faults: Faults, broker_only: bool) -> None:
    """Refused by the client (both limits are small) or by the broker (only the topic's is)."""
    at_rest(faults)
    settings = faults.pipeline.settings
    topic = table_topic(settings.prefix, settings.source.name, "public", "seats")
    _set_topic(settings, topic, "100000")
    small = {} if broker_only else {"kafka__max_message_bytes": "100000"}
    faults.processes.follower()
    capture = faults.processes.capture(**small)
    # Random text, for what compresses well would fit.
    faults.pipeline.leader.execute(
        "insert into seats select 5001, 5001, string_agg(md5(i::text), '') from generate_series(1, 20000) i"
    )
    halted(capture, "does not fit into a Kafka record", "max.message.bytes")
    _set_topic(settings, topic, str(settings.kafka.max_message_bytes))
    capture = faults.processes.capture()
    faults.write_some()
    faults.check()
    capture.stop()


def _set_topic(settings: Settings, topic: str, size: str) -> None:
    entry = ConfigEntry("max.message.bytes", size, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client = AdminClient({"bootstrap.servers": settings.kafka.bootstrap})
    client.incremental_alter_configs([resource])[resource].result(20)


def _delete_records(settings: Settings, topic: str) -> None:
    """Everything that is in the topic now."""
    client = AdminClient({"bootstrap.servers": settings.kafka.bootstrap})
    partitions = client.list_topics(topic, timeout=20).topics[topic].partitions
    places = [TopicPartition(topic, partition, confluent_kafka.OFFSET_END) for partition in partitions]
    for future in client.delete_records(places).values():
        future.result(20)


def _full_frontier(faults: Faults) -> None:
    """Wait for a frontier with the offsets of all partitions as they are now: a copy goes on from the one before it."""
    settings = faults.pipeline.settings
    topic = transactions_topic(settings.prefix, settings.source.name)
    [(now,)] = faults.pipeline.leader.fetch("select (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint")

    def is_newer(frontier: Frontier) -> bool:
        return frontier.offsets is not None and frontier.offsets_lsn > now

    assert wait_until(lambda: find_frontier(settings.kafka, topic, is_newer) is not None, 60.0)


def _captured(faults: Faults) -> None:
    """Wait until the log has what the leader has now: the slot says so."""
    leader = faults.pipeline.leader
    [(lsn,)] = leader.fetch("select pg_current_wal_insert_lsn()::text")
    leader.execute("select pg_logical_emit_message(true, 'captured', '')")
    query = "select from pg_replication_slots where slot_name = %s and confirmed_flush_lsn >= %s::pg_lsn"
    assert wait_until(lambda: bool(leader.fetch(query, faults.pipeline.settings.source.slot_name, lsn)), 60.0)


@pytest.fixture
def small_disk(follower_server: EmbeddedPostgres) -> Iterator[Path]:
    """A file system of 6 MB that the follower's server may write to."""
    folder = follower_server.data.parent / "small-disk"
    folder.mkdir()
    owner = follower_server.data.stat()
    options = f"size=6m,uid={owner.st_uid},gid={owner.st_gid},mode=700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip(f"a small disk needs the right to mount: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


def test_a_full_disk_on_the_follower_is_waited_for(faults: Faults, small_disk: Path) -> None:
    at_rest(faults)
    follower_db = faults.pipeline.follower
    name = f"small_{faults.pipeline.settings.prefix}"
    follower_db.execute(f"create tablespace {name} location '{small_disk}'")
    follower_db.execute(f"alter table children set tablespace {name}")
    capture, follower = faults.processes.both()
    faults.pipeline.leader.execute(
        "insert into children select 1000000 + i, 1, repeat('x', 200) from generate_series(1, 40000) i"
    )
    follower.says("No space left on device")
    assert follower.running
    # An applier that tries again holds locks only while it tries.
    follower_db.execute("alter table children set tablespace pg_default")
    faults.write_some()
    faults.check()
    capture.stop()
    follower.stop()
    follower_db.execute(f"drop tablespace {name}")
