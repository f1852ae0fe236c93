from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from stretto.demo import tables
from stretto.demo.compare import compare
from stretto.demo.load import Writer
from stretto.demo.pgbench import Pgbench
from stretto.embedded.processes import wait_until
from stretto_schemas.errors import CheckFailed, Unreachable, UsageError


def create(dsn: str, **sizes: int) -> None:
    with psycopg.connect(dsn) as conn:
        tables.create_tables(conn, **sizes)


def until(condition: Callable[[], bool], deadline_s: float = 30.0) -> None:
    assert wait_until(condition, deadline_s), "not within the deadline"


@pytest.fixture
def bin_dir(leader_db: Any) -> Path:
    return Path(leader_db.fetch("select setting from pg_config where name = 'BINDIR'")[0][0])


def test_some_thousand_transactions_run_without_error_and_touch_every_table(leader_db: Any) -> None:
    create(leader_db.dsn, rows=300)
    progress = Writer(leader_db.dsn, seed=1).run(transactions=2500)
    assert progress.transactions == 2500
    assert progress.retried == 0
    assert progress.rolled_back > 0
    assert set(progress.by_table) == set(tables.TABLES)
    assert progress.rows == sum(progress.by_table.values())


def test_the_money_in_accounts_stays_the_same(leader_db: Any) -> None:
    create(leader_db.dsn, rows=50)
    Writer(leader_db.dsn, seed=2).run(transactions=300)
    assert leader_db.fetch("select sum(balance)::int8, sum(moves) > 0 from accounts") == [(tables.TOTAL_BALANCE, True)]


def test_duplicates_nulls_and_values_out_of_line_are_there(leader_db: Any) -> None:
    create(leader_db.dsn, rows=300)
    Writer(leader_db.dsn, seed=3).run(transactions=300)
    [(duplicates, seatless, outside, old, new)] = leader_db.fetch(
        """
        select (select count(*) - count(distinct keyless::text) from keyless),
               (select count(*) from seats where seat is null),
               (select count(*) from documents where length(body) > 3000 and pg_column_size(body) > 2000),
               (select count(*) from measures_low), (select count(*) from measures_high)
        """
    )
    assert min(duplicates, seatless, outside, old, new) > 0


def test_the_same_seed_leaves_the_same_rows(leader_db: Any, follower_db: Any) -> None:
    for database in (leader_db, follower_db):
        create(database.dsn, rows=100, wide_rows=40)
        Writer(database.dsn, seed=4).run(transactions=400)
    compared = compare(leader_db.dsn, follower_db.dsn)
    assert [table.name for table in compared.differing] == []
    assert len(compared.tables) == len(tables.TABLES)


def test_two_writers_side_by_side_keep_going(leader_db: Any) -> None:
    create(leader_db.dsn, rows=300)
    writers = [Writer(leader_db.dsn, seed=seed) for seed in (5, 6)]
    for writer in writers:
        writer.start()
    until(lambda: all(writer.progress.transactions > 200 or not writer.running for writer in writers))
    assert all(writer.stop().transactions > 200 for writer in writers)


def test_a_writer_in_a_thread_keeps_to_its_rate_and_stops(leader_db: Any) -> None:
    create(leader_db.dsn, rows=300)
    writer = Writer(leader_db.dsn, seed=7, rows_per_s=400)
    began = time.monotonic()
    writer.start()
    until(lambda: writer.progress.rows > 1200 or not writer.running)
    seconds = time.monotonic() - began
    total = writer.stop()
    assert not writer.running
    # 3 s of rows; a last transaction of a few hundred is paid for after it is counted.
    assert seconds >= 1.5
    assert total.rows >= 1200


def test_what_ends_a_writer_is_raised_by_stop(leader_db: Any) -> None:
    create(leader_db.dsn, rows=20)
    leader_db.execute("drop table accounts")
    writer = Writer(leader_db.dsn, seed=8)
    writer.start()
    until(lambda: not writer.running)
    with pytest.raises(psycopg.errors.UndefinedTable):
        writer.stop()


def test_a_server_that_does_not_answer_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="cannot connect"):
        Writer("host=127.0.0.1 port=1 connect_timeout=2").run(transactions=1)


def test_pgbench_runs_its_time_and_reports(leader_db: Any, bin_dir: Path) -> None:
    tables.create_pgbench_tables(bin_dir, leader_db.dsn, 1)
    bench = Pgbench(bin_dir, leader_db.dsn, seconds=2, rate_tps=100, seed=1)
    bench.start()
    result = bench.wait(30)
    assert result.complete
    assert result.failed == 0
    assert result.latency_ms is not None
    assert leader_db.fetch("select count(*) from pgbench_history") == [(result.transactions,)]
    assert result.transactions > 50


def test_pgbench_stopped_early_says_what_it_has_done(leader_db: Any, bin_dir: Path) -> None:
    tables.create_pgbench_tables(bin_dir, leader_db.dsn, 1)
    bench = Pgbench(bin_dir, leader_db.dsn, seconds=60, rate_tps=100)
    bench.start()
    until(lambda: bench.transactions > 0 or not bench.running)
    result = bench.stop()
    assert not bench.running
    assert not result.complete
    assert result.transactions > 0


def test_pgbench_without_its_tables_fails_with_what_it_said(leader_db: Any, bin_dir: Path) -> None:
    bench = Pgbench(bin_dir, leader_db.dsn, seconds=1)
    bench.start()
    with pytest.raises(CheckFailed, match="pgbench"):
        bench.wait(30)


def test_a_folder_without_pgbench_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no pgbench"):
        Pgbench(tmp_path, "dbname=x", seconds=1)


def test_a_password_is_handed_over_in_the_environment() -> None:
    environment = tables.connection_environment("postgresql://me:hidden@db.example/shop?port=6000")
    asked = {name: environment[name] for name in ("PGHOST", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGPORT")}
    assert asked == {
        "PGHOST": "db.example",
        "PGUSER": "me",
        "PGPASSWORD": "hidden",
        "PGDATABASE": "shop",
        "PGPORT": "6000",
    }
