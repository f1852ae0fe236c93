"""A load whose every transaction keeps invariants and leaves one row in a ledger."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import psycopg

from stretto.embedded.processes import wait_until
from tests.fix_stack import Database

ACCOUNTS = 20
TOTAL = 2 * ACCOUNTS * 1000

TABLES = """
create table accounts (id int primary key, balance bigint not null);
create table vault (id int primary key, balance bigint not null);
create table parents (id int primary key, children int not null);
create table children (id bigint primary key, parent int not null references parents, note text);
create table ledger (serial bigint primary key, kind text not null);
create table keyless (a int, b text);
alter table keyless replica identity full;
create table seats (id int primary key, place int not null unique, big text);
alter table seats alter big set storage external;
"""
NAMES = ("accounts", "vault", "parents", "children", "ledger", "keyless", "seats")

ROWS = f"""
insert into accounts select i, 1000 from generate_series(1, {ACCOUNTS}) i;
insert into vault select i, 1000 from generate_series(1, {ACCOUNTS}) i;
insert into parents select i, 0 from generate_series(1, {ACCOUNTS}) i;
insert into seats select i, i, repeat(chr(97 + i % 26), 3000) from generate_series(1, 30) i;
"""

Connection = psycopg.Connection[tuple[Any, ...]]


class Load:
    """Small random transactions in a thread, one after another, through restarts of the leader."""

    def __init__(self, leader: Database, seed: int, *, rows: int = 1, pause_s: float = 0.0) -> None:
        self._leader = leader
        self._random = random.Random(seed)
        self._rows = rows
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._failure: BaseException | None = None
        self._seat = 1000
        self.done = 0
        """Transactions whose COMMIT returned."""
        self._pause_s = pause_s

    def start(self) -> Load:
        """Begin."""
        self._thread.start()
        return self

    def wait_for_more(self, count: int, deadline_s: float = 60.0) -> None:
        """Wait until so many more transactions are done."""
        goal = self.done + count
        reached = wait_until(lambda: self.done >= goal or self._failure is not None, deadline_s)
        if self._failure is not None:
            raise self._failure
        assert reached, f"{self.done} transactions, {goal} were expected"

    def stop(self) -> None:
        """End after the transaction that is under way."""
        self._stop.set()
        self._thread.join(60.0)
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                try:
                    with psycopg.connect(self._leader.dsn, autocommit=True, connect_timeout=5) as conn:
                        self._work(conn)
                except psycopg.OperationalError:
                    self._stop.wait(0.05)  # the leader is being killed; what is in the ledger is what was committed
        except BaseException as error:  # noqa: BLE001 - raised again by the test
            self._failure = error

    def _work(self, conn: Connection) -> None:
        kinds: list[tuple[str, Callable[[Connection], None]]] = [
            ("transfer", self._transfer),
            ("child", self._child),
            ("orphan", self._orphan),
            ("move", self._move),
            ("swap", self._swap),
            ("keyless", self._keyless),
        ]
        weights = [6, 3, 1, 2, 1, 2]
        [(serial,)] = conn.execute("select coalesce(max(serial), 0) from ledger").fetchall()
        while not self._stop.wait(self._pause_s):
            [(kind, work)] = self._random.choices(kinds, weights)
            serial += 1
            with conn.transaction():
                conn.execute("insert into ledger values (%s, %s)", (serial, kind))
                work(conn)
            self.done += 1

    def _transfer(self, conn: Connection) -> None:
        amount, source, target = (
            self._random.randint(1, 50),
            self._random.randint(1, ACCOUNTS),
            self._random.randint(1, ACCOUNTS),
        )
        here, there = self._random.sample(["accounts", "vault"], 2)
        conn.execute(f"update {here} set balance = balance - %s where id = %s", (amount, source))
        conn.execute(f"update {there} set balance = balance + %s where id = %s", (amount, target))

    def _child(self, conn: Connection) -> None:
        parent = self._random.randint(1, ACCOUNTS)
        count = self._rows
        conn.execute(
            "insert into children select coalesce((select max(id) from children), 0) + i, %s, 'ä \"quoted\" \\ ' || i"
            " from generate_series(1, %s) i",
            (parent, count),
        )
        conn.execute(
            "update parents set children = (select count(*) from children where parent = %s) where id = %s",
            (parent, parent),
        )

    def _orphan(self, conn: Connection) -> None:
        parent = self._random.randint(1, ACCOUNTS)
        conn.execute("delete from children where parent = %s", (parent,))
        conn.execute("update parents set children = 0 where id = %s", (parent,))

    def _move(self, conn: Connection) -> None:
        """A new key for a row whose long value is not sent, and sometimes its long value right after."""
        self._seat += 1
        conn.execute(
            "update seats set id = (select max(id) + 1 from seats) where id = (select id from seats order by random() limit 1)"
        )
        if self._seat % 3 == 0:
            conn.execute("update seats set big = repeat('n', 2500) where id = (select max(id) from seats)")

    def _swap(self, conn: Connection) -> None:
        """Two rows change their unique values."""
        (one, first), (two, second) = conn.execute("select id, place from seats order by random() limit 2").fetchall()
        for seat, place in ((one, -1), (two, first), (one, second)):
            conn.execute("update seats set place = %s where id = %s", (place, seat))

    def _keyless(self, conn: Connection) -> None:
        value = self._random.randint(1, 5)
        conn.execute("insert into keyless select %s, nullif(i, 2)::text from generate_series(1, 3) i", (value,))
        conn.execute("update keyless set b = '' where ctid = (select ctid from keyless where a = %s limit 1)", (value,))
        conn.execute("delete from keyless where ctid in (select ctid from keyless where a = %s limit 3)", (value,))
