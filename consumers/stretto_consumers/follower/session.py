"""One session of the follower: elected, from its position on, to the first error.

The steps, in this order (their numbers stand in the code):

1. The advisory lock elects one applier; the raised `term` fences every earlier one.
2. The log is read from the position on, in a thread of its own, and becomes batches of whole source transactions.
3. One PostgreSQL transaction a batch, under the source's replication origin: the rows, then the position
   `where term = mine`, then COMMIT.
4. What is visible is published to `<prefix>.followers`, a few times a second at most, by a thread of its own.

A crash anywhere repeats nothing and loses nothing: rows and position are one transaction.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from stretto_connectors.failpoints import failpoint
from stretto_connectors.postgres.apply import Applier
from stretto_connectors.postgres.bookkeeping import (
    advance_position,
    mark_transaction,
    raise_term,
    read_position,
    setup_origin,
    try_lock,
    visible_since_us,
)
from stretto_connectors.postgres.connection import Connection, connect
from stretto_connectors.postgres.control import read_control
from stretto_consumers.follower.accounting import Accounting, Batch
from stretto_consumers.follower.ahead import Prepared, ReadAhead
from stretto_consumers.follower.gate import Gate
from stretto_consumers.follower.log import LogReader
from stretto_consumers.follower.lookout import Lookout
from stretto_consumers.follower.prepare import Preparer
from stretto_consumers.follower.progress import Progress
from stretto_consumers.follower.publish import Publisher
from stretto_consumers.follower.tables import Tables
from stretto_schemas.errors import Fenced, UsageError
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

ELECTION_S = 0.5
POLL_S = 0.5


def _no_position(source: str) -> UsageError:
    return UsageError(
        f"this database does not follow source {source!r}",
        expected="a row in stretto.position",
        fix="run `stretto follower add` first",
    )


class Session:
    """Owns every connection of one run. Use as a context manager."""

    def __init__(self, settings: Settings, progress: Progress, careful_until: int = 0) -> None:
        self._settings = settings
        self._progress = progress
        self._careful_until = careful_until
        self.batch: Batch | None = None
        """The batch that is being applied, or was when the session ended."""
        self.applied_something = False
        self.reached = 0
        """End of the newest batch that was read, applied or not: what ended the session lies before it."""
        self._closers: list[Callable[[], Any]] = []
        self._publisher: Publisher | None = None
        self._log: Accounting | None = None
        self._held: Prepared | None = None
        """A batch that was taken up when the delay was shorter than it is now."""

    def __enter__(self) -> Session:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.reached = self._log.position.end_lsn if self._log is not None else 0
        if self._publisher is not None:
            self._progress.ended(error)
            self._publisher.moved()
            self._publisher.close(last=not isinstance(error, Fenced))
        for close in reversed(self._closers):
            close()

    def open(self, stop: threading.Event) -> bool:
        """Step 1. Returns False when `stop` came first. Raises what is in the way."""
        settings, source = self._settings, self._settings.source.name
        # A statement's plan is kept while its table grows, and few rows are worth no scan of a table: always the index, where
        # there is one. What has none is scanned all the same; before PostgreSQL 18 its plan then looks worth compiling.
        plans = {"enable_seqscan": "off", "jit": "off"}
        conn = self._connect("apply", session_replication_role="replica", synchronous_commit="local", **plans)
        conn.execute("set client_connection_check_interval = '1s'")
        if read_position(conn, source) is None:
            raise _no_position(source)
        while not try_lock(conn, source):
            self._progress.standing_by()
            if stop.wait(ELECTION_S):
                return False
        position = read_position(conn, source)
        if position is None:
            raise _no_position(source)  # deleted while this one stood by
        position.term = raise_term(conn, source)
        setup_origin(conn, source)
        self._conn = conn
        self._tables = Tables(settings, conn)
        self._tables.learn()
        self._applier = Applier(conn)
        self._preparer = Preparer(self._tables.of_topic)
        catalog = self._connect("catalog")
        progress = self._progress  # where metrics hold the reader, the gate outlives the session: it must not hold it
        self._gate = Gate(
            lambda: read_control(conn, source), settings.follower.apply_delay_s, lambda: progress.source_at_least_us
        )
        reader = LogReader(settings, position, self._careful_until, self._gate, progress.source_clock)
        self._closers.append(reader.close)
        self._ahead = ReadAhead(settings, reader, catalog, self._progress)
        self._closers.append(self._ahead.close)
        self._log = reader.accounting
        self._progress.opened(position, reader.accounting)
        self._look()
        self._progress.visible_us = visible_since_us(conn, source)
        lookout = Lookout(settings, self._progress, reader.accounting, conn.info.backend_pid)
        self._closers.append(lookout.close)
        lookout.start()
        self._publisher = Publisher(settings, self._progress, self._progress.record)
        self._publisher.start()
        log.info("applying source %s, term %d", source, position.term)
        return True

    def _connect(self, purpose: str, **parameters: str) -> Connection:
        follower = self._settings.follower
        name = f"stretto-{purpose}-{self._settings.source.name}"
        conn = connect(follower.dsn, follower.password, application=name, parameters=parameters)
        self._closers.append(conn.close)
        conn.execute("set search_path = pg_catalog, public")
        return conn

    def run(self, stop: threading.Event) -> None:
        """Steps 2 to 4, until `stop`. Raises what ends the session."""
        self._ahead.start()
        while not stop.is_set():
            self._look()
            prepared = self._next(stop)
            if prepared is not None:
                self._apply(prepared)

    def _look(self) -> None:
        """Take in what is wanted of this follower, and tell."""
        changed = self._gate.look()
        if changed:
            control, delay_s = self._gate.control, self._gate.delay_s
            log.info("%s; apply delay %g s", f"paused: {control.reason}" if control.paused else "not paused", delay_s)
        self._progress.controlled(self._gate)
        if changed and self._publisher is not None:
            self._publisher.moved()

    def _next(self, stop: threading.Event) -> Prepared | None:
        """The next batch that may be shown, waited for a moment; None: none yet."""
        if self._gate.paused:
            stop.wait(POLL_S)
            return None
        prepared, self._held = self._held or self._ahead.get(POLL_S), None
        wait_s = self._gate.wait_s(prepared.batch.transactions) if prepared is not None else 0.0
        if wait_s:
            self._held, prepared = prepared, None
            self._progress.held_back()
            stop.wait(min(POLL_S, wait_s))
        return prepared

    def _apply(self, prepared: Prepared) -> None:
        """Step 3. The parts of a large transaction are applied one after another before the one COMMIT."""
        begun = time.monotonic()
        self.batch = batch = prepared.batch
        conn = self._conn
        with conn.transaction():
            mark_transaction(conn, batch.position.end_lsn, batch.position.commit_ts_us)
            self._write(prepared)
            while batch.more:
                part = self._ahead.get(POLL_S)
                if part is not None:
                    batch = part.batch
                    self._write(part)
            failpoint("follower.after_sql")
            advance_position(conn, batch.position)
            failpoint("follower.after_position")
        failpoint("follower.after_commit")
        if prepared.steps is None:
            self._ahead.applied()
        self.applied_something = True
        self._progress.applied(batch, time.monotonic() - begun)
        assert self._publisher is not None, "made by open()"
        self._publisher.moved()

    def _write(self, prepared: Prepared) -> None:
        steps = self._preparer.steps(prepared.batch) if prepared.steps is None else iter(prepared.steps)
        for step in steps:
            for topic, changes in step.changes:
                table = self._tables.of_topic(topic)
                with self._progress.work.on(f"{table.schema}.{table.name}"):
                    self._applier.apply(table, changes)
            if step.barrier is not None and self._tables.apply_barrier(step.barrier):
                self._applier.forget()
