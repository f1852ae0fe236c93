"""Topics whose names the broker cannot tell apart."""

from __future__ import annotations

from tests.fix_cli import Cli
from tests.fix_stack import Database

FIRST = "create schema a; create table a.b_c (id int primary key)"
SECOND = "create schema a_b; create table a_b.c (id int primary key)"


def test_tables_whose_topics_differ_only_in_dot_and_underscore_are_a_usage_error(cli: Cli, leader_db: Database) -> None:
    leader_db.execute(f"{FIRST}; {SECOND}")
    done = cli("init")
    assert done.returncode == 2, done.stderr
    assert "collide" in done.stderr
    assert "rename one of the tables" in done.stderr
    leader_db.execute("drop table a_b.c")
    cli.good("init")


def test_a_later_table_whose_topic_collides_ends_capture_instead_of_being_tried_for_ever(
    cli: Cli, leader_db: Database
) -> None:
    leader_db.execute(FIRST)
    cli.good("init")
    with cli.running("run", "capture") as capture:
        capture.until_ready()
        leader_db.execute(f"{SECOND}; insert into a_b.c values (1)")
        assert capture.process.wait(60) == 2, capture.log
        assert "collide" in capture.log
