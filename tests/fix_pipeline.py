"""A whole pipeline for a test: topics, slot, first frontier, capture and follower on the test's own databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stretto.embedded.processes import wait_until
from stretto_connectors.kafka.reader import find_frontier
from stretto_connectors.postgres.bookkeeping import ensure_schema, write_new_position
from stretto_connectors.postgres.connection import connect
from stretto_consumers.follower.follower import Follower
from stretto_producers.capture.capture import Capture
from stretto_producers.source.init import init
from stretto_schemas import names
from stretto_schemas.position import Position
from stretto_schemas.settings import Settings, load
from tests.fix_stack import Database

DEADLINE_S = 30.0


class Pipeline:
    """Capture and follower in threads of this process; `settled()` waits until the follower has everything."""

    def __init__(self, settings: Settings, leader: Database, follower: Database) -> None:
        self.settings = settings
        self.leader = leader
        self.follower = follower
        self.failures: list[BaseException] = []
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def begin(self) -> None:
        """Both databases are empty or equal: make the source ready and the follower stand where it begins."""
        settings = self.settings
        source, kafka = settings.source.name, settings.kafka
        init(settings, lambda _: None)
        transactions = names.transactions_topic(settings.prefix, source)
        found = find_frontier(kafka, transactions)
        assert found is not None
        first, lsn = found[0], found[0].end_lsn
        offsets = first.next_offsets
        with connect(settings.follower.dsn, application="test") as conn:
            ensure_schema(conn)
            write_new_position(
                conn, Position(source, first.epoch, lsn, 0, lsn, found[1], -1, offsets), settings.follower.name
            )

    def run_with(self, tables: str) -> None:
        """The same tables on both sides, and capture and follower running."""
        for database in (self.leader, self.follower):
            database.execute(tables)
        self.begin()
        self.start()

    def start(self) -> None:
        """Run capture and follower."""
        for service in (Capture(self.settings), Follower(self.settings)):
            thread = threading.Thread(target=self._run, args=(service,), name=service.name)
            thread.start()
            self._threads.append(thread)

    def _run(self, service: Any) -> None:
        try:
            service.run(self._stop)
        except BaseException as error:  # noqa: BLE001 - raised again by the test that waits
            self.failures.append(error)

    def stop(self) -> None:
        """Stop both and wait for them."""
        self._stop.set()
        for thread in self._threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive(), f"{thread.name} did not stop"

    def restart(self) -> None:
        """Stop both, and run them again."""
        self.stop()
        self._threads.clear()
        self._stop.clear()
        self.start()

    def settled(self) -> None:
        """Wait until the follower has what the leader has now."""
        [(lsn,)] = self.leader.fetch("select pg_current_wal_insert_lsn()::text")
        self.leader.execute("select pg_logical_emit_message(true, 'settled', '')")
        passed = "select from stretto.position where end_lsn >= %s::pg_lsn"
        there = wait_until(lambda: bool(self.failures) or bool(self.follower.fetch(passed, lsn)), DEADLINE_S)
        if self.failures:
            raise self.failures[0]
        assert there, f"the follower did not pass {lsn} within {DEADLINE_S} s"

    def both(self, query: str) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """The same query on leader and follower."""
        return self.leader.fetch(query), self.follower.fetch(query)


@pytest.fixture
def pipeline(
    leader_db: Database, follower_db: Database, kafka_settings: dict[str, str], prefix: str, tmp_path: Path
) -> Iterator[Pipeline]:
    """A pipeline that is ready to `begin()`."""
    settings = load(
        None,
        {
            "STRETTO_PREFIX": prefix,
            "STRETTO_SOURCE__DSN": leader_db.dsn,
            "STRETTO_SOURCE__SLOT": f"stretto_{prefix}",
            "STRETTO_FOLLOWER__DSN": follower_db.dsn,
            "STRETTO_FOLLOWER__SPILL_DIR": str(tmp_path),
            **kafka_settings,
        },
    )
    made = Pipeline(settings, leader_db, follower_db)
    yield made
    made.stop()
