"""A backlog on the leader, and how long each program takes to drain it: capture, follower, and their peers."""

from __future__ import annotations

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

from benchmarks.servers import Pair, Servers, cpu_seconds, pair, peak_rss_mb, run, running, wait_until
from stretto.progress import Lines
from stretto_connectors.kafka.reader import consumer_options
from stretto_consumers.follower.bootstrap import add_follower
from stretto_producers.source.init import init
from stretto_schemas import names
from stretto_schemas.frontier import Frontier, decode_record

RECVLOGICAL_SLOT = "{name}_recvlogical"
NATIVE_SLOT = "{name}_native"


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
def backlog(box: Servers, schema: str, load: str, publication: str) -> Iterator[Pair]:
    """A pair whose follower is copied and whose leader then wrote a backlog that nobody has read; one slot a reader."""
    with pair(box) as made:
        made.leader(schema)
        init(made.settings, lambda _: None)
        add_follower(made.settings, progress=Quiet(), pg_bin=box.leader.bin_dir)
        for slot in (RECVLOGICAL_SLOT, NATIVE_SLOT):
            made.leader("select pg_create_logical_replication_slot(%s, 'pgoutput')", slot.format(name=made.name))
        made.leader(f"create publication native for table {publication}")
        made.leader("set synchronous_commit = off; " + load if load.startswith("call") is False else load)
        made.leader("checkpoint")
        yield made


def drain_recvlogical(box: Servers, made: Pair, rows: int) -> Measured:
    """`pg_recvlogical` to /dev/null: from its start to its end."""
    [(end,)] = made.leader("select pg_current_wal_lsn()::text")
    begun = time.monotonic()
    command = [str(box.leader.bin_dir / "pg_recvlogical"), "-d", made.leader_dsn, "--start", "-f", "/dev/null"]
    command += ["--slot", RECVLOGICAL_SLOT.format(name=made.name), "-o", "proto_version=4", "-o", "publication_names=native"]
    subprocess.run([*command, "--endpos", end], check=True)
    return Measured(rows, time.monotonic() - begun)


def drain_capture(made: Pair, rows: int) -> Measured:
    """Capture, from its first frontier (written right after START_REPLICATION) to the frontier with the last row."""
    topic = names.transactions_topic(made.settings.prefix, made.settings.source.name)
    consumer = confluent_kafka.Consumer({**consumer_options(made.settings.kafka, "bench"), "fetch.wait.max.ms": 5})
    consumer.assign([TopicPartition(topic, 0, 0)])
    seen, begun, ended, cpu = 0, 0.0, 0.0, 0.0
    with running(made, "capture") as process:
        while seen < rows:
            message = consumer.poll(1.0)
            if message is None:
                process.check()
                continue
            record = decode_record(message.value() or b"")
            if not isinstance(record, Frontier) or record.sequence == 0:
                continue
            if not begun:
                begun, cpu = time.monotonic(), cpu_seconds(process.pid)
            seen += sum(record.counts) - _tombstones(record)
            ended = time.monotonic()
        measured = Measured(
            rows, ended - begun, (cpu_seconds(process.pid) - cpu) / rows * 1e6, peak_rss_mb(process.pid)
        )
    consumer.close()
    return measured


def _tombstones(record: Frontier) -> int:
    """Deletes write two records: the last transaction's order counts changes only, so rows are counted by transactions."""
    del record
    return 0


def follower_tables_equal(made: Pair, tables: tuple[str, ...]) -> bool:
    """Leader and follower hold the same rows."""
    query = " union all ".join(
        f"select '{table}', count(*), coalesce(sum(hashtextextended(t::text, 0)), 0) from {table} t" for table in tables
    )
    return made.leader(query) == made.follower(query)


def drain_follower(made: Pair, rows: int) -> Measured:
    """The follower process, the log being full: from its lock (a new term) to the position that has everything."""
    [(end,)] = made.leader("select confirmed_flush_lsn::text from pg_replication_slots where slot_name = %s", made.name)
    with running(made, "follower") as process, psycopg.connect(made.follower_dsn, autocommit=True) as conn:
        wait_until("term", lambda: conn.execute("select from stretto.position where term > 0").fetchone() is not None)
        begun, cpu = time.monotonic(), cpu_seconds(process.pid)

        def done() -> bool:
            process.check()
            query = "select from stretto.position where end_lsn >= %s::pg_lsn"
            return conn.execute(query, (end,), prepare=True).fetchone() is not None

        wait_until("applied", done)
        seconds = time.monotonic() - begun
        return Measured(rows, seconds, (cpu_seconds(process.pid) - cpu) / rows * 1e6, peak_rss_mb(process.pid))


def drain_native(box: Servers, made: Pair, rows: int, schema: str, last: str) -> Measured:
    """PostgreSQL's own subscription into a database beside the follower's; `last` is true there when all has come."""
    name = f"{made.name}_n"
    with psycopg.connect(box.follower.dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    dsn = made.follower_dsn.replace(f"dbname={made.name}", f"dbname={name}")
    run(dsn, schema)
    slot = NATIVE_SLOT.format(name=made.name)
    run(
        dsn,
        f"create subscription {name} connection '{made.leader_dsn}' publication native"
        f" with (create_slot = false, slot_name = {slot}, copy_data = false, enabled = false)",
    )
    [(end,)] = made.leader("select pg_current_wal_lsn()::text")
    with psycopg.connect(dsn, autocommit=True) as conn:
        begun = time.monotonic()
        conn.execute(sql.SQL("alter subscription {} enable").format(sql.Identifier(name)))
        wait_until("native", lambda: conn.execute(last.encode()).fetchone() == (True,))
        seconds = time.monotonic() - begun
        conn.execute(sql.SQL("alter subscription {} disable").format(sql.Identifier(name)))
        conn.execute(sql.SQL("alter subscription {} set (slot_name = none)").format(sql.Identifier(name)))
        conn.execute(sql.SQL("drop subscription {}").format(sql.Identifier(name)))
    del end
    with psycopg.connect(box.follower.dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
    return Measured(rows, seconds)


def load_sql() -> str:
    """The schema of the events table and its load."""
    return (Path(__file__).parent / "load.sql").read_text()
