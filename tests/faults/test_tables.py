"""Tables that are made, renamed, dropped or changed while capture is behind, or down."""

from __future__ import annotations

import signal

import pytest

from stretto_schemas.names import table_topic
from tests.faults.conftest import Faults
from tests.faults.plain_log import read_log
from tests.faults.test_damage import halted


def test_the_first_part_of_a_new_table_is_void_though_the_table_has_another_name_by_now(faults: Faults) -> None:
    pipeline, settings = faults.pipeline, faults.pipeline.settings
    follower = faults.processes.follower()
    capture = faults.processes.capture("capture.between_parts", capture__batch_rows="100")
    pipeline.leader.execute("create table fresh (id int primary key)")
    pipeline.leader.execute("insert into fresh select generate_series(1, 1000)")
    assert capture.exit_code() == -signal.SIGKILL
    pipeline.leader.execute("alter table fresh rename to renamed")
    capture = faults.processes.capture(capture__batch_rows="100")
    faults.settled()
    follower.stop()
    capture.stop()
    rows = pipeline.follower.fetch("select id from fresh order by id")
    assert rows == pipeline.leader.fetch("select id from renamed order by id")
    log = read_log(settings.kafka.bootstrap, settings.prefix, settings.source.name)
    assert log.void >= 100
    topic = table_topic(settings.prefix, settings.source.name, "public", "fresh")
    assert sorted(log.inserted(topic, "id")) == [row[0] for row in rows]


def test_a_table_that_was_dropped_before_capture_saw_it_has_its_key(faults: Faults) -> None:
    pipeline = faults.pipeline
    pipeline.leader.execute(
        "begin; create table brief (id int primary key, v int); insert into brief values (1, 1), (2, 1);"
        " update brief set v = 2 where id = 1; delete from brief where id = 2; drop table brief; commit"
    )
    follower, capture = faults.processes.follower(), faults.processes.capture()
    faults.settled()
    assert pipeline.follower.fetch("select id, v from brief") == [(1, 2)]
    follower.stop()
    capture.stop()


@pytest.mark.parametrize(
    ("ddl", "insert", "said"),
    [
        (
            "drop table things; create table things (id int primary key, v text)",
            "insert into things values (1, 'new')",
            "table public.things was dropped and made again",
        ),
        (
            "alter table things rename to old; create table things (id int primary key, v text); drop table old",
            "insert into things values (1, 'new')",
            "table public.things was dropped and made again",
        ),
        (
            "alter table things rename to others",
            "insert into others values (2, 'new')",
            "table public.things is called public.others now",
        ),
        (
            "create schema shop; alter table things set schema shop",
            "insert into shop.things values (2, 'new')",
            "table public.things is called shop.things now",
        ),
        (
            "alter table things drop column v, add column v text",
            "insert into things values (2, 'new')",
            "a column of table public.things was dropped and made again",
        ),
    ],
)
@pytest.mark.parametrize("running", [True, False])
def test_a_table_or_a_column_that_is_another_one_now(
    faults: Faults, ddl: str, insert: str, said: str, running: bool
) -> None:
    leader = faults.pipeline.leader
    capture, follower = faults.processes.both()
    leader.execute("create table things (id int primary key, v text)")
    leader.execute("insert into things values (1, 'old')")
    faults.settled()
    if not running:
        capture.stop()
    leader.execute(ddl)
    leader.execute(insert)
    halted(capture if running else faults.processes.capture(), said, "stretto follower add --replace")
    follower.stop()


def test_a_table_that_is_rewritten_is_the_same_one(faults: Faults) -> None:
    leader, follower = faults.pipeline.leader, faults.pipeline.follower
    capture, applier = faults.processes.both()
    leader.execute("create table things (id int primary key, v int)")
    leader.execute("insert into things values (1, 1)")
    leader.execute("vacuum full things")
    leader.execute("insert into things values (2, 2)")
    leader.execute("alter table things alter column v type bigint")
    leader.execute("insert into things values (3, 3)")
    leader.execute("truncate things")
    leader.execute("insert into things values (4, 4)")
    leader.execute("alter table things add column w text")
    leader.execute("insert into things values (5, 5, 'w')")
    faults.settled()
    capture.stop()
    capture = faults.processes.capture()
    leader.execute("update things set v = 6 where id = 5")
    faults.settled()
    rows = "select id, v, w from things order by id"
    assert follower.fetch(rows) == leader.fetch(rows)
    capture.stop()
    applier.stop()
