"""`stretto follower add` killed and run again, refused, and run to replace an earlier copy."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from stretto_connectors.postgres.sequences import ahead
from stretto_connectors.postgres.tools import PROGRAMS, find_tools
from stretto_schemas.errors import CheckFailed, Halted, SettingsError, UsageError
from stretto_schemas.settings import Settings, load
from tests.fix_add import Adding

TABLES = """
create type mood as enum ('sad', 'ok');
create function plus(i int) returns int language sql immutable as 'select i + 1';
create table items (id int primary key, label text unique, mood mood, n int default plus(1));
create table orders (id serial primary key, item int references items);
alter table items add latest int references orders;
create table parts (id int primary key, note text) partition by range (id);
create table parts_1 partition of parts for values from (0) to (1000);
create table parts_2 partition of parts for values from (1000) to (100000);
create function of_items(i items) returns int language sql as 'select i.n';
create view lively as select * from items where mood = 'ok';
insert into items select i, 'label ' || i, 'ok' from generate_series(1, 30000) i;
insert into orders (item) select i from generate_series(1, 1000) i;
update items set latest = 1 where id < 10;
insert into parts select i, repeat('note', 10) from generate_series(1, 3000) i;
"""

POINTS = ("add.after_slot", "add.mid_copy", "add.mid_copy:5", "add.after_rows", "add.after_keys")


@pytest.fixture
def ready(adding: Adding) -> Adding:
    adding.leader.execute(TABLES)
    adding.init()
    return adding


def check_equal(adding: Adding) -> None:
    for table in ("items", "orders", "parts", "lively"):
        leader, follower = adding.both(f"select t::text from {table} t order by 1")
        assert follower == leader
        assert leader
    assert adding.position() is not None


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_it_has_no_position_and_the_next_run_succeeds(ready: Adding, point: str) -> None:
    ready.follower.execute("create table of_mine (id int); insert into of_mine values (1)")
    ready.add_killed_at(point)
    assert ready.position() is None
    ready.leader.execute("insert into items values (99999, 'later', 'sad')")
    ready.add()
    check_equal(ready)
    assert ready.follower.fetch("select * from of_mine") == [(1,)]
    assert ready.follower.fetch("select state from stretto.copy") == [("done",)]


def test_killed_while_it_filled_given_tables_it_empties_them_and_begins_again(ready: Adding) -> None:
    ready.follower.execute(
        "create table items (id int primary key, label text, mood text, n int, latest int, more text default 'mine');"
        " create table orders (id int primary key, item int references items);"
        " create table parts (id int primary key, note text)"
    )
    ready.add_killed_at("add.after_rows")
    assert ready.follower.fetch("select count(*) from parts") == [(3000,)]
    ready.add()
    assert ready.follower.fetch("select count(*), count(distinct more) from items") == [(30_000, 1)]
    leader, follower = ready.both("select t::text from parts t order by 1")
    assert follower == leader


def test_a_second_time_is_refused_and_replace_copies_again(ready: Adding) -> None:
    ready.add()
    with pytest.raises(UsageError, match="was already made a follower"):
        ready.add()
    ready.follower.execute("delete from parts")
    ready.leader.execute("drop view lively; create view lively as select 1 as one")
    ready.add(replace=True)
    check_equal(ready)


def test_what_others_made_upon_the_copy_is_not_dropped(ready: Adding) -> None:
    ready.add()
    ready.follower.execute("create view of_mine as select label from items")
    with pytest.raises(CheckFailed, match=r"table public\.items, which an earlier copy made, cannot be taken away"):
        ready.add(replace=True)
    assert ready.follower.fetch("select count(*) from pg_views where viewname = 'of_mine'") == [(1,)]
    ready.follower.execute("drop view of_mine")
    ready.add()
    check_equal(ready)


def test_tables_with_rows_are_refused_and_left_alone(ready: Adding) -> None:
    ready.follower.execute("create table items (id int); insert into items values (7)")
    with pytest.raises(UsageError, match=r"the follower has rows already in public\.items"):
        ready.add()
    assert ready.follower.fetch("select * from items") == [(7,)]


def test_some_of_the_tables_are_refused_and_named(ready: Adding) -> None:
    ready.follower.execute("create table items (id int)")
    with pytest.raises(UsageError, match=r"has public\.items, but not public\.orders, public\.parts"):
        ready.add()


def test_a_given_table_without_all_columns_is_refused(ready: Adding) -> None:
    ready.follower.execute("create table items (id int); create table orders (id int); create table parts (id int)")
    with pytest.raises(UsageError, match=r"public\.items lacks label, mood, n, latest"):
        ready.add()


@pytest.mark.parametrize("key", ["", "primary key deferrable", "check (id > 0)"])
def test_a_given_table_without_the_key_that_the_log_names_rows_by_is_refused(ready: Adding, key: str) -> None:
    ready.follower.execute(
        f"create table items (id int {key}, label text, mood text, n int, latest int);"
        " create table orders (id int unique, item int); create table parts (id int primary key, note text)"
    )
    with pytest.raises(UsageError, match=r"lack keys: public\.items has none on id"):
        ready.add()
    assert ready.position() is None


def test_a_row_that_a_given_table_refuses_stops_the_copy_without_its_value(ready: Adding) -> None:
    ready.follower.execute(
        "create table items (id int primary key, label text, mood text, n int, latest int);"
        " create table orders (id int primary key, item int); create table parts (id int primary key, note varchar(3))"
    )
    with pytest.raises(
        CheckFailed, match=r"refused a row of public\.parts_[12] \(StringDataRightTruncation\)"
    ) as caught:
        ready.add()
    assert "note" not in str(caught.value)


def test_an_object_in_the_way_is_named_and_nothing_is_made(ready: Adding) -> None:
    ready.follower.execute("create type mood as enum ('other')")
    with pytest.raises(CheckFailed, match='while making the schema: type "mood" already exists'):
        ready.add()
    assert ready.follower.fetch("select to_regclass('items')") == [(None,)]
    ready.follower.execute("drop type mood")
    ready.add()
    check_equal(ready)


def test_a_source_that_was_not_initialised_is_refused(adding: Adding) -> None:
    with pytest.raises(Halted, match="stretto init"):
        adding.add()


def test_follower_and_leader_may_not_be_the_same_database(ready: Adding) -> None:
    ready.settings = ready.settings.model_copy(
        update={"follower": ready.settings.follower.model_copy(update={"dsn": ready.settings.source.dsn})}
    )
    with pytest.raises(SettingsError, match="are the same database"):
        ready.add()


@pytest.fixture
def as_role(ready: Adding, prefix: str) -> Iterator[tuple[Adding, str]]:
    """The source is read by a role that may read everything and is no superuser."""
    role = f"reader_{prefix}"
    ready.leader.execute(
        sql.SQL("create role {} login replication in role pg_read_all_data").format(sql.Identifier(role))
    )
    settings = ready.settings
    dsn = psycopg.conninfo.make_conninfo(ready.leader.dsn, user=role)
    environment = {
        "STRETTO_PREFIX": settings.prefix,
        "STRETTO_SOURCE__DSN": dsn,
        "STRETTO_SOURCE__SLOT": settings.source.slot_name,
        "STRETTO_FOLLOWER__DSN": settings.follower.dsn.get_secret_value(),
        "STRETTO_KAFKA__BOOTSTRAP": settings.kafka.bootstrap,
    }
    ready.settings = load_settings(environment)
    yield ready, role
    ready.leader.execute(sql.SQL("drop owned by {0}; drop role {0}").format(sql.Identifier(role)))


def load_settings(environment: dict[str, str]) -> Settings:
    return load(None, environment)


def test_a_role_without_superuser_rights_suffices_on_the_source(as_role: tuple[Adding, str]) -> None:
    adding, _ = as_role
    adding.add()
    check_equal(adding)


def test_row_level_security_that_would_hide_rows_is_refused_before_anything_is_made(
    as_role: tuple[Adding, str],
) -> None:
    adding, role = as_role
    adding.leader.execute("alter table items enable row level security; create policy few on items using (id < 10)")
    with pytest.raises(SettingsError, match=r"would hide rows of public\.items") as caught:
        adding.add()
    assert caught.value.fix == f"grant it on the source: alter role {role} bypassrls"
    assert adding.follower.fetch("select to_regclass('items')") == [(None,)]


def test_a_table_that_the_role_may_not_read_is_named(as_role: tuple[Adding, str]) -> None:
    adding, role = as_role
    adding.leader.execute(sql.SQL("revoke pg_read_all_data from {}").format(sql.Identifier(role)))
    with pytest.raises(SettingsError, match=rf"role {role} may not read public\.items"):
        adding.add()


def test_a_pg_dump_older_than_the_server_is_refused(tmp_path: Path) -> None:
    for program in PROGRAMS:
        path = tmp_path / program
        path.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 12.4 (Debian 12.4-1)'\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(UsageError, match=r"no pg_dump fits a server of version 18: .* has version 12"):
        find_tools(18, tmp_path)
    assert find_tools(12, tmp_path).major == 12
    with pytest.raises(UsageError, match="has no pg_dump, pg_restore, psql"):
        find_tools(18, tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("value", "increment", "lowest", "highest", "expected"),
    [
        (5, 1, 1, 2**63 - 1, 10_005),
        (5, 10, 1, 2**63 - 1, 100_005),
        (-5, -2, -(2**63), -1, -20_005),
        (1, 1, 1, 101, 26),
        (100, 1, 1, 101, 100),
    ],
)
def test_headroom_ends_before_the_sequence_does(
    value: int, increment: int, lowest: int, highest: int, expected: int
) -> None:
    assert ahead(value, increment, lowest, highest) == expected
