"""The whole way as an operator goes it: commands, processes, kills."""

from __future__ import annotations

import json
import random

from stretto.embedded.processes import wait_until
from tests.fix_cli import Cli
from tests.fix_processes import Processes
from tests.fix_stack import Database

TABLES = """
create table accounts (id int primary key, balance bigint not null);
insert into accounts select i, 100 from generate_series(1, 50) i;
create table moves (id bigint generated always as identity primary key, note text);
"""
EQUAL_S = 60.0


def move(leader: Database, chosen: random.Random, count: int) -> None:
    """So many transactions, each of two updates and a row."""
    for _ in range(count):
        one, other = chosen.sample(range(1, 51), 2)
        leader.execute(
            f"begin; update accounts set balance = balance - 1 where id = {one};"
            f" update accounts set balance = balance + 1 where id = {other};"
            " insert into moves (note) values (E'\\u00e4\\t\\\\'); commit"
        )


def test_commands_from_init_to_destroy(cli: Cli, leader_db: Database, follower_db: Database) -> None:
    leader_db.execute(TABLES)
    cli.good("init")
    with cli.running("run", "capture") as capture:
        capture.until_ready()
        move(leader_db, random.Random(1), 20)
        cli.good("follower", "add")
        with cli.running("run", "follower") as follower:
            follower.until_ready()
            move(leader_db, random.Random(2), 20)
            query = "select count(*) from moves"
            assert wait_until(lambda: follower_db.fetch(query) == [(40,)], EQUAL_S), follower.log
            assert "2 tables: equal" in cli.good("verify")
            assert "FAIL" not in cli.good("doctor")
            status = json.loads(cli.good("status", "-f", "json"))
            [shown] = status["followers"]
            assert shown["rows"] >= 60  # 20 transactions of three rows came through the log
            assert shown["lag"]["total"] is not None
            assert status["problems"] == []
            assert follower.stop() == 0
        assert capture.stop() == 0
    cli.good("destroy", "--yes", "--follower")
    assert follower_db.fetch("select count(*) from moves") == [(40,)]


def test_processes_that_are_killed_under_load_lose_nothing_and_double_nothing(processes: Processes) -> None:
    pipeline = processes.pipeline
    for database in (pipeline.leader, pipeline.follower):
        database.execute(TABLES)
    pipeline.begin()
    capture, follower = processes.both()
    chosen = random.Random(3)
    for killed, again in ((capture, processes.capture), (follower, processes.follower)):
        move(pipeline.leader, chosen, 50)
        killed.kill()
        move(pipeline.leader, chosen, 50)
        again()

    def equal() -> bool:
        leader, follower = pipeline.both(
            "select 'a', a::text from accounts a union all select 'm', m::text from moves m order by 1, 2"
        )
        return leader == follower

    assert wait_until(equal, EQUAL_S), "\n".join(each.log for each in processes.started)
    assert pipeline.follower.fetch("select sum(balance), (select count(*) from moves) from accounts") == [(5000, 200)]
