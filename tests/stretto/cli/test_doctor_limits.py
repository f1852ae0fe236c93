"""`stretto doctor` on servers and topics with limits, a publication that holds something back, and a slot that is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType

from stretto.embedded.kafka import EmbeddedKafka
from stretto.embedded.postgres import EmbeddedPostgres
from stretto_connectors.kafka.client import admin
from stretto_schemas.settings import load
from tests.fix_cli import Cli, examine
from tests.fix_stack import Database

TIGHT = {
    "max_replication_slots": "1",
    "max_wal_senders": "1",
    "max_slot_wal_keep_size": "16MB",
    "idle_replication_slot_timeout": "1d",
    "track_commit_timestamp": "off",
    "wal_keep_size": "0",
    "min_wal_size": "32MB",
}


@pytest.fixture
def tight(stack_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A server with room for one slot and one WAL sender, which keeps 16 MB of WAL."""
    with EmbeddedPostgres(stack_dir / "tight", name="tight", settings=TIGHT) as server:
        yield server


def test_a_server_with_tight_limits_is_told_which_to_raise_and_a_lost_slot_is_seen(
    cli: Cli, tight: EmbeddedPostgres
) -> None:
    here = {"STRETTO_SOURCE__DSN": tight.dsn}
    slot = cli.settings["STRETTO_SOURCE__SLOT"]
    code, said = examine(cli, **here)
    assert code == 1
    assert said["FAIL"] == [
        "source slots: 0 of 1 replication slots are taken",
        "source WAL senders: 0 of 1 WAL senders are taken",
    ]
    kept = [line for line in said["WARN"] if line.startswith("source WAL kept for the slot:")]
    assert ["16MB" in kept[0], "idle_replication_slot_timeout is 1d" in kept[1]] == [True, True], kept
    assert [line for line in said["OK"] if line.startswith("source commit timestamps: not tracked")]
    with psycopg.connect(tight.dsn, autocommit=True) as admin_session:
        admin_session.execute("select pg_create_logical_replication_slot('taken', 'pgoutput')")
        assert "source slots: 1 of 1 replication slots are taken" in examine(cli, **here)[1]["FAIL"]
        admin_session.execute("select pg_drop_replication_slot('taken')")
        admin_session.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [slot])
        for _ in range(6):
            admin_session.execute("select pg_logical_emit_message(false, 'x', '')")
            admin_session.execute("select pg_switch_wal()")
        about = f"source slot: {slot} is about to lose WAL at the next checkpoint"
        assert about in examine(cli, **here)[1]["WARN"]
        admin_session.execute("checkpoint")
    assert f"source slot: {slot} has lost WAL that the log needs" in examine(cli, **here)[1]["FAIL"]


def test_a_slot_of_another_kind_is_a_failure(cli: Cli, leader_db: Database) -> None:
    slot = cli.settings["STRETTO_SOURCE__SLOT"]
    leader_db.execute("select pg_create_physical_replication_slot(%s)", slot)
    try:
        assert f"source slot: {slot} is for physical replication in no database" in examine(cli)[1]["FAIL"]
    finally:
        leader_db.execute("select pg_drop_replication_slot(%s)", slot)


def test_what_a_publication_holds_back_is_named(cli: Cli, leader_db: Database) -> None:
    leader_db.execute("create table item(id int primary key, name text); create table other(id int primary key)")
    tables = {"STRETTO_SOURCE__TABLES": '["public.item", "public.other"]'}
    cli.good("init", **tables)
    leader_db.execute("alter publication stretto set (publish = 'insert', publish_via_partition_root = false)")
    leader_db.execute("alter publication stretto set table item (id) where (id > 1)")
    code, said = examine(cli, **tables)
    assert code == 1
    assert "source publication: stretto does not publish update, delete, truncate" in said["FAIL"]
    assert "source publication: stretto lacks public.other" in said["FAIL"]
    assert [line for line in said["FAIL"] if "has publish_via_partition_root = false" in line]
    assert "source publication: only some rows or columns are published of public.item" in said["WARN"]


@pytest.mark.parametrize(
    ("topic", "config", "level", "found"),
    [
        ("leader.transactions", {"retention.ms": "1000"}, "FAIL", "has retention.ms=1000"),
        ("leader.public.item", {"retention.ms": "1800000"}, "WARN", "keeps rows for 0.5 h"),
        ("leader.public.item", {"max.message.bytes": "1000"}, "WARN", "takes records of 1000 bytes"),
        ("leader.public.item", {"min.insync.replicas": "2"}, "FAIL", "wants 2 replicas in sync, there are 1 brokers"),
        ("leader.schema", {"cleanup.policy": "delete"}, "FAIL", "has cleanup.policy=delete"),
    ],
)
def test_a_topic_whose_settings_do_not_last_is_named(
    cli: Cli, leader_db: Database, topic: str, config: dict[str, str], level: str, found: str
) -> None:
    leader_db.execute("create table item(id int primary key)")
    cli.good("init")
    name = f"{cli.settings['STRETTO_PREFIX']}.{topic}"
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()]
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
    client = admin(load(None, cli.settings).kafka)  # held until the answer is there
    for done in client.incremental_alter_configs([resource]).values():
        done.result(30)
    _, said = examine(cli)
    assert [line for line in said[level] if line.startswith(f"log topic settings: {name} {found}")], said[level]


def test_a_broker_that_makes_topics_by_itself_is_a_warning(cli: Cli, tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path / "kafka", heap_mb=256, settings={"auto.create.topics.enable": "true"}) as broker:
        said = examine(cli, STRETTO_KAFKA__BOOTSTRAP=broker.bootstrap)[1]
    assert [line for line in said["WARN"] if line.startswith("log auto-create: the broker makes topics by itself")]
