"""A publication that is dropped, made again or cut down loses rows without a word of PostgreSQL: capture halts."""

from __future__ import annotations

import pytest

from stretto_producers.source.init import init
from stretto_schemas.settings import Settings
from tests.faults.conftest import Faults
from tests.faults.test_damage import at_rest, halted
from tests.fix_processes import Processes

TABLES = "create table first (id int primary key); create table second (id int primary key)"
AGAIN = "create publication stretto for all tables with (publish_via_partition_root)"


def listing(settings: Settings, *tables: str) -> Settings:
    """The same settings, with these tables instead of all."""
    return settings.model_copy(update={"source": settings.source.model_copy(update={"tables": tables})})


@pytest.fixture
def listed(processes: Processes) -> Faults:
    """A pipeline of two tables by name."""
    made = Faults(processes)
    for database in (made.pipeline.leader, made.pipeline.follower):
        database.execute(TABLES)
    made.pipeline.settings = listing(made.pipeline.settings, "public.first", "public.second")
    made.pipeline.begin()
    return made


def test_a_publication_that_is_dropped_and_made_again_under_capture(faults: Faults) -> None:
    capture, _ = faults.processes.both()
    faults.pipeline.leader.execute("update accounts set balance = balance")
    faults.settled()
    faults.pipeline.leader.execute("drop publication stretto")
    faults.pipeline.leader.execute("update accounts set balance = balance + 1 where id = 1")
    faults.pipeline.leader.execute(AGAIN)
    faults.pipeline.leader.execute("update accounts set balance = balance - 1 where id = 2")
    halted(capture, "publication stretto", "stretto follower add --replace")
    halted(faults.processes.capture(), "publication stretto was dropped and made again", "stretto init")


def test_a_publication_that_was_dropped_and_made_again_while_capture_was_down(faults: Faults) -> None:
    at_rest(faults)
    faults.pipeline.leader.execute("drop publication stretto")
    halted(faults.processes.capture(), "publication stretto does not exist", "stretto init")
    faults.pipeline.leader.execute(AGAIN)
    halted(faults.processes.capture(), "publication stretto was dropped and made again", "stretto init")


def test_a_publication_that_was_made_again_before_capture_first_ran(faults: Faults) -> None:
    faults.pipeline.leader.execute("drop publication stretto")
    faults.pipeline.leader.execute(AGAIN)
    halted(faults.processes.capture(), "publication stretto was dropped and made again", "stretto init")


def test_a_table_that_is_taken_out_under_capture(listed: Faults) -> None:
    leader = listed.pipeline.leader
    capture = listed.processes.capture()
    leader.execute("insert into first values (1); insert into second values (1)")
    capture.says("capturing from")
    leader.execute("alter publication stretto drop table second")
    halted(capture, "second was taken out", "stretto follower add --replace")
    leader.execute("alter publication stretto add table second")
    halted(listed.processes.capture(), "second was taken out", "stretto follower add --replace")


@pytest.mark.parametrize(
    ("ddl", "said"),
    [
        ("alter publication stretto set table first where (id > 1), second", "first was taken out"),
        ("alter publication stretto set (publish = 'insert')", "it publishes i "),
        ("alter publication stretto set (publish_via_partition_root = false)", "via root: False"),
    ],
)
def test_what_narrows_a_publication_while_capture_is_down(listed: Faults, ddl: str, said: str) -> None:
    listed.pipeline.leader.execute(ddl)
    halted(listed.processes.capture(), said, "stretto follower add --replace")


def test_tables_that_init_adds_and_tables_that_are_dropped_are_fine(listed: Faults) -> None:
    pipeline = listed.pipeline
    capture, follower = listed.processes.both()
    pipeline.leader.execute("insert into first values (1); insert into second values (1)")
    listed.settled()
    for database in (pipeline.leader, pipeline.follower):
        database.execute("create table third (id int primary key)")
    init(listing(pipeline.settings, "public.first", "public.second", "public.third"), lambda _: None)
    capture.says("publication stretto was altered; nothing that it had is missing")
    pipeline.leader.execute("insert into third values (3)")
    listed.settled()
    assert pipeline.follower.fetch("select id from third") == [(3,)]
    pipeline.leader.execute("drop table second")
    pipeline.leader.execute("insert into first values (2)")
    listed.settled()
    capture.stop()
    capture = listed.processes.capture()
    pipeline.leader.execute("insert into third values (4)")
    listed.settled()
    assert pipeline.follower.fetch("select id from third order by id") == [(3,), (4,)]
    pipeline.leader.execute("alter publication stretto drop table third")
    halted(capture, "third was taken out")
    follower.stop()
