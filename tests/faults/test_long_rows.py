"""Rows of several megabytes: a follower's memory is bounded by bytes, not by the number of rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from stretto.embedded.processes import wait_until
from tests.fix_processes import Processes, processes

__all__ = ["processes"]

ROWS, SIZE = 20, 5_000_000
SMALL = {"follower__batch_bytes": str(8 << 20), "follower__buffer_bytes": str(16 << 20)}
MEMORY_MB = 350
"""A batch of 8 MiB or one row, decoded and printed, three times; 16 MiB that wait, and what librdkafka fetched ahead."""

TABLES = """
create table long (id int primary key, big text);
create table unkeyed (id int, big text);
alter table unkeyed replica identity full;
create table unique_too (id int primary key, u int unique, n int, big text);
alter table unique_too alter big set storage external;
"""


def peak_mb(pid: int) -> float:
    """The most memory that a process ever had."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


@pytest.mark.soak
def test_a_backlog_of_long_rows_is_applied_within_the_memory_of_a_few_batches(processes: Processes, times: int) -> None:
    pipeline, rows = processes.pipeline, ROWS * times
    for database in (pipeline.leader, pipeline.follower):
        database.execute(TABLES)
    pipeline.begin()
    capture = processes.capture()
    # Text that hardly compresses: else the broker hands over any number of rows as one small piece.
    write = pipeline.leader.execute
    write(f"insert into long select 0, string_agg(md5(i::text), '') from generate_series(1, {SIZE // 32}) i")
    write(f"insert into long select i, i || big from long, generate_series(1, {rows}) i")
    for number in range(1000, 1000 + rows // 2):
        write(f"insert into long select {number}, '{number}' || big from long where id = 0")
    write("insert into unkeyed select i, i || big from long, generate_series(1, 5) i where id = 0")
    write("delete from unkeyed where id > 2")
    write("insert into unique_too select i, i, i, i || big from long, generate_series(1, 9) i where id = 0")
    write("update unique_too set n = -n")
    write("update long set big = big || 'more' where id < 4")
    [(lsn,)] = pipeline.leader.fetch("select pg_current_wal_insert_lsn()::text")
    pipeline.leader.execute("select pg_logical_emit_message(true, 'settled', '')")
    follower = processes.follower(**SMALL)

    def passed() -> bool:
        assert follower.running, follower.log
        return bool(pipeline.follower.fetch("select from stretto.position where end_lsn >= %s::pg_lsn", lsn))

    assert wait_until(passed, 120.0 * times), follower.log
    peak = peak_mb(follower.pid)
    print(f"peak {peak:.0f} MB")
    for query in (
        "select id, md5(big) from long order by 1",
        "select id, md5(big) from unkeyed order by 1",
        "select id, u, n, md5(big) from unique_too order by 1",
    ):
        leader, copy = pipeline.both(query)
        assert leader == copy
        assert leader
    assert peak < MEMORY_MB
    capture.stop()
    follower.stop()
