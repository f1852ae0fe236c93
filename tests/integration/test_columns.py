"""Columns that change in a way that a follower does not carry out: it halts, and goes on after the repair by hand."""

from __future__ import annotations

import pytest

from stretto_schemas.errors import Unsupported
from tests.fix_pipeline import Pipeline

TABLES = "create table t (id int primary key, v text, w int); create table other (id int primary key)"


@pytest.fixture
def running(pipeline: Pipeline) -> Pipeline:
    pipeline.run_with(TABLES)
    pipeline.leader.execute("insert into t select i, 'v' || i, i from generate_series(1, 20) i")
    pipeline.settled()
    return pipeline


def halted(pipeline: Pipeline, words: str) -> None:
    """It halts with these words; what came before is applied, table and rows are as they were."""
    with pytest.raises(Unsupported, match=words):
        pipeline.settled()
    pipeline.failures.clear()
    assert pipeline.follower.fetch("select from other") == [()]
    columns = "select string_agg(attname, ' ' order by attnum) from pg_attribute where attrelid = 't'::regclass and attnum > 0"
    assert pipeline.follower.fetch(columns) == [("id v w",)]
    assert pipeline.follower.fetch("select count(*), count(v), count(w) from t") == [(20, 20, 20)]


def goes_on(pipeline: Pipeline) -> None:
    pipeline.restart()
    pipeline.leader.execute("update t set w = w + 1 where id % 2 = 0")
    pipeline.settled()
    leader, follower = pipeline.both("select to_jsonb(t)::text from t order by id")
    assert leader == follower
    assert len(leader) == 21


def test_a_dropped_column(running: Pipeline) -> None:
    running.leader.execute("insert into other values (1)")
    running.leader.execute("alter table t drop v")
    running.leader.execute("insert into t values (21, 21)")
    halted(running, r"column v of public\.t is gone at the source")
    running.follower.execute("alter table t drop v")
    goes_on(running)


def test_a_renamed_column(running: Pipeline) -> None:
    running.leader.execute("insert into other values (1)")
    running.leader.execute("alter table t rename v to u")
    running.leader.execute("insert into t values (21, 'new', 21)")
    halted(running, r"column v of public\.t is gone at the source")
    running.follower.execute("alter table t rename v to u")
    goes_on(running)


def test_an_added_column_with_a_value_of_its_own_for_each_row(running: Pipeline) -> None:
    running.leader.execute("insert into other values (1)")
    running.leader.execute("alter table t add r float8 default random()")
    running.leader.execute("insert into t values (21, 'new', 21)")
    halted(running, r"column r was added to public\.t with a value of its own for each old row")
    running.follower.execute("alter table t add r float8")
    for number, value in running.leader.fetch("select id, r from t where id <= 20"):
        running.follower.execute("update t set r = %s where id = %s", value, number)
    goes_on(running)
