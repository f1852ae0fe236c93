"""A follower that was told to stand still does, whoever applies, until it is told to go on."""

from __future__ import annotations

from stretto.embedded.processes import wait_until
from stretto_connectors.postgres.connection import connect
from stretto_consumers.follower.control import pause, resume
from tests.faults.conftest import Faults
from tests.followers_topic import follower_records, newest_state

TAKEN_UP_WITHIN_S = 5.0
"""Ordered to done is half a second at rest; this machine may be busy."""

STANDS = "select end_lsn, (select coalesce(max(serial), 0) from ledger), (select sum(balance) from accounts) from stretto.position"


def test_rows_stand_still_under_load_over_kills_and_takeovers_and_in_the_end_all_are_equal(faults: Faults) -> None:
    settings, follower = faults.pipeline.settings, faults.pipeline.follower
    follower.execute("drop table stretto.control")  # as an older version made the database
    load = faults.load()
    capture, first = faults.processes.both()
    first.says("applying source")
    load.wait_for_more(100)
    before, now = pause(settings, "quarter's end")
    assert (before.paused, now.paused) == (False, True)
    first.says("paused: quarter's end", TAKEN_UP_WITHIN_S)
    stands = follower.fetch(STANDS)
    load.wait_for_more(200)
    assert follower.fetch(STANDS) == stands
    first.kill()
    second = faults.processes.follower()
    second.says("paused: quarter's end")
    third = faults.processes.follower()
    third.says("health and metrics")
    load.wait_for_more(100)
    second.kill()
    third.says("paused: quarter's end")
    load.wait_for_more(100)
    assert follower.fetch(STANDS) == stands
    load.stop()

    def told() -> bool:
        state = newest_state(settings.kafka, settings.prefix)
        return state is not None and (state.state, state.said) == ("paused", "quarter's end")

    assert wait_until(told, TAKEN_UP_WITHIN_S), follower_records(settings.kafka, settings.prefix)[-3:]
    assert third.running
    resume(settings)
    faults.check()
    assert wait_until(
        lambda: getattr(newest_state(settings.kafka, settings.prefix), "state", "") == "running", TAKEN_UP_WITHIN_S
    )
    third.stop()
    capture.stop()


def test_a_pause_in_the_middle_of_a_large_transaction_takes_effect_after_its_commit(faults: Faults) -> None:
    """The follower waits for a lock in the middle of it; the pause is ordered meanwhile."""
    settings, follower = faults.pipeline.settings, faults.pipeline.follower
    capture = faults.processes.capture()
    applying = faults.processes.follower(follower__batch_rows="500")
    applying.says("applying source")
    with connect(settings.follower.dsn, application="test", autocommit=False) as blocker:
        blocker.execute("select from public.parents where id = 1 for update")
        faults.pipeline.leader.execute(
            "begin; insert into children select 9000000 + i, 2, '' from generate_series(1, 2000) i;"
            " update parents set children = children + 2000 where id = 2;"
            " update parents set children = children where id = 1; commit"
        )
        waits = (
            "select from pg_stat_activity where application_name = 'stretto-apply-leader' and wait_event_type = 'Lock'"
        )
        assert wait_until(lambda: bool(follower.fetch(waits)), 30.0), applying.log
        pause(settings, "in the middle")
        blocker.rollback()
    applying.says("paused: in the middle")
    assert follower.fetch("select count(*) from children where id > 9000000") == [(2000,)]
    faults.pipeline.leader.execute("insert into ledger values (1, 'late')")
    applying.stop()
    assert follower.fetch("select from ledger") == []
    resume(settings)
    applying = faults.processes.follower()
    faults.settled()
    assert follower.fetch("select kind from ledger") == [("late",)]
    applying.stop()
    capture.stop()
