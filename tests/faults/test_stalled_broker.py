"""A broker that stands still in the middle of a commit: capture holds what it has, takes no more, and stays connected."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from stretto.embedded.kafka import EmbeddedKafka
from stretto.embedded.processes import wait_until
from tests.faults.conftest import Faults

GROWTH_KB = 64 * 1024


def peak_kb(pid: int) -> int:
    """The most memory that the process ever had."""
    return next(
        int(line.split()[1])
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    )


@pytest.mark.soak
def test_memory_stays_bounded_while_a_commit_waits(faults: Faults, kafka: EmbeddedKafka, times: int) -> None:
    leader, settings = faults.pipeline.leader, faults.pipeline.settings
    dsn = f"{settings.source.dsn.get_secret_value()} options='-c wal_sender_timeout=4s'"
    capture = faults.processes.capture(
        source__dsn=dsn, capture__status_s="0.5", capture__batch_rows="1000", capture__batch_bytes=str(1 << 20)
    )
    follower = faults.processes.follower()
    for database in (leader, faults.pipeline.follower):
        database.execute("create table long (id int primary key, filling text)")
    leader.execute("insert into long select i, repeat(md5(i::text), 30) from generate_series(1, 2000) i")
    faults.settled()
    before = peak_kb(capture.pid)
    assert kafka.pid is not None
    os.kill(kafka.pid, signal.SIGSTOP)
    try:
        for start in range(10_000, 10_000 + 100_000 * times, 20_000):
            leader.execute(
                f"insert into long select i, repeat(md5(i::text), 30) from generate_series({start}, {start + 19_999}) i"
            )
        seen: list[tuple[object, ...]] = []

        def held_up() -> bool:
            """The server waits for us at the same place, for longer than it takes to give up on a client that is silent."""
            seen.extend(
                leader.fetch(
                    "select sent_lsn, wait_event from pg_stat_replication r join pg_stat_activity a using (pid)"
                    " where r.application_name = 'stretto-capture' and a.datname = current_database()"
                )
            )
            return len(seen) >= 250 and len(set(seen[-250:])) == 1 and seen[-1][1] == "WalSenderWriteData"

        assert wait_until(held_up, 60.0), seen[-1:]
        assert peak_kb(capture.pid) - before < GROWTH_KB
        assert "trying again" not in capture.log
    finally:
        os.kill(kafka.pid, signal.SIGCONT)
    faults.settled()
    assert leader.fetch("select count(*) from long") == faults.pipeline.follower.fetch("select count(*) from long")
    capture.stop()
    follower.stop()
