"""A backlog on the leader, and how long each program takes to drain it: capture, follower, and their peers."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import confluent_kafka
import psycopg
from confluent_kafka import TopicPartition
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from benchmarks.servers import Pair, Servers, cpu_seconds, pair, peak_rss_mb, run, running, wait_until
from stretto.progress import Lines
from stretto_connectors.kafka.reader import consumer_options
from stretto_consumers.follower.bootstrap import add_follower
from stretto_producers.source.init import init
from stretto_schemas import names
from stretto_schemas.frontier import Frontier, decode_record
from stretto_schemas.lsn import parse_lsn

EVENTS = (Path(__file__).parent / "load.sql").read_text()
"""Schema of the events table and the procedures that fill it."""

ROWS = 50
"""Changes in a transaction of the events backlogs."""

PGBENCH_SCALE = 10
PGBENCH_TABLES = ("pgbench_accounts", "pgbench_branches", "pgbench_history", "pgbench_tellers")


@dataclass(frozen=True, slots=True)
class Load:
    """What is written: rows changed, and the tables they are in."""

    kind: str
    transactions: int
    rows: int
    tables: tuple[str, ...]
    last: str
    """One more transaction at the end: who has passed the place before it has everything."""

    @classmethod
    def events(cls, kind: str, transactions: int) -> Load:
        """`insert`: all inserts; `mixed`: 60 % inserts, 30 % updates, 10 % deletes."""
        return cls(
            kind,
            transactions,
            transactions * ROWS,
            ("events",),
            "update events set account = 0 where id = (select max(id) from events)",
        )

    @classmethod
    def one_transaction(cls, rows: int) -> Load:
        """All rows inserted by one transaction."""
        return cls("single", 1, rows, ("events",), "update events set account = 0 where id = 0")

    @classmethod
    def pgbench(cls, transactions: int) -> Load:
        """pgbench's TPC-B: three updates and an insert a transaction."""
        return cls(
            "tpcb", transactions, transactions * 4, PGBENCH_TABLES, "update pgbench_branches set filler = 'last'"
        )


@dataclass(slots=True)
class Measured:
    """One run of one program."""

    rows: int
    seconds: float
    cpu_us_per_row: float = 0.0
    peak_rss_mb: float = 0.0

    @property
    def rows_per_s(self) -> float:
        """Rows a second, from the first to the last."""
        return self.rows / self.seconds


class Quiet(Lines):
    """Says nothing: the figures are what is asked for."""

    def _say(self, text: str) -> None:
        """Nothing."""


@contextmanager
def backlog(box: Servers, schema: str, load: Load) -> Iterator[Pair]:
    """A pair whose follower is copied and whose leader then wrote a backlog nobody has read: one slot a reader."""
    with pair(box) as made:
        made.leader(schema)
        if load.kind == "tpcb":
            _pgbench(box, made, "-i", "-q", "-s", str(PGBENCH_SCALE))
        made.leader("alter table pgbench_history replica identity full" if load.kind == "tpcb" else "select 1")
        init(made.settings, lambda _: None)
        add_follower(made.settings, progress=Quiet(), pg_bin=box.leader.bin_dir)
        made.leader(f"create publication native for table {', '.join(load.tables)}")
        for slot in (f"{made.name}_recvlogical", f"{made.name}_native"):
            made.leader("select pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
        _write(box, made, load)
        [(made.before_last,)] = made.leader("select pg_current_wal_insert_lsn()::text")
        made.leader(load.last)
        made.leader("checkpoint")
        yield made


def _write(box: Servers, made: Pair, load: Load) -> None:
    if load.kind == "tpcb":
        clients = 4
        each = str(load.transactions // clients)
        os.environ["PGOPTIONS"] = "-c synchronous_commit=off"
        _pgbench(box, made, "-n", "-c", str(clients), "-j", "2", "-t", each, "-M", "prepared")
        del os.environ["PGOPTIONS"]
    else:
        with psycopg.connect(made.leader_dsn, autocommit=True) as conn:
            conn.execute("set synchronous_commit = off")
            if load.kind == "single":
                conn.execute("call change_insert(0, %s)", (load.rows,))
            else:
                conn.execute("call backlog(%s, %s, %s)", (load.kind, load.transactions, ROWS))


def _pgbench(box: Servers, made: Pair, *arguments: str) -> None:
    given = conninfo_to_dict(made.leader_dsn)
    where = ["-h", str(given["host"]), "-p", str(given["port"]), "-U", str(given["user"])]
    command = [str(box.leader.bin_dir / "pgbench"), *where, *arguments, str(given["dbname"])]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def drain_recvlogical(box: Servers, made: Pair, load: Load) -> Measured:
    """`pg_recvlogical` to /dev/null: from the start of its stream to its end."""
    [(end,)] = made.leader("select pg_current_wal_lsn()::text")
    command = [str(box.leader.bin_dir / "pg_recvlogical"), "-d", made.leader_dsn, "--start", "-f", "/dev/null"]
    command += ["--slot", f"{made.name}_recvlogical", "-o", "proto_version=4", "-o", "publication_names=native"]
    with (
        psycopg.connect(made.leader_dsn, autocommit=True) as conn,
        subprocess.Popen([*command, "--endpos", end]) as process,
    ):

        def streams() -> bool:
            if process.poll() is not None:
                raise RuntimeError("pg_recvlogical ended before its slot was seen active")
            query = "select from pg_replication_slots where slot_name = %s and active"
            return conn.execute(query, (f"{made.name}_recvlogical",), prepare=True).fetchone() is not None

        wait_until("the stream of pg_recvlogical", streams, every_s=0.002)
        begun = time.monotonic()
        if process.wait():
            raise RuntimeError(f"pg_recvlogical ended with {process.returncode}")
        return Measured(load.rows, time.monotonic() - begun)


def drain_capture(made: Pair, load: Load) -> Measured:
    """Capture: from its first frontier, written right after START_REPLICATION, to the one that has everything."""
    before_last = parse_lsn(made.before_last)
    topic = names.transactions_topic(made.settings.prefix, made.settings.source.name)
    consumer = confluent_kafka.Consumer({**consumer_options(made.settings.kafka, "bench"), "fetch.wait.max.ms": 5})
    consumer.assign([TopicPartition(topic, 0, 0)])
    reached, begun, ended, cpu = 0, 0.0, 0.0, 0.0
    with running(made, "run", "capture") as process:
        while reached <= before_last:
            message = consumer.poll(1.0)
            if message is None:
                process.check()
                continue
            record = decode_record(message.value() or b"")
            if not isinstance(record, Frontier) or record.sequence == 0:
                continue
            if not begun:
                begun, cpu = time.monotonic(), cpu_seconds(process.pid)
            reached = record.end_lsn
            if record.transactions:
                ended = time.monotonic()
        used = cpu_seconds(process.pid) - cpu
        measured = Measured(load.rows, ended - begun, used / load.rows * 1e6, peak_rss_mb(process.pid))
    consumer.close()
    return measured


def drain_follower(made: Pair, load: Load) -> Measured:
    """The follower process, the log being full: from its election (a new term) to the position that has everything."""
    with running(made, "run", "follower") as process, psycopg.connect(made.follower_dsn, autocommit=True) as conn:

        def elected() -> bool:
            process.check()
            return conn.execute("select from stretto.position where term > 0").fetchone() is not None

        def done() -> bool:
            process.check()
            query = "select from stretto.position where end_lsn > %s::pg_lsn"
            return conn.execute(query, (made.before_last,), prepare=True).fetchone() is not None

        wait_until("an election", elected)
        begun, cpu = time.monotonic(), cpu_seconds(process.pid)
        wait_until("the last transaction", done)
        seconds, used = time.monotonic() - begun, cpu_seconds(process.pid) - cpu
        measured = Measured(load.rows, seconds, used / load.rows * 1e6, peak_rss_mb(process.pid))
    if fingerprint(made.leader_dsn, load) != fingerprint(made.follower_dsn, load):
        raise RuntimeError("the follower differs from the leader")
    return measured


def fingerprint(dsn: str, load: Load) -> list[tuple[object, ...]]:
    """Count and checksum of each table."""
    query = " union all ".join(
        f"select '{table}', count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) from {table} t"  # noqa: S608 - ours
        for table in load.tables
    )
    return run(dsn, query)


def drain_native(box: Servers, made: Pair, load: Load) -> Measured:
    """PostgreSQL's own subscription, into a copy of the follower's database made before: until it is equal."""
    name = f"{made.name}_native"
    with psycopg.connect(box.follower.dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(made.name)))
    dsn = made.follower_dsn.replace(f"dbname={made.name}", f"dbname={name}")
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            sql.SQL(
                "create subscription {0} connection {1} publication native"
                " with (create_slot = false, slot_name = {0}, copy_data = false, enabled = false)"
            ).format(sql.Identifier(name), sql.Literal(made.leader_dsn))
        )
        origin = conn.execute("select 'pg_' || oid from pg_subscription where subname = %s", (name,)).fetchone()

        def done() -> bool:
            query = "select pg_replication_origin_progress(%s, false) > %s::pg_lsn"
            return conn.execute(query, (*(origin or ()), made.before_last), prepare=True).fetchone() == (True,)

        begun = time.monotonic()
        conn.execute(sql.SQL("alter subscription {} enable").format(sql.Identifier(name)))
        wait_until("the native subscription", done)
        seconds = time.monotonic() - begun
        conn.execute(sql.SQL("alter subscription {} disable").format(sql.Identifier(name)))
        conn.execute(sql.SQL("alter subscription {} set (slot_name = none)").format(sql.Identifier(name)))
        conn.execute(sql.SQL("drop subscription {}").format(sql.Identifier(name)))
    if fingerprint(made.leader_dsn, load) != fingerprint(dsn, load):
        raise RuntimeError("the native follower differs from the leader")
    with psycopg.connect(box.follower.dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
    return Measured(load.rows, seconds)
