"""`stretto doctor` on real servers."""

from __future__ import annotations

import pytest

from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import delete_topics
from stretto_connectors.kafka.topics import ensure_topics
from stretto_schemas.settings import load
from tests.fix_cli import Cli, examine
from tests.fix_stack import Database

NOWHERE = "host=127.0.0.1 port=1 user=postgres dbname=postgres"


def test_a_fresh_source_has_warnings_that_name_init_and_no_failure(cli: Cli) -> None:
    code, said = examine(cli)
    assert (code, said["FAIL"]) == (0, [])
    assert "source publication: stretto does not exist yet" in said["WARN"]


def test_a_running_pipeline_is_well(cli: Cli, leader_db: Database) -> None:
    leader_db.execute("create table item(id int primary key, name text)")
    cli.good("init")
    with cli.running("run", "capture") as capture:
        cli.good("follower", "add")
        capture.until_ready()
        code, said = examine(cli)
    assert (code, said["FAIL"]) == (0, [])
    assert "follower tables: all 1 are there, with the source's columns" in said["OK"]
    assert [line for line in said["OK"] if line.startswith("source slot:")]
    assert [line for line in said["OK"] if line.startswith("log frontier:")]


def test_a_server_that_does_not_answer_is_exit_code_3_and_the_others_are_still_checked(cli: Cli) -> None:
    code, said = examine(cli, STRETTO_FOLLOWER__DSN=NOWHERE)
    assert code == 3
    assert len(said["FAIL"]) == 1
    assert [line for line in said["OK"] if line.startswith("log broker:")]
    code, said = examine(cli, STRETTO_KAFKA__BOOTSTRAP="127.0.0.1:1")
    assert code == 3
    assert [line for line in said["OK"] if line.startswith("follower version:")]


def test_a_published_table_whose_updates_fail_is_a_failure(cli: Cli, leader_db: Database) -> None:
    cli.good("init")
    leader_db.execute("create table keyless(v text); create table g(a int, b int generated always as (a) stored)")
    code, said = examine(cli)
    assert code == 1
    assert (
        "source replica identities: public.keyless has no usable key; UPDATE and DELETE fail on the leader"
        in said["FAIL"]
    )
    assert [line for line in said["FAIL"] if "public.g" in line]


def test_a_follower_table_that_is_missing_or_lacks_a_column_is_a_failure(
    cli: Cli, leader_db: Database, follower_db: Database
) -> None:
    leader_db.execute("create table a(id int primary key, v text); create table b(id int primary key)")
    cli.good("init")
    with cli.running("run", "capture"):
        cli.good("follower", "add")
    follower_db.execute("alter table a drop column v; drop table b; alter table a alter column id type bigint")
    code, said = examine(cli)
    assert code == 1
    assert "follower tables: public.a lacks v" in said["FAIL"]
    assert "follower tables: public.b is missing" in said["FAIL"]
    assert "follower tables: public.a.id is bigint, at the source integer" in said["WARN"]


def test_rights_that_a_weak_role_lacks_are_named_with_the_grant(
    cli: Cli, leader_db: Database, follower_db: Database, prefix: str
) -> None:
    role = f"weak_{prefix}"
    leader_db.execute("create table item(id int primary key); alter table item enable row level security")
    for database in (leader_db, follower_db):
        database.execute(f"create role {role} login")
    try:
        cli.good("init")
        weak = {
            "STRETTO_SOURCE__DSN": leader_db.dsn.replace("user=postgres", f"user={role}"),
            "STRETTO_FOLLOWER__DSN": follower_db.dsn.replace("user=postgres", f"user={role}"),
        }
        code, said = examine(cli, **weak)
        assert code == 1
        failed = {line.partition(":")[0] for line in said["FAIL"]}
        assert failed >= {
            "source role",
            "source rights",
            "source row-level security",
            "follower replication role",
            "follower replication origins",
        }
    finally:
        for database in (leader_db, follower_db):
            database.execute(f"drop owned by {role}; drop role {role}")


def test_lost_halves_are_failures(cli: Cli, leader_db: Database) -> None:
    settings = load(None, cli.settings)
    leader_db.execute("create table item(id int primary key)")
    cli.good("init")
    delete_topics(admin(settings.kafka), settings.kafka, [f"{settings.prefix}.leader.transactions"])
    code, said = examine(cli)
    assert (code, [line for line in said["FAIL"] if line.startswith("log topics:")] != []) == (1, True)
    leader_db.execute("drop publication stretto")
    assert "source publication: stretto does not exist, but the slot does" in examine(cli)[1]["FAIL"]


def test_a_dropped_slot_is_a_failure_for_the_log_goes_on_from_it(cli: Cli, leader_db: Database) -> None:
    cli.good("init")
    leader_db.execute("select pg_drop_replication_slot(%s)", cli.settings["STRETTO_SOURCE__SLOT"])
    code, said = examine(cli)
    assert code == 1
    assert [line for line in said["FAIL"] if line.startswith("log frontier:")]


def test_a_compacted_rows_topic_is_a_failure(cli: Cli, leader_db: Database) -> None:
    settings = load(None, cli.settings)
    topic = f"{settings.prefix}.leader.public.item"
    leader_db.execute("create table item(id int primary key)")
    cli.good("init")
    client = admin(settings.kafka)
    delete_topics(client, settings.kafka, [topic])
    ensure_topics(client, settings.kafka, [topic], partitions=1, config={"cleanup.policy": "compact"})
    code, said = examine(cli)
    assert code == 1
    assert [line for line in said["FAIL"] if f"{topic} is compacted" in line]


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"STRETTO_KAFKA__REPLICATION_FACTOR": "3"}, "log replicas"),
        ({"STRETTO_KAFKA__MAX_MESSAGE_BYTES": "209715200"}, "log message size"),
        ({"STRETTO_CAPTURE__TRANSACTION_TIMEOUT_S": "100000"}, "log transaction timeout"),
    ],
)
def test_settings_that_the_broker_does_not_allow_are_failures(cli: Cli, changed: dict[str, str], name: str) -> None:
    code, said = examine(cli, **changed)
    assert code == 1
    assert [line for line in said["FAIL"] if line.startswith(f"{name}:")]
