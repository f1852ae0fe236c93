"""A reader that polls what must hold in every state of a follower, and an applier that breaks it."""

from __future__ import annotations

import json
import threading
from typing import Any

import confluent_kafka
import psycopg
from confluent_kafka import TopicPartition

from tests.faults.load import TOTAL
from tests.fix_stack import Database

QUERY = """
select (select sum(balance) from accounts) + (select sum(balance) from vault),
       (select coalesce(sum(abs(p.children - coalesce(c.n, 0))), 0)
        from parents p left join (select parent, count(*) as n from children group by parent) c on c.parent = p.id),
       (select sum(place) from seats),
       (select coalesce(max(serial), 0) from ledger)
"""
SEATS = sum(range(1, 31))


class InvariantReader:
    """Looks in a thread, each time in one snapshot; remembers every state it saw and what was broken."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="invariants", daemon=True)
        self.states: set[int] = set()
        """Serials of the newest transaction seen: one a state."""
        self.broken: list[str] = []
        self.backwards: list[tuple[int, int]] = []
        """Serials that were followed by a lower one."""

    def start(self) -> InvariantReader:
        """Begin to look."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End after the look that is under way."""
        self._stop.set()
        self._thread.join(30.0)

    def _run(self) -> None:
        last = 0
        while not self._stop.is_set():
            try:
                with psycopg.connect(self._database.dsn, autocommit=True) as conn:
                    while not self._stop.is_set():
                        last = self._look(conn, last)
            except psycopg.OperationalError:
                self._stop.wait(0.05)  # the follower's server is down

    def _look(self, conn: psycopg.Connection[tuple[Any, ...]], last: int) -> int:
        [(money, orphans, seats, serial)] = conn.execute(QUERY, prepare=True).fetchall()
        if money != TOTAL:
            self.broken.append(f"{money - TOTAL} too much at transaction {serial}")
        if orphans:
            self.broken.append(f"{orphans} children miscounted at transaction {serial}")
        if seats != SEATS:
            self.broken.append(f"places add up to {seats} at transaction {serial}")
        if serial < last:
            self.backwards.append((last, serial))
        self.states.add(serial)
        return int(serial)


class RowByRow:
    """Applies each record as it comes, each in a transaction of its own, as a plain sink would: the reader sees it."""

    def __init__(self, bootstrap: str, prefix: str, target: Database) -> None:
        self._target = target
        self._stop = threading.Event()
        self._stem = f"{prefix}.leader.public."
        self._consumer = confluent_kafka.Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "row-by-row",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
            }
        )
        topics = [f"{self._stem}{table}" for table in ("accounts", "vault", "ledger")]
        self._consumer.assign([TopicPartition(topic, partition, 0) for topic in topics for partition in range(4)])
        self._thread = threading.Thread(target=self._run, name="row-by-row", daemon=True)

    def start(self) -> RowByRow:
        """Begin."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join(30.0)
        self._consumer.close()

    def _run(self) -> None:
        with psycopg.connect(self._target.dsn, autocommit=True) as conn:
            while not self._stop.is_set():
                for message in self._consumer.consume(500, 0.2):
                    if message.error() is None and message.value() is not None:
                        row = json.loads(message.value() or b"")["after"]
                        self._write(conn, (message.topic() or "")[len(self._stem) :], row)

    def _write(self, conn: psycopg.Connection[tuple[Any, ...]], table: str, row: dict[str, Any]) -> None:
        if table == "ledger":
            conn.execute("insert into ledger values (%(serial)s, %(kind)s) on conflict do nothing", row)
        else:
            conn.execute(f"update {table} set balance = %(balance)s where id = %(id)s", row)
