"""SIGKILL at each named crash point, under load: nothing is lost, nothing comes twice."""

from __future__ import annotations

import signal

import pytest

from stretto.demo.traces import read_log_traces
from tests.faults.conftest import Faults

BETWEEN_TRANSACTIONS = ("capture.after_init_transactions", "capture.before_status:5")
INSIDE_A_TRANSACTION = ("capture.after_open:5", "capture.after_rows:5", "capture.after_frontier:5")
"""Of Kafka: what was written so far is with the broker when the kill comes, so it lies aborted in the log afterwards."""
FOLLOWER = (
    "follower.after_sql:3",
    "follower.after_position:3",
    "follower.after_commit:3",
    "follower.after_publish:3",
)


@pytest.mark.parametrize("failpoint", [*BETWEEN_TRANSACTIONS, *INSIDE_A_TRANSACTION])
def test_capture_killed_here_goes_on_where_it_was(faults: Faults, failpoint: str) -> None:
    load = faults.load()
    follower = faults.processes.follower()
    assert faults.processes.capture(failpoint).exit_code() == -signal.SIGKILL
    load.wait_for_more(100)
    capture = faults.processes.capture()
    load.wait_for_more(200)
    faults.check()
    traces = read_log_traces(faults.pipeline.settings, 0)  # the newest session's first frontier, and what is before it
    assert traces is not None
    assert (traces.aborted > 0) == (failpoint in INSIDE_A_TRANSACTION)
    capture.stop()
    follower.stop()


def test_the_first_part_of_a_large_transaction_is_void_when_capture_dies_after_it(faults: Faults) -> None:
    load = faults.load(rows=300)
    follower = faults.processes.follower()
    capture = faults.processes.capture("capture.between_parts:3", capture__batch_rows="100")
    assert capture.exit_code() == -signal.SIGKILL
    faults.processes.capture(capture__batch_rows="100")
    load.wait_for_more(100)
    assert faults.check().void >= 100
    follower.stop()


@pytest.mark.parametrize("failpoint", FOLLOWER)
def test_a_follower_killed_here_goes_on_where_it_was(faults: Faults, failpoint: str) -> None:
    load = faults.load()
    capture = faults.processes.capture()
    assert faults.processes.follower(failpoint).exit_code() == -signal.SIGKILL
    load.wait_for_more(100)
    follower = faults.processes.follower()
    load.wait_for_more(200)
    faults.check()
    follower.stop()
    capture.stop()


def test_a_follower_killed_after_it_staged_a_large_batch_goes_on_where_it_was(faults: Faults) -> None:
    leader = faults.pipeline.leader
    leader.execute("insert into children select -i, 1, 'early' from generate_series(1, 5000) i")
    leader.execute("update children set note = 'late' where id < 0")
    load = faults.load()
    capture = faults.processes.capture()
    assert faults.processes.follower("follower.after_staging").exit_code() == -signal.SIGKILL
    leader.execute("update children set note = 'later' where id < 0")
    load.wait_for_more(100)
    follower = faults.processes.follower()
    faults.check()
    follower.stop()
    capture.stop()
