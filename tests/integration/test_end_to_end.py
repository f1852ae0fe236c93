"""The whole way: what is written to the leader stands on the follower."""

from __future__ import annotations

import pytest

from stretto_schemas.errors import RowRefused, Unsupported
from tests.fix_pipeline import Pipeline

TABLES = """
create table events (id bigint primary key, account int, amount numeric(12,2), note text, created_at timestamptz);
create table seats (id int primary key, place int unique, big text);
alter table seats alter big set storage external;
create table keyless (a int, b text);
alter table keyless replica identity full;
"""


@pytest.fixture
def running(pipeline: Pipeline) -> Pipeline:
    pipeline.run_with(TABLES)
    pipeline.leader.execute(
        "insert into events select i, i, i / 100.0, repeat('x', 50) || E'\\t\\\\ \"\\r\\n' || i, now()"
        " from generate_series(1, 1000) i"
    )
    pipeline.leader.execute("insert into seats select i, i, repeat('z', 5000) from generate_series(1, 50) i")
    pipeline.leader.execute("insert into keyless select i % 5, nullif(i % 3, 0)::text from generate_series(1, 50) i")
    return pipeline


def check_equal(pipeline: Pipeline) -> None:
    pipeline.settled()
    for table in ("events", "seats", "keyless"):
        leader, follower = pipeline.both(f"select t::text from {table} t order by 1")
        assert leader == follower
        assert leader


def test_inserted_rows_arrive(running: Pipeline) -> None:
    check_equal(running)


def test_updates_deletes_and_changed_keys_arrive(running: Pipeline) -> None:
    running.leader.execute("update events set amount = amount + 1 where id % 2 = 0")
    running.leader.execute("delete from events where id % 10 = 0")
    running.leader.execute("update events set id = -id where id % 7 = 0")
    check_equal(running)


def test_values_of_a_unique_column_swapped_in_one_transaction_arrive(running: Pipeline) -> None:
    running.leader.execute(
        "begin; update seats set place = -place where id in (1, 2); update seats set place = 2 where id = 1;"
        " update seats set place = 1 where id = 2; commit"
    )
    check_equal(running)


def test_a_moved_row_keeps_the_toast_value_that_was_not_sent(running: Pipeline) -> None:
    running.settled()
    running.leader.execute("update seats set id = id + 1000 where id between 10 and 20")
    running.leader.execute("update seats set place = place + 5000 where id between 30 and 40")
    check_equal(running)


def test_one_of_several_equal_keyless_rows_goes(running: Pipeline) -> None:
    running.settled()
    running.leader.execute("delete from keyless where ctid in (select ctid from keyless where a = 1 limit 3)")
    running.leader.execute("update keyless set b = '' where a = 2")
    check_equal(running)


def test_truncate_keeps_its_place_in_the_order(running: Pipeline) -> None:
    running.leader.execute(
        "begin; insert into keyless values (7, 'gone'); truncate keyless; insert into keyless values (9, ''); commit"
    )
    check_equal(running)


def test_an_added_column_arrives_with_the_value_that_old_rows_have(running: Pipeline) -> None:
    running.settled()
    running.leader.execute("alter table seats add column colour text default 'red'")
    running.leader.execute("insert into seats values (7000, 7000, null, 'blue')")
    check_equal(running)


def test_a_transaction_larger_than_a_batch_arrives_whole(running: Pipeline) -> None:
    running.leader.execute(
        "begin; insert into events select i, i, i, 'large', now() from generate_series(10001, 80000) i;"
        " update events set amount = -1 where id between 20000 and 30000; delete from events where id > 79000;"
        " truncate keyless; insert into keyless select i, 'kept' from generate_series(1, 30000) i; commit"
    )
    check_equal(running)


def test_a_row_that_postgresql_refuses_halts_with_its_transaction_named(running: Pipeline) -> None:
    running.settled()
    running.follower.execute("alter table events add constraint small check (account < 5000)")
    running.leader.execute("insert into seats values (4001, 4001, 'before')")
    [(xid,)] = running.leader.fetch(
        "with w as (insert into events values (5001, 5001, 1, 'secret value', now())) select pg_current_xact_id()::text"
    )
    running.leader.execute("insert into seats values (4002, 4002, 'after')")
    with pytest.raises(RowRefused) as caught:
        running.settled()
    running.failures.clear()
    assert f"transaction {xid}," in str(caught.value)
    assert "constraint small" in str(caught.value)
    assert "secret value" not in str(caught.value)
    assert running.follower.fetch("select id from seats where id > 4000") == [(4001,)]


def test_names_that_need_quoting_arrive(running: Pipeline) -> None:
    table = 'create table "Größe %s" ("select" int primary key, "a""b" text, "c\\d %s" text, "日本" float8)'
    for database in (running.leader, running.follower):
        database.execute(table)
    running.leader.execute("""insert into "Größe %s" values (1, 'x"y', 'back\\slash', '-0'), (2, null, '', 'NaN')""")
    running.leader.execute("""update "Größe %s" set "a""b" = 'z' where "select" = 2""")
    running.settled()
    leader, follower = running.both('select t::text from "Größe %s" t order by 1')
    assert leader == follower
    assert len(leader) == 2


def test_a_replaced_row_and_a_moved_row_with_an_unsent_value_arrive_in_one_batch(running: Pipeline) -> None:
    running.settled()
    running.leader.execute(
        "begin; update seats set big = 'new' where id = 3; update seats set id = 2000 where id = 4;"
        " update seats set place = 3000 where id = 5; delete from seats where id = 6; commit"
    )
    check_equal(running)


def test_a_widened_column_is_followed_and_another_type_halts(running: Pipeline) -> None:
    running.settled()
    running.leader.execute("alter table events alter account type bigint")
    running.leader.execute("insert into events values (6001, 5000000000, 1, 'wide', now())")
    check_equal(running)
    running.leader.execute("alter table events alter account type text")
    running.leader.execute("insert into seats values (6001, 6001, 'before')")
    running.leader.execute("insert into events values (6002, 'x')")
    with pytest.raises(Unsupported, match="account"):
        running.settled()
    running.failures.clear()
    assert running.follower.fetch("select count(*) from seats where id = 6001") == [(1,)]


def test_a_table_made_later_arrives(running: Pipeline) -> None:
    running.leader.execute("create table later (id int primary key, v jsonb, tags text[], at timestamptz[])")
    running.leader.execute(
        """insert into later values (1, '{"a": [1, "x"]}', '{"a b",null}', '{infinity}'), (2, '"s"', null, null)"""
    )
    running.settled()
    leader, follower = running.both("select t::text from later t order by 1")
    assert leader == follower
    assert len(leader) == 2
