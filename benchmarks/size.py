"""Bytes a row at each place: the leader's WAL, the broker's disk, the follower's WAL.

A narrow and a wide table, and what lies between them in practice: rows a transaction. `frontier` is the transactions topic.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.backlog import Quiet
from benchmarks.servers import Pair, Servers, pair, running, servers, wait_until
from stretto_consumers.follower.bootstrap import add_follower
from stretto_producers.source.init import init

TABLES = """
create table narrow (id bigint primary key, account int not null, amount numeric(12,2) not null,
    at timestamptz not null default now());
create table wide (id bigint primary key, name text not null, email text not null, street text, city text, country text,
    note text, created timestamptz not null default now(), updated timestamptz not null default now(),
    active boolean not null default true, score float8, visits int not null default 0);
"""
"""A booking of four columns, and a customer of twelve with about 140 bytes of text."""

INSERT = {
    "narrow": "insert into narrow select i, i % 1000, (i % 100000) / 100.0 from generate_series({}::bigint, {}) i",
    "wide": "insert into wide select i, 'Customer number ' || i, 'customer' || i || '@example.org', i || ' Long Street',"
    " (array['Paris','Lagos','Lima','Osaka'])[1 + i % 4], (array['FR','NG','PE','JP'])[1 + i % 4],"
    " md5(i::text) || ' ' || md5((i * 7)::text), now(), now(), i % 3 = 0, random() * 100, i % 50"
    " from generate_series({}::bigint, {}) i",
}
UPDATE = {
    "narrow": "update narrow set amount = amount + 1 where id between {} and {}",
    "wide": "update wide set visits = visits + 1, updated = now() where id between {} and {}",
}
DELETE = {"narrow": "delete from narrow where id between {} and {}"}

ROWS = 50_000
IDLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Case:
    """What is done to how many rows a transaction."""

    table: str
    what: str
    rows: int

    @property
    def statement(self) -> str:
        """With places for the first and the last key."""
        return {"insert": INSERT, "update": UPDATE, "delete": DELETE}[self.what][self.table]


CASES = (
    Case("narrow", "insert", 100),
    Case("narrow", "update", 100),
    Case("narrow", "delete", 100),
    Case("narrow", "insert", 1),
    Case("wide", "insert", 100),
    Case("wide", "update", 100),
)


def measure(repeat: int, scale: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """One result for a minute without writes, in bytes an hour: before any load, whose vacuum is not rest. Then one a case."""
    rows = max(100, int(ROWS * scale) // 100 * 100)
    with servers() as box:
        for _ in range(repeat):
            with pair(box) as made:
                made.leader(TABLES)
                init(made.settings, lambda _: None)
                add_follower(made.settings, progress=Quiet(), pg_bin=box.leader.bin_dir)
                with running(made, "run", "capture"), running(made, "run", "follower"):
                    yield "nothing written, an hour", _rest(box, made, IDLE_S * scale)
                    for case in CASES:
                        before = _bytes(box, made)
                        _write(made, case, rows)
                        yield (
                            f"{case.table}: {case.what}s, {case.rows} a transaction",
                            {name: (now - before[name]) / rows for name, now in _bytes(box, made).items()},
                        )


def _rest(box: Servers, made: Pair, seconds: float) -> dict[str, float]:
    """Bytes an hour."""
    before = _bytes(box, made)
    time.sleep(seconds)
    return {name: (now - before[name]) * 3600 / seconds for name, now in _bytes(box, made).items()}


def _write(made: Pair, case: Case, rows: int) -> None:
    """Returns once the follower has all of it."""
    with psycopg.connect(made.leader_dsn, autocommit=True) as conn:
        conn.execute("checkpoint")  # each page is written whole once after it, as in a server that runs for long
        for first in range(1, rows + 1, case.rows):
            conn.execute(case.statement.format(first, first + case.rows - 1).encode())
    [(end,)] = made.leader("select pg_current_wal_lsn()::text")
    arrived = "select count(*) from stretto.position where end_lsn >= %s::pg_lsn"
    wait_until("the follower", lambda: made.follower(arrived, end) == [(1,)])


def _bytes(box: Servers, made: Pair) -> dict[str, float]:
    """Written so far."""
    [(leader,)] = made.leader("select pg_current_wal_lsn() - '0/0'")
    [(follower,)] = made.follower("select pg_current_wal_lsn() - '0/0'")
    return {
        "leader_wal": float(leader),
        "topic": _disk(box.kafka.data, f"{made.name}.leader.public.*"),
        "frontier": _disk(box.kafka.data, f"{made.name}.leader.transactions-*"),
        "follower_wal": float(follower),
    }


def _disk(data: Path, partitions: str) -> float:
    """Segments of all partitions that fit the pattern; one replica, compressed as capture does it by default."""
    return float(sum(log.stat().st_size for folder in (data / "logs").glob(partitions) for log in folder.glob("*.log")))
