"""The servers of a benchmark: leader, follower and broker, with the settings that the peers were measured with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from stretto.embedded import places
from stretto.embedded.kafka import LOCAL, EmbeddedKafka
from stretto.embedded.postgres import EmbeddedPostgres
from stretto_schemas.settings import Settings, load

POSTGRES = {"shared_buffers": "512MB", "max_wal_size": "8GB", "checkpoint_timeout": "15min"}
TICK = os.sysconf("SC_CLK_TCK")


class Servers:
    """All three, up."""

    def __init__(self, leader: EmbeddedPostgres, follower: EmbeddedPostgres, kafka: EmbeddedKafka) -> None:
        self.leader = leader
        self.follower = follower
        self.kafka = kafka


@contextmanager
def servers() -> Iterator[Servers]:
    """Start everything in a scratch folder, stop and remove it at the end."""
    with (
        places.scratch_dir("stretto-bench-") as folder,
        EmbeddedPostgres(folder / "leader", name="leader", settings=POSTGRES) as leader,
        EmbeddedPostgres(folder / "follower", name="follower", settings=POSTGRES) as follower,
        EmbeddedKafka(folder / "kafka", settings=LOCAL) as kafka,
    ):
        yield Servers(leader, follower, kafka)


class Pair:
    """A fresh database on each server, and the settings of a pipeline between them."""

    def __init__(self, box: Servers, name: str) -> None:
        self.name = name
        self.leader_dsn = box.leader.dsn.replace("dbname=postgres", f"dbname={name}")
        self.follower_dsn = box.follower.dsn.replace("dbname=postgres", f"dbname={name}")
        self.environment = {
            "STRETTO_PREFIX": name,
            "STRETTO_SOURCE__DSN": self.leader_dsn,
            "STRETTO_SOURCE__SLOT": name,
            "STRETTO_FOLLOWER__DSN": self.follower_dsn,
            "STRETTO_KAFKA__BOOTSTRAP": box.kafka.bootstrap,
            "STRETTO_HTTP__CAPTURE_PORT": "0",
            "STRETTO_HTTP__FOLLOWER_PORT": "0",
        }
        self.before_last = ""
        """Place in the WAL before the last transaction of the load."""
        self.settings: Settings = load(None, self.environment)

    def leader(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        """Run a query on the leader; several statements when there are no parameters."""
        return run(self.leader_dsn, query, *params)

    def follower(self, query: str, *params: Any) -> list[tuple[Any, ...]]:
        """Run a query on the follower."""
        return run(self.follower_dsn, query, *params)


@contextmanager
def pair(box: Servers) -> Iterator[Pair]:
    """A pair of databases, dropped at the end with their slots."""
    name = f"b{uuid.uuid4().hex[:10]}"
    for server in (box.leader, box.follower):
        with psycopg.connect(server.dsn, autocommit=True) as conn:
            conn.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    yield Pair(box, name)
    for server in (box.leader, box.follower):
        with psycopg.connect(server.dsn, autocommit=True) as conn:
            conn.execute("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s", [name])
            conn.execute(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = %s", [name]
            )
            conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
            conn.execute("select pg_replication_origin_drop(roname) from pg_replication_origin")


def run(dsn: str, query: str, *params: Any) -> list[tuple[Any, ...]]:
    """One query in a connection of its own."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        cursor = conn.execute(query.encode(), params or None)
        return cursor.fetchall() if cursor.description else []


class Process:
    """A command of `stretto` as a child, whose CPU time and peak memory are read from /proc."""

    def __init__(self, made: Pair, command: tuple[str, ...], log: Path) -> None:
        self._log = log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from stretto.cli import main; main()", *command],
            env={**os.environ, **made.environment},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self.pid = self.process.pid

    def check(self) -> None:
        """Raise when it has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(
                f"a process ended with {self.process.returncode}: {Path(self._log.name).read_text()[-2000:]}"
            )

    def stop(self) -> None:
        """End it and wait."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._log.close()


@contextmanager
def running(made: Pair, *command: str) -> Iterator[Process]:
    """A process for the time of a block."""
    with places.scratch_dir("stretto-bench-log-") as folder:
        process = Process(made, command, folder / "log")
        try:
            yield process
        finally:
            process.stop()


def cpu_seconds(pid: int) -> float:
    """User plus system CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def peak_rss_mb(pid: int) -> float:
    """Peak resident memory of a process so far, in MB (10**6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def wait_until(what: str, check: Any, timeout_s: float = 300.0, every_s: float = 0.01) -> None:
    """Poll until `check()` is true. Raises TimeoutError, naming `what`."""
    end = time.monotonic() + timeout_s
    while not check():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(every_s)
