"""Transactions larger than every buffer, and where their parts are cut."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from stretto.embedded.processes import wait_until
from tests.faults.conftest import Faults

SMALL = {"capture__batch_rows": "5000", "follower__batch_rows": "5000", "follower__buffer_bytes": str(1 << 20)}
ROWS = 200_000
HUGE = f"""
begin;
insert into ledger values (1, 'huge');
insert into children select i, i % 20 + 1, repeat('x', 40) || i from generate_series(1, {ROWS}) i;
update parents set children = {ROWS // 20};
update seats set id = id + 1000;
delete from children where id > {ROWS - 20_000};
update parents set children = (select count(*) from children where parent = parents.id);
commit
"""


def test_a_transaction_of_200000_rows_survives_kills_of_both_and_goes_through_the_disk(faults: Faults) -> None:
    pipeline = faults.pipeline
    # A follower reads a partition from the frontier on that names it first: let it know all of them.
    pipeline.leader.execute("insert into children select -i, 1, 'early' from generate_series(1, 40) i")
    capture = faults.processes.capture("capture.between_parts:12", **SMALL)
    follower = faults.processes.follower("follower.after_staging:3", **SMALL)
    faults.settled()
    pipeline.leader.execute(HUGE)
    assert capture.exit_code() == -signal.SIGKILL
    assert wait_until(lambda: _spilled(follower.pid) > 1 << 20, 120.0), "nothing was spilled to disk"
    capture = faults.processes.capture(**SMALL)
    assert follower.exit_code() == -signal.SIGKILL
    assert pipeline.follower.fetch("select count(*) from children") == [(40,)]
    follower = faults.processes.follower(**SMALL)
    assert faults.check().void >= 60_000
    assert _spilled(follower.pid) == 0
    capture.stop()
    follower.stop()


MILLION = 1_000_000
PEAK_BYTES = 300_000_000
"""Of each process, for one transaction of up to a million narrow rows."""


def test_a_million_rows_in_one_transaction_take_no_more_memory_than_promised(faults: Faults) -> None:
    pipeline = faults.pipeline
    capture, follower = faults.processes.both()
    faults.settled()
    pipeline.leader.execute(
        f"insert into children select i, i % 20 + 1, 'row ' || i from generate_series(1, {MILLION}) i"
    )
    faults.settled()
    peaks = {name: _peak_bytes(process.pid) for name, process in (("capture", capture), ("follower", follower))}
    print(peaks)
    assert max(peaks.values()) < PEAK_BYTES, peaks
    counted = "select count(*), sum(id), sum(length(note)) from children"
    assert pipeline.follower.fetch(counted) == pipeline.leader.fetch(counted)
    assert pipeline.follower.fetch("select count(*) from children") == [(MILLION,)]
    capture.stop()
    follower.stop()


def _peak_bytes(pid: int) -> int:
    """The most memory that a process ever had resident."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def _spilled(pid: int) -> int:
    """Bytes in the spill files of a process: they have no name any more, only descriptors."""
    total = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            # A file without a name in the spill folder: opened with O_TMPFILE or unlinked.
            if "(deleted)" in str(entry.readlink()) and "/pytest-" in str(entry.readlink()):
                total += entry.stat().st_size
        except OSError:
            continue
    return total


def test_rows_of_a_new_table_that_a_killed_capture_left_behind_are_void(faults: Faults) -> None:
    """Its topic was made, but neither its shape nor any frontier names it yet."""
    follower = faults.processes.follower()
    capture = faults.processes.capture("capture.between_parts:3", capture__batch_rows="100")
    capture.says("capturing from")
    faults.pipeline.leader.execute("create table fresh (id int primary key, note text)")
    faults.pipeline.leader.execute("insert into fresh select i, 'x' from generate_series(1, 1000) i")
    assert capture.exit_code() == -signal.SIGKILL
    capture = faults.processes.capture(capture__batch_rows="100")
    faults.settled()
    faults.pipeline.leader.execute("update fresh set note = 'y' where id % 10 = 0")
    faults.settled()
    faults.check_equal()
    assert faults.check_log().void >= 300
    follower.stop()
    capture.stop()


def test_a_frontier_in_the_middle_of_the_next_transaction_counts_only_its_own(faults: Faults) -> None:
    """The Kafka transaction that closes one source transaction writes to a partition only rows of the next one."""
    small = {"kafka__partitions": "1", "capture__batch_rows": "100"}
    leader = faults.pipeline.leader
    leader.execute("insert into children select i, 1, 'x' from generate_series(1, 100) i")
    leader.execute("insert into ledger values (1, 'a')")
    leader.execute(
        "begin; insert into children select i, 1, 'x' from generate_series(1001, 1100) i;"
        " insert into ledger select i, 'b' from generate_series(11, 60) i; commit"
    )
    leader.execute("insert into children select i, 1, 'x' from generate_series(2001, 2300) i")
    leader.execute("insert into children select i, 1, 'x' from generate_series(3001, 3300) i")
    faults.processes.both(**small)
    faults.settled()
    faults.check_equal()
    faults.check_log()


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 50])
def test_a_key_change_with_an_unsent_value_survives_a_cut_between_its_halves(faults: Faults, batch_rows: int) -> None:
    faults.pipeline.leader.execute(
        "begin; insert into ledger select i, 'x' from generate_series(1, 60) i; update seats set id = id + 1000; commit"
    )
    faults.processes.both(follower__batch_rows=str(batch_rows))
    faults.settled()
    faults.check_equal()
