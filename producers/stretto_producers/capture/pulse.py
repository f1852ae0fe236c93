"""The source's pulse: heartbeats through its WAL, and how far that WAL is. A thread with a session of its own."""

from __future__ import annotations

import logging
import secrets
import threading
import time

import msgspec
import psycopg
from psycopg import sql

from stretto_connectors.postgres.connection import connect
from stretto_producers.capture.lineage import check_publication
from stretto_schemas.errors import Gap, StrettoError
from stretto_schemas.frontier import Published
from stretto_schemas.lag.clock import LsnClock
from stretto_schemas.lag.skew import ClockOffset
from stretto_schemas.settings import SourceSettings

log = logging.getLogger(__name__)

HEARTBEAT_PREFIX = "stretto.heartbeat"
POLL_S = 0.2
"""How exact the age of WAL that was not received is."""
RETRY_S = 2.0


class Heartbeat(msgspec.Struct):
    """Content of a heartbeat message. Any role may write one, so it is a hint: only our own nonce is believed."""

    nonce: str
    clock_us: int


class Pulse:
    """Emits a heartbeat every `heartbeat_s` and reads the WAL's end, what the slot retains and what is published."""

    def __init__(self, source: SourceSettings, heartbeat_s: float, published: Published) -> None:
        self._source = source
        self._heartbeat_s = heartbeat_s
        self.nonce = secrets.token_hex(8)
        self.wal_lsn = 0
        """End of the source's WAL as last seen."""
        self.retained_bytes = 0
        self.safe_wal_bytes: int | None = None
        """WAL that may still be written before the slot's is in danger; None without a limit."""
        self.wal_clock = LsnClock()
        """When the WAL was seen where, in monotonic seconds. Written by this thread, read by any."""
        self.looked_at = time.monotonic()
        """When that was, in monotonic seconds."""
        self.clock = ClockOffset()
        """The source's clock minus our monotonic one."""
        self.first_lsn = 0
        """End of the WAL at the first look."""
        self.published = published
        """The publication as last seen: never less than what the session began with."""
        self.failure: Gap | None = None
        """The publication lost something: capture must not go on."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)
        self._thread.start()

    def own_heartbeat(self, content: bytes) -> int | None:
        """The clock in a heartbeat of this process, microseconds since 1970; None for anybody else's."""
        try:
            beat = msgspec.json.decode(content, type=Heartbeat)
        except msgspec.MsgspecError:
            return None
        return beat.clock_us if beat.nonce == self.nonce else None

    @property
    def source_us(self) -> int:
        """The source's clock now; 0 while it is not known."""
        offset = self.clock.us
        return 0 if offset is None else time.monotonic_ns() // 1000 + offset

    @property
    def source_at_least_us(self) -> int:
        """The source's clock shows this or more by now; 0 while it is not known."""
        offset = self.clock.least_us
        return 0 if offset is None else time.monotonic_ns() // 1000 + offset

    def close(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with connect(
                    self._source.dsn, self._source.password, application="stretto-pulse", tcp_user_timeout="5000"
                ) as conn:
                    self._beat(conn)
            except (psycopg.Error, StrettoError) as error:
                log.debug("no pulse: %s", error)
                self._stop.wait(RETRY_S)

    def _beat(self, conn: psycopg.Connection) -> None:
        content = (
            "jsonb_build_object('nonce', %s::text, 'clock_us',"
            " (extract(epoch from clock_timestamp()) * 1000000)::bigint)::text"
        )
        transactional = sql.SQL("true") if conn.info.server_version < 170000 else sql.SQL("false")
        flush = sql.SQL("") if conn.info.server_version < 170000 else sql.SQL(", flush => true")
        emit = sql.SQL("select pg_logical_emit_message({}, %s, {}{})").format(transactional, sql.SQL(content), flush)
        due = 0.0
        while not self._stop.wait(POLL_S):
            if time.monotonic() >= due:
                conn.execute(emit, (HEARTBEAT_PREFIX, self.nonce))
                due = time.monotonic() + self._heartbeat_s
            self._look_at_wal(conn)
            self._look_at_publication(conn)

    def _look_at_wal(self, conn: psycopg.Connection) -> None:
        sent = time.monotonic()
        row = conn.execute(
            "select pg_current_wal_lsn() - '0/0'::pg_lsn, pg_current_wal_lsn() - slot.restart_lsn, slot.safe_wal_size,"
            " (extract(epoch from clock_timestamp()) * 1000000)::bigint"
            " from (values (1)) one left join pg_replication_slots slot on slot_name = %s",
            (self._source.slot_name,),
        ).fetchone()
        assert row is not None, "an outer join keeps its one row"
        self.clock.exchange(round(sent * 1e6), row[3], time.monotonic_ns() // 1000)
        self.wal_lsn, self.retained_bytes = int(row[0]), int(row[1] or 0)
        self.first_lsn = self.first_lsn or self.wal_lsn
        self.safe_wal_bytes = row[2]
        self.wal_clock.note(self.wal_lsn, sent)
        self.looked_at = sent

    def _look_at_publication(self, conn: psycopg.Connection) -> None:
        try:
            now = check_publication(self._source.publication, self.published, conn)
        except Gap as error:
            self.failure = error
            self._stop.set()
            return
        if now != self.published:
            log.info("publication %s was altered; nothing that it had is missing", self._source.publication)
            self.published = now
