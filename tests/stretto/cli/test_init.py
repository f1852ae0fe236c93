"""`stretto init` on real servers."""

from __future__ import annotations

import psycopg
import pytest

from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import delete_topics, topic_configs
from stretto_connectors.kafka.reader import find_frontier
from stretto_connectors.kafka.topics import ensure_topics, partition_counts
from stretto_schemas.lsn import parse_lsn
from stretto_schemas.settings import Settings, load
from tests.fix_cli import Cli
from tests.fix_stack import Database

TABLES = '''
create table item(id int primary key, name text);
create table keyless(v text);
create table late(id int primary key deferrable initially deferred);
create table parted(id int primary key) partition by range (id);
create table parted_1 partition of parted for values from (0) to (10);
create view seen as select * from item;
create unlogged table quick(id int primary key);
create schema "Ünüsual ""name""";
create table "Ünüsual ""name"""."a.b"(id int primary key);
'''


@pytest.fixture
def settings(cli: Cli) -> Settings:
    return load(None, cli.settings)


def topics(settings: Settings) -> dict[str, int]:
    return partition_counts(admin(settings.kafka), settings.kafka, settings.prefix + ".")


def test_a_dry_run_prints_sql_that_works_and_changes_nothing(cli: Cli, leader_db: Database, settings: Settings) -> None:
    leader_db.execute(TABLES)
    printed = cli.good("init", "--dry-run")
    assert topics(settings) == {}
    assert leader_db.fetch("select from pg_publication") == []
    assert leader_db.fetch("select from pg_replication_slots where database = current_database()") == []
    assert leader_db.fetch("select relreplident::text from pg_class where relname = 'keyless'") == [("d",)]
    for statement in printed.split(";\n"):  # what is no SQL is a comment
        leader_db.execute(statement)
    assert leader_db.fetch("select pubname from pg_publication") == [("stretto",)]


def test_init_makes_everything_and_a_second_run_finds_it(cli: Cli, leader_db: Database, settings: Settings) -> None:
    leader_db.execute(TABLES)
    first = cli.good("init")
    assert "there:" not in first
    prefix = f"{settings.prefix}.leader"
    assert topics(settings) == {
        f"{prefix}.transactions": 1,
        f"{prefix}.schema": 1,
        f"{settings.prefix}.followers": 1,
        f"{prefix}.public.item": 4,
        f"{prefix}.public.keyless": 4,
        f"{prefix}.public.late": 4,
        f"{prefix}.public.parted": 4,
        next(t for t in topics(settings) if "a_b" in t): 4,
    }
    second = cli.good("init")
    assert "made:" not in second
    assert "frontier 0" in second


def test_the_first_frontier_stands_where_the_slot_does(cli: Cli, leader_db: Database, settings: Settings) -> None:
    leader_db.execute("create table item(id int primary key)")
    cli.good("init")
    found = find_frontier(settings.kafka, f"{settings.prefix}.leader.transactions")
    assert found is not None
    frontier = found[0]
    [(confirmed, system_id)] = leader_db.fetch(
        "select confirmed_flush_lsn::text, (select system_identifier::text from pg_control_system())"
        " from pg_replication_slots where slot_name = %s",
        settings.source.slot_name,
    )
    assert (frontier.sequence, frontier.end_lsn) == (0, parse_lsn(confirmed))
    assert frontier.epoch == frontier.commit_ts_us // 1_000_000
    assert (frontier.system_id, frontier.timeline, frontier.transactions) == (system_id, 1, [])
    topic = f"{settings.prefix}.leader.public.item"
    assert [(o.topic, o.partition, o.offset) for o in frontier.offsets or []] == [(topic, p, 0) for p in range(4)]
    assert frontier.offsets_lsn == frontier.end_lsn


def test_topics_have_settings_that_last(cli: Cli, leader_db: Database, settings: Settings) -> None:
    leader_db.execute("create table item(id int primary key)")
    cli.good("init")
    configs = topic_configs(admin(settings.kafka), settings.kafka, list(topics(settings)))
    prefix = f"{settings.prefix}.leader"
    kept = {name: (config["cleanup.policy"], config["retention.ms"]) for name, config in configs.items()}
    assert kept[f"{prefix}.transactions"] == ("delete", "-1")
    assert kept[f"{prefix}.public.item"] == ("delete", str(168 * 3_600_000))
    assert kept[f"{prefix}.schema"][0] == kept[f"{settings.prefix}.followers"][0] == "compact"
    assert {config["max.message.bytes"] for config in configs.values()} == {str(64 * 1024 * 1024)}


def test_the_leaders_own_updates_go_on_after_init(cli: Cli, leader_db: Database) -> None:
    leader_db.execute(TABLES + "insert into keyless values ('a'); insert into late values (1)")
    printed = cli.good("init")
    leader_db.execute("update keyless set v = 'b'; update late set id = 2; delete from keyless; delete from late")
    assert "REPLICA IDENTITY FULL of public.keyless" in printed
    assert "REPLICA IDENTITY FULL of public.late" in printed


def test_no_alter_refuses_with_the_list_and_makes_nothing(cli: Cli, leader_db: Database, settings: Settings) -> None:
    leader_db.execute(TABLES)
    done = cli("init", "--no-alter")
    assert done.returncode == 1
    assert "public.keyless, public.late" in done.stderr
    assert topics(settings) == {}
    assert leader_db.fetch("select from pg_publication") == []


def test_a_keyless_table_with_a_generated_column_is_refused_for_full_would_not_help(
    cli: Cli, leader_db: Database
) -> None:
    leader_db.execute("create table g(a int, b int generated always as (a + 1) stored); insert into g values (1)")
    done = cli("init")
    assert done.returncode == 1
    assert "public.g: it has no usable key, and FULL would take in its generated column" in done.stderr
    # Held against the server itself: what is refused would indeed break the leader.
    leader_db.execute("alter table g replica identity full; create publication p for table g")
    with pytest.raises(psycopg.Error, match="cannot update table"):
        leader_db.execute("update g set a = 2")


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("public.seen", "it is a view"),
        ("public.quick", "it is unlogged"),
        ("public.nowhere", "no such table"),
        ("none*.x", "no table matches"),
        ("item", "names no table"),
    ],
)
def test_a_table_that_cannot_be_published_is_named_with_the_reason(
    cli: Cli, leader_db: Database, table: str, why: str
) -> None:
    leader_db.execute(TABLES)
    done = cli("init", STRETTO_SOURCE__TABLES=f'["{table}"]')
    assert done.returncode in (1, 2)
    assert why in done.stderr


def published(leader_db: Database) -> set[tuple[str, str]]:
    return set(leader_db.fetch("select schemaname::text, tablename::text from pg_publication_tables"))


def test_a_schema_taken_whole_publishes_what_is_made_in_it_later(cli: Cli, leader_db: Database) -> None:
    leader_db.execute(TABLES + "create schema other; create table other.x(id int primary key)")
    cli.good("init", STRETTO_SOURCE__TABLES='["other.*", "public.item"]')
    leader_db.execute("create table other.y(id int primary key); create table public.z(id int primary key)")
    assert published(leader_db) == {("other", "x"), ("other", "y"), ("public", "item")}


@pytest.mark.parametrize(("via_root", "names"), [("true", {"parted"}), ("false", {"parted_1"})])
def test_a_partitioned_table_goes_under_its_roots_or_its_leaves_names(
    cli: Cli, leader_db: Database, settings: Settings, via_root: str, names: set[str]
) -> None:
    leader_db.execute(TABLES)
    chosen = {"STRETTO_SOURCE__TABLES": '["public.parted"]', "STRETTO_SOURCE__PUBLISH_VIA_PARTITION_ROOT": via_root}
    cli.good("init", **chosen)
    assert published(leader_db) == {("public", name) for name in names}
    assert {topic.rpartition(".")[2] for topic in topics(settings) if ".public." in topic} == names


def test_the_schema_stretto_is_never_published(cli: Cli, leader_db: Database) -> None:
    leader_db.execute("create schema stretto; create table stretto.position(source text primary key);" + TABLES)
    cli.good("init")
    leader_db.execute("create table more(id int primary key)")
    assert {schema for schema, _ in published(leader_db)} == {"public", 'Ünüsual "name"'}
    assert ("public", "more") in published(leader_db)
    assert cli("init", STRETTO_SOURCE__TABLES='["stretto.position"]').returncode == 1


def test_an_owner_who_is_no_superuser_can_init_and_adds_tables_later(
    cli: Cli, leader_db: Database, prefix: str
) -> None:
    role = f"owner_{prefix}"
    leader_db.execute(f"create role {role} login replication; grant create on database {leader_db.name} to {role}")
    try:
        leader_db.execute(f"create schema app authorization {role}; create table app.x(id int primary key)")
        leader_db.execute(f"alter table app.x owner to {role}; create table public.foreign_one(id int primary key)")
        own = {"STRETTO_SOURCE__DSN": leader_db.dsn.replace("user=postgres", f"user={role}")}
        refused = cli("init", **own)
        assert refused.returncode == 2
        assert "does not own public.foreign_one" in refused.stderr
        own["STRETTO_SOURCE__TABLES"] = '["app.*"]'
        cli.good("init", **own)
        leader_db.execute(f"create table app.y(id int primary key); alter table app.y owner to {role}")
        leader_db.execute("insert into app.y values (1)")
        assert "rows that app.y had before are not in the log" in cli.good("init", **own)
        assert published(leader_db) == {("app", "x"), ("app", "y")}
    finally:
        leader_db.execute("drop publication if exists stretto")
        leader_db.execute(f"drop owned by {role} cascade; drop role {role}")


def test_a_slot_without_frontier_is_refused_for_the_log_may_have_lost_them(
    cli: Cli, leader_db: Database, settings: Settings
) -> None:
    cli.good("init")
    delete_topics(admin(settings.kafka), settings.kafka, [f"{settings.prefix}.leader.transactions"])
    done = cli("init")
    assert done.returncode == 4
    assert "holds no frontier" in done.stderr
    assert "stretto destroy --yes" in done.stderr
    cli.good("destroy", "--yes")
    cli.good("init")


def test_a_frontier_without_slot_is_refused_for_changes_are_missing(
    cli: Cli, leader_db: Database, settings: Settings
) -> None:
    cli.good("init")
    leader_db.execute("select pg_drop_replication_slot(%s)", settings.source.slot_name)
    done = cli("init")
    assert done.returncode == 4
    assert "does not exist" in done.stderr
    assert "stretto destroy --yes" in done.stderr


def test_a_dropped_publication_is_refused_for_decoding_needs_it_at_every_place(cli: Cli, leader_db: Database) -> None:
    cli.good("init")
    leader_db.execute("drop publication stretto")
    done = cli("init")
    assert done.returncode == 4
    assert "publication stretto does not exist" in done.stderr


def test_a_publication_that_lacks_actions_is_completed(cli: Cli, leader_db: Database) -> None:
    leader_db.execute("create publication stretto for all tables with (publish = 'insert', publish_via_partition_root)")
    cli.good("init")
    assert leader_db.fetch("select pubupdate, pubdelete, pubtruncate from pg_publication") == [(True, True, True)]


def test_a_topic_that_somebody_made_compacted_is_refused(cli: Cli, leader_db: Database, settings: Settings) -> None:
    leader_db.execute("create table item(id int primary key)")
    topic = f"{settings.prefix}.leader.public.item"
    config = {"cleanup.policy": "compact"}
    ensure_topics(admin(settings.kafka), settings.kafka, [topic], partitions=1, config=config)
    done = cli("init")
    assert done.returncode == 1
    assert f"topic {topic} has cleanup.policy = compact" in done.stderr


def test_a_transactions_topic_of_several_partitions_is_refused(cli: Cli, settings: Settings) -> None:
    topic = f"{settings.prefix}.leader.transactions"
    ensure_topics(admin(settings.kafka), settings.kafka, [topic], partitions=2, config={})
    done = cli("init")
    assert done.returncode == 1
    assert f"topic {topic} has 2 partitions" in done.stderr


def test_an_init_whose_broker_dies_before_the_frontier_leaves_no_slot(
    cli: Cli, leader_db: Database, settings: Settings
) -> None:
    topic = f"{settings.prefix}.leader.transactions"
    small = {"cleanup.policy": "delete", "max.message.bytes": "60"}  # too small for any frontier
    ensure_topics(admin(settings.kafka), settings.kafka, [topic], partitions=1, config=small)
    assert cli("init").returncode != 0
    assert leader_db.fetch("select from pg_replication_slots where database = current_database()") == []
    delete_topics(admin(settings.kafka), settings.kafka, [topic])
    cli.good("init")


def test_a_follower_that_is_there_already_is_left_alone_when_asked(
    cli: Cli, leader_db: Database, follower_db: Database
) -> None:
    leader_db.execute("create table item(id int primary key); insert into item values (1)")
    cli.good("init")
    cli.good("follower", "add", "--if-absent")
    assert follower_db.fetch("select * from item") == [(1,)]
    assert cli.good("follower", "add", "--if-absent") == "the follower already follows source leader\n"
    both = cli("follower", "add", "--if-absent", "--replace")
    assert both.returncode == 2
    assert "--replace and --if-absent exclude each other" in both.stderr
