"""A source that `stretto init` made ready, and `add_follower` on it, in this process or in one that is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from stretto.embedded.kafka import EmbeddedKafka
from stretto.embedded.processes import wait_until
from stretto_connectors.postgres.bookkeeping import read_position
from stretto_connectors.postgres.connection import connect
from stretto_consumers.follower.add_progress import Silent
from stretto_consumers.follower.bootstrap import add_follower
from stretto_consumers.follower.follower import Follower
from stretto_producers.capture.capture import Capture
from stretto_producers.source.init import init
from stretto_schemas.position import Position
from stretto_schemas.settings import Settings, load
from tests.fix_stack import Database

PROGRAM = """
import sys
from pathlib import Path
from stretto_consumers.follower.add_progress import Silent
from stretto_consumers.follower.bootstrap import add_follower
from stretto_schemas.settings import load
add_follower(load(Path(sys.argv[1])), progress=Silent(), chunk_bytes=int(sys.argv[2]))
"""


class Adding:
    """Leader and follower of a test, and the settings that name them."""

    def __init__(self, settings: Settings, leader: Database, follower: Database, folder: Path) -> None:
        self.settings = settings
        self.leader = leader
        self.follower = follower
        self._folder = folder

    def init(self) -> None:
        """Topics, publication, slot, first frontier."""
        init(self.settings, lambda _: None)

    def add(self, **options: Any) -> None:
        """Make the follower."""
        add_follower(self.settings, progress=options.pop("progress", Silent()), **options)

    def add_killed_at(self, failpoint: str, chunk_bytes: int = 1024 * 1024) -> None:
        """Begin to make it in a process of its own, which dies by SIGKILL at the crash point."""
        path = self._folder / "stretto.toml"
        path.write_text(
            f'prefix = "{self.settings.prefix}"\n'
            f'[source]\ndsn = "{self.leader.dsn}"\nslot = "{self.settings.source.slot_name}"\n'
            f'[follower]\ndsn = "{self.follower.dsn}"\n[kafka]\nbootstrap = "{self.settings.kafka.bootstrap}"\n'
        )
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(path), str(chunk_bytes)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "STRETTO_FAILPOINT": failpoint},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == -9, done.stderr

    @contextmanager
    def running(self) -> Iterator[None]:
        """Capture and follower run in threads of this process until the block ends."""
        stop = threading.Event()
        failures: list[BaseException] = []

        def run(service: Capture | Follower) -> None:
            try:
                service.run(stop)
            except BaseException as error:  # noqa: BLE001 - raised again at the end
                failures.append(error)

        threads = [threading.Thread(target=run, args=(each(self.settings),)) for each in (Capture, Follower)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(30)
            assert not failures, failures  # before what the block raised: it is why
        assert not any(thread.is_alive() for thread in threads), "a process did not end when it was told to"

    def settled(self) -> None:
        """Wait until the follower has what the leader has now."""
        [(lsn,)] = self.leader.fetch("select pg_current_wal_insert_lsn()::text")
        self.leader.execute("select pg_logical_emit_message(true, 'settled', '')")
        passed = "select from stretto.position where end_lsn >= %s::pg_lsn"
        assert wait_until(lambda: bool(self.follower.fetch(passed, lsn)), 30.0), "the follower does not get there"

    def position(self) -> Position | None:
        """Where the follower stands."""
        with connect(self.settings.follower.dsn, application="test") as conn:
            return read_position(conn, self.settings.source.name)

    def both(self, query: str) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """The same query on leader and follower."""
        return self.leader.fetch(query), self.follower.fetch(query)

    def connect_leader(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A session on the leader."""
        return psycopg.connect(self.leader.dsn, autocommit=True)


@pytest.fixture
def adding(leader_db: Database, follower_db: Database, kafka: EmbeddedKafka, prefix: str, tmp_path: Path) -> Adding:
    """A leader that is not yet `init()`ed, and an empty follower."""
    settings = load(
        None,
        {
            "STRETTO_PREFIX": prefix,
            "STRETTO_SOURCE__DSN": leader_db.dsn,
            "STRETTO_SOURCE__SLOT": f"stretto_{prefix}",
            "STRETTO_FOLLOWER__DSN": follower_db.dsn,
            "STRETTO_KAFKA__BOOTSTRAP": kafka.bootstrap,
        },
    )
    return Adding(settings, leader_db, follower_db, tmp_path)
