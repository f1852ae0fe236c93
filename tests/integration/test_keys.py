"""By what a follower finds its rows: tables whose key changes, and tables whose rows have none."""

from __future__ import annotations

import pytest

from stretto_schemas.errors import Unsupported
from tests.fix_pipeline import Pipeline

TABLES = """
create table moves (a int not null, b int not null, note text, constraint by_a primary key (a));
create table half (a int unique, b text, c json, d jsonb);
alter table half replica identity full;
create table other (id int primary key);
"""


@pytest.fixture
def running(pipeline: Pipeline) -> Pipeline:
    pipeline.run_with(TABLES)
    return pipeline


def check_equal(pipeline: Pipeline, table: str) -> None:
    pipeline.settled()
    leader, follower = pipeline.both(f"select t::text from {table} t order by 1")
    assert leader == follower
    assert leader


def test_a_key_that_the_follower_has_not_halts_and_goes_on_once_it_is_made(running: Pipeline) -> None:
    leader, follower = running.leader, running.follower
    leader.execute("insert into moves select i, 10 - i, 'first' from generate_series(1, 9) i")
    check_equal(running, "moves")
    leader.execute("alter table moves drop constraint by_a, add constraint by_b primary key (b)")
    leader.execute("insert into other values (1)")
    leader.execute("begin; update moves set note = 'second' where b = 3; delete from moves where b = 5; commit")
    with pytest.raises(Unsupported, match=r"log's key of public\.moves is now b"):
        running.settled()
    running.failures.clear()
    assert follower.fetch("select from other") == [()]
    assert follower.fetch("select count(*) from moves where note = 'first'") == [(9,)]
    follower.execute("alter table moves add unique (b)")
    running.restart()
    leader.execute("delete from moves where b = 1")
    check_equal(running, "moves")


def test_rows_of_a_table_with_a_unique_index_but_no_key_arrive(running: Pipeline) -> None:
    leader = running.leader
    leader.execute("""insert into half select i, 'x', '{"z": 1}', '{"z": 1}' from generate_series(1, 20) i""")
    leader.execute("insert into half select null, null, null, null from generate_series(1, 5) i")
    check_equal(running, "half")
    leader.execute(
        "begin; insert into half values (30, 'p', '1', '1'); update half set b = 'q' where a = 30;"
        " update half set b = 'r', c = null where a = 30; update half set a = a + 100 where a < 5;"
        " update half set b = null where a between 5 and 10; delete from half where a between 8 and 12; commit"
    )
    leader.execute("delete from half where ctid in (select ctid from half where a is null limit 2)")
    leader.execute("update half set d = '2' where a is null")
    leader.execute("update half set a = a + 1 where a = 30")
    check_equal(running, "half")
