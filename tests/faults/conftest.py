"""Fixtures of these tests only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stretto.demo.compare import compare
from stretto.embedded.processes import wait_until
from stretto_schemas.names import table_topic
from tests.faults.load import ROWS, TABLES, Load
from tests.faults.plain_log import Log, read_log
from tests.fix_processes import Processes, processes

__all__ = ["processes"]

SEED = 20_250_711
SETTLED_WITHIN_S = 120.0


class Faults:
    """A pipeline under load, and what must hold of it in the end."""

    def __init__(self, processes: Processes) -> None:
        self.processes = processes
        self.pipeline = processes.pipeline
        self.loads: list[Load] = []

    def begin(self) -> None:
        """The same tables and rows on both sides, the log ready."""
        for database in (self.pipeline.leader, self.pipeline.follower):
            database.execute(TABLES)
            database.execute(ROWS)
        self.pipeline.begin()

    def load(self, *, rows: int = 1, seed: int = SEED, pause_s: float = 0.001) -> Load:
        """Start to write to the leader."""
        load = Load(self.pipeline.leader, seed, rows=rows, pause_s=pause_s).start()
        self.loads.append(load)
        return load

    def write_some(self, count: int = 100) -> None:
        """So many transactions at least, then rest."""
        load = self.load()
        load.wait_for_more(count)
        load.stop()

    def check(self) -> Log:
        """At rest: both sides are equal, and the log has each transaction once. Returns what the log has."""
        for load in self.loads:
            load.stop()
        self.settled()
        self.check_equal()
        return self.check_log()

    def settled(self) -> None:
        """Wait until the follower has what the leader has now; no process may end by itself meanwhile."""
        leader, follower = self.pipeline.leader, self.pipeline.follower
        running = [process for process in self.processes.started if process.running]
        [(lsn,)] = leader.fetch("select pg_current_wal_insert_lsn()::text")
        leader.execute("select pg_logical_emit_message(true, 'settled', '')")

        def passed() -> bool:
            for process in running:
                assert process.running, process.log
            return bool(follower.fetch("select from stretto.position where end_lsn >= %s::pg_lsn", lsn))

        assert wait_until(passed, SETTLED_WITHIN_S), "\n".join(process.log for process in running)

    def check_equal(self) -> None:
        """Every table has the same rows on both sides."""
        comparison = compare(self.pipeline.leader.dsn, self.pipeline.follower.dsn)
        assert comparison.equal, comparison.differing
        assert comparison.rows > 0

    def check_log(self) -> Log:
        """Each row of the ledger came once, and nothing lies behind the last frontier."""
        settings = self.pipeline.settings
        log = read_log(settings.kafka.bootstrap, settings.prefix, settings.source.name)
        assert log.uncounted == 0
        topic = table_topic(settings.prefix, settings.source.name, "public", "ledger")
        serials = [row[0] for row in self.pipeline.leader.fetch("select serial from ledger order by serial")]
        assert sorted(log.inserted(topic, "serial")) == serials
        return log

    def clear(self) -> None:
        """End what still writes."""
        for load in self.loads:
            load.stop()


@pytest.fixture
def faults(processes: Processes) -> Iterator[Faults]:
    """A pipeline that has begun; nothing runs yet."""
    made = Faults(processes)
    made.begin()
    yield made
    made.clear()
