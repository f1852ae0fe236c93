"""A follower process and what is done to its own database: it waits, stands by, halts, and says why."""

from __future__ import annotations

import pytest

from stretto.embedded.processes import wait_until
from stretto_consumers.follower.detach import detach
from stretto_schemas.errors import CheckFailed
from tests.faults.conftest import Faults


def test_the_position_stays_while_a_follower_process_applies(faults: Faults) -> None:
    capture, first = faults.processes.both()
    first.says("applying source")
    settings = faults.pipeline.settings
    with pytest.raises(CheckFailed, match="a follower process applies source 'leader'"):
        detach(settings, lambda _: None)
    load = faults.load()
    load.wait_for_more(50)
    faults.check()
    capture.stop()
    # One that stands by finds no position when its turn comes.
    second = faults.processes.follower()
    second.says("health and metrics")
    follower = faults.pipeline.follower
    follower.execute("delete from stretto.position")
    first.kill()
    assert second.exit_code() == 2, second.log
    assert "this database does not follow source 'leader'" in second.log
    said: list[str] = []
    detach(settings, said.append)
    assert said == ["dropped: replication origin stretto_leader"]


def test_a_follower_whose_database_is_read_only_by_default_is_written_to(faults: Faults) -> None:
    """So users are kept from writing to it."""
    database = faults.pipeline.follower
    database.execute(f"alter database {database.name} set default_transaction_read_only = on")
    capture, follower = faults.processes.both()
    load = faults.load()
    load.wait_for_more(50)
    faults.check()
    capture.stop()
    follower.stop()


def test_a_row_too_long_for_an_index_of_the_followers_own_halts_with_its_transaction_named(faults: Faults) -> None:
    capture, follower = faults.processes.both()
    faults.pipeline.follower.execute("create index mine on children (note)")
    [(xid,)] = faults.pipeline.leader.fetch(
        "with w as (insert into children select 7000000, 1, string_agg(md5(i::text), '') from generate_series(1, 500) i)"
        " select pg_current_xact_id()::text"
    )
    assert follower.exit_code() == 4
    assert f"transaction {xid}," in follower.log
    assert "SQLSTATE 54000" in follower.log
    faults.pipeline.follower.execute("drop index mine")
    follower = faults.processes.follower()
    faults.settled()
    capture.stop()
    follower.stop()


def test_a_time_limit_on_the_followers_transactions_is_lifted(faults: Faults) -> None:
    capture = faults.processes.capture()
    limited = f"{faults.pipeline.follower.dsn} options='-c transaction_timeout=100ms'"
    follower = faults.processes.follower(follower__dsn=limited)
    faults.pipeline.leader.execute(
        "insert into children select 3000000 + i, 1, repeat('x', 200) from generate_series(1, 60000) i"
    )
    faults.settled()
    assert "refused" not in follower.log
    assert "trying again" not in follower.log
    capture.stop()
    follower.stop()


END_WHO_HAS_THE_LOCK = """
select pg_terminate_backend(a.pid) from pg_stat_activity a join pg_locks l using (pid)
where l.locktype = 'advisory' and l.granted and a.application_name = 'stretto-apply-leader' and datname = current_database()
"""


def test_whoever_loses_the_lock_under_load_loses_nothing(faults: Faults) -> None:
    capture, first = faults.processes.both()
    first.says("applying source")
    second = faults.processes.follower()
    load = faults.load()
    for _ in range(3):
        load.wait_for_more(100)
        assert wait_until(lambda: faults.pipeline.follower.fetch(END_WHO_HAS_THE_LOCK) == [(True,)], 30.0), second.log
    load.wait_for_more(100)
    faults.check()
    [(term,)] = faults.pipeline.follower.fetch("select term from stretto.position")
    assert term >= 2
    for process in (first, second, capture):
        process.stop()
