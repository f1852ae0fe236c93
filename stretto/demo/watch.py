"""Looks at the whole pipeline several times a second, and keeps what it saw.

What the processes say of themselves is gone while one of them is dead, so the places between them are looked at too:
the leader's WAL, the frontiers in Kafka, the follower's position. The two agree while everything runs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import confluent_kafka
import psycopg
from confluent_kafka import KafkaException, TopicPartition

from stretto.demo.worker import Word, Worker
from stretto_connectors.kafka.client import explain
from stretto_connectors.kafka.reader import consumer_options, decode
from stretto_connectors.postgres.bookkeeping import read_position
from stretto_connectors.postgres.connection import connect
from stretto_schemas import names
from stretto_schemas.errors import CheckFailed, StrettoError
from stretto_schemas.frontier import Frontier
from stretto_schemas.lag.clock import LsnClock
from stretto_schemas.lag.stages import StageLag
from stretto_schemas.position import Position
from stretto_schemas.settings import Settings

EVERY_S: Final = 0.25
RATE_S: Final = 3.0
"""Rates are averages over so long: pgbench tells its count once a second."""


@dataclass(frozen=True)
class Logged:
    """What is committed in Kafka: the newest frontier's place, and all that frontiers have counted since the start."""

    end_lsn: int
    commit_ts_us: int
    rows: int = 0
    transactions: int = 0


@dataclass(frozen=True)
class Look:
    """One look. Rows and transactions count from the watch's start."""

    at: float
    """Seconds by the monotonic clock."""
    wal_lsn: int
    logged: Logged
    applied_lsn: int
    applied_rows: int
    applied_transactions: int
    read_rows: int
    term: int
    load_rows: int
    capture: Word
    follower: Word
    lag: dict[str, StageLag] = field(default_factory=dict)
    estimated: frozenset[str] = frozenset()
    """Stages whose records nobody has counted: as many as so many bytes have held so far."""

    @property
    def total(self) -> StageLag:
        """From the leader's WAL to the follower's rows."""
        return self.lag["total"]


class Watch:
    """A thread that looks every `EVERY_S` between `start` and `stop`. `looks` may be read from any thread."""

    def __init__(
        self, settings: Settings, capture: Worker, follower: Worker, load_rows: Callable[[], int] = lambda: 0
    ) -> None:
        self._settings = settings
        self._capture = capture
        self._follower = follower
        self.load_rows = load_rows
        self.looks: list[Look] = []
        self._stopping = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="demo-watch", daemon=True)
        self._clock, self._applied_clock = LsnClock(), LsnClock()
        self._topic = names.transactions_topic(settings.prefix, settings.source.name)
        self._messages = names.message_topic(settings.prefix, settings.source.name)

    def start(self) -> None:
        """Take the first look, then begin. Raises Unreachable when a server does not answer."""
        source, follower = self._settings.source, self._settings.follower
        self._leader = connect(source.dsn, source.password, application="stretto demo watch")
        self._applied = connect(follower.dsn, follower.password, application="stretto demo watch")
        # Both are counted from one place on, the follower's: the log from its frontier, less what the follower has of it.
        self._first = first = self._position()
        self._logged = Logged(first.end_lsn, first.commit_ts_us)
        self._consumer = confluent_kafka.Consumer(
            {**consumer_options(self._settings.kafka, "stretto-demo"), "fetch.wait.max.ms": 100}
        )
        self._consumer.assign([TopicPartition(self._topic, 0, first.frontier_offset)])
        self.looks.append(self._look())
        self._thread.start()

    def stop(self) -> None:
        """End the thread and its connections."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
            self._consumer.close()
            self._leader.close()
            self._applied.close()

    def check(self) -> None:
        """Raise what ended the watch, if an error did."""
        if self._error is not None:
            raise self._error

    @property
    def last(self) -> Look:
        """The newest look."""
        return self.looks[-1]

    def _run(self) -> None:
        try:
            while not self._stopping.wait(EVERY_S):
                self.looks.append(self._look())
        except (psycopg.Error, StrettoError) as error:
            self._error = error

    def _look(self) -> Look:
        capture, follower = self._capture.ask(), self._follower.ask()
        # The follower first, the leader last: a lag is never told too small.
        position = self._position()
        self._read_log()
        wal_lsn, now_us = self._leader_now()
        first, logged, now = self._first, self._logged, time.monotonic()
        applied_rows = position.rows - first.rows
        for clock in (self._clock, self._applied_clock):
            clock.note(wal_lsn, now)
        load_rows = self.load_rows()
        read_rows = applied_rows + (follower.lag["apply"].records if follower.runs else 0)
        # The newest applied commit may be old because nobody committed: what waits is no older than its WAL.
        oldest_s = self._applied_clock.age(position.end_lsn, now) + EVERY_S
        seconds = min(max(0.0, (now_us - position.commit_ts_us) / 1e6), oldest_s)
        lag = {
            "wal": StageLag(max(0, wal_lsn - logged.end_lsn), 0, self._clock.age(logged.end_lsn, now), counted=False),
            "capture": StageLag(0, 0, 0.0),
            "log": StageLag(
                max(0, logged.end_lsn - position.end_lsn),
                max(0, logged.rows - applied_rows),
                seconds if logged.rows > applied_rows else 0.0,
            ),
            "apply": StageLag(0, 0, 0.0),
        }
        for word in (capture, follower):
            if word.runs:
                lag |= {
                    stage: StageLag(each.bytes, each.records, min(each.seconds, oldest_s), each.counted)
                    for stage, each in word.lag.items()
                    if stage != "total"
                }
        # WAL alone is no lag while capture reads it: checkpoints and heartbeats write some. Else it may be rows.
        undecoded = lag["capture"].bytes or (0 if capture.runs else lag["wal"].bytes)
        waits = bool(undecoded) or any(each.records for each in lag.values())
        estimated = self._estimate(lag)
        lag["total"] = StageLag(
            max(0, wal_lsn - position.end_lsn),
            sum(each.records for each in lag.values()),
            seconds if waits else 0.0,
        )
        return Look(
            at=now,
            wal_lsn=wal_lsn,
            logged=logged,
            applied_lsn=position.end_lsn,
            applied_rows=applied_rows,
            applied_transactions=position.transactions - first.transactions,
            read_rows=read_rows,
            term=position.term,
            load_rows=load_rows,
            capture=capture,
            follower=follower,
            lag=lag,
            estimated=estimated,
        )

    def _estimate(self, lag: dict[str, StageLag]) -> frozenset[str]:
        """Fill in the records of the first two stages where bytes wait and nobody says how many records they are."""
        bytes_read = self._logged.end_lsn - self._first.end_lsn
        if not self._logged.rows or bytes_read <= 0:
            return frozenset()
        silent = [stage for stage in ("wal", "capture") if lag[stage].bytes and not lag[stage].counted]
        for stage in silent:
            records = round(lag[stage].bytes * self._logged.rows / bytes_read)
            lag[stage] = StageLag(lag[stage].bytes, records, lag[stage].seconds, counted=False)
        return frozenset([*silent, "total"] if silent else silent)

    def _position(self) -> Position:
        position = read_position(self._applied, self._settings.source.name)
        if position is None:
            raise CheckFailed("the follower has no position", expected="what `stretto follower add` wrote")
        return position

    def _leader_now(self) -> tuple[int, int]:
        row: Any = self._leader.execute(
            "select pg_current_wal_lsn() - '0/0'::pg_lsn, (extract(epoch from clock_timestamp()) * 1000000)::bigint"
        ).fetchone()
        return int(row[0]), row[1]

    def _read_log(self) -> None:
        """Take in the frontiers that came since."""
        try:
            for message in self._consumer.consume(1000, timeout=0.05):
                if (error := message.error()) is not None:
                    raise KafkaException(error)
                record = decode(message.value(), self._topic, message.offset() or 0)
                if isinstance(record, Frontier):
                    new = [each for each in record.transactions if each.end_lsn > self._first.end_lsn]
                    tables = [topic != self._messages for topic, _ in record.partitions]
                    counts = [pair for each in new for pair in zip(each.counts[::2], each.counts[1::2], strict=True)]
                    self._logged = Logged(
                        max(record.end_lsn, self._logged.end_lsn),
                        max(record.commit_ts_us, self._logged.commit_ts_us),
                        self._logged.rows + sum(count for index, count in counts if tables[index]),
                        self._logged.transactions + len(new),
                    )
        except KafkaException as error:
            raise explain(error, self._settings.kafka, f"reading {self._topic}") from None


def rates(looks: Sequence[Look]) -> dict[str, float]:
    """Rows a second through each stage, over the last `RATE_S`: written, committed to Kafka, read, committed again."""
    newest = looks[-1]
    oldest = next(look for look in looks if look.at >= newest.at - RATE_S)
    seconds = newest.at - oldest.at
    if seconds <= 0:
        return dict.fromkeys(("wal", "capture", "log", "apply", "total"), 0.0)
    applied = (newest.applied_rows - oldest.applied_rows) / seconds
    return {
        "wal": (newest.load_rows - oldest.load_rows) / seconds,
        "capture": (newest.logged.rows - oldest.logged.rows) / seconds,
        "log": max(0.0, (newest.read_rows - oldest.read_rows) / seconds),
        "apply": applied,
        "total": applied,
    }
