"""One session of the follower: elected, from its position on, to the first error.

The steps, in this order (their numbers stand in the code):

1. The advisory lock elects one applier; the raised `term` fences every earlier one.
2. The log is read from the position on, in a thread of its own, and becomes batches of whole source transactions.
3. One PostgreSQL transaction a batch, under the source's replication origin: the rows, then the position
   `where term = mine`, then COMMIT.
4. What is visible is published to `<prefix>.followers`, a few times a second at most.

A crash anywhere repeats nothing and loses nothing: rows and position are one transaction.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import confluent_kafka

from stretto_connectors.failpoints import failpoint
from stretto_connectors.kafka.client import client_options, drop, explain
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
from stretto_consumers.follower.prepare import Preparer
from stretto_consumers.follower.progress import Progress
from stretto_consumers.follower.tables import Tables
from stretto_schemas import names
from stretto_schemas.errors import Fenced, UsageError
from stretto_schemas.follower_state import FollowerState, encode_state
from stretto_schemas.position import Position
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

ELECTION_S = 0.5
POLL_S = 0.5
FLUSH_S = 2.0
PUBLISHED_AT_MOST_EVERY_S = 0.1
"""At fifty batches a second a record each is a tenth of a small broker's work, and nobody reads them that fast."""


def _no_position(source: str) -> UsageError:
    return UsageError(
        f"this database does not follow source {source!r}",
        expected="a row in stretto.position",
        fix="run `stretto follower add` first",
    )


_DROPPED = (confluent_kafka.KafkaError._PURGE_QUEUE, confluent_kafka.KafkaError._PURGE_INFLIGHT)
"""What the end of a session threw away, waiting and on its way."""


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
        self._published_at = 0.0
        self._published: Position | None = None
        self._publish_again_s = PUBLISHED_AT_MOST_EVERY_S
        self._unpublished_for = ""
        """Why the last position was not taken."""
        self._visible_us = 0
        self._producer: confluent_kafka.Producer | None = None
        self._log: Accounting | None = None
        self._held: Prepared | None = None
        """A batch that was taken up when the delay was shorter than it is now."""

    def __enter__(self) -> Session:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        self.reached = self._log.position.end_lsn if self._log is not None else 0
        if self._producer is not None and not isinstance(error, Fenced):
            if self._unpublished:
                self._publish()
            with suppress(confluent_kafka.KafkaException):  # an error that was told of before
                self._producer.flush(FLUSH_S)
        if self._producer is not None:
            # What nobody took would go out later, behind the next session's, and its callback would keep this session.
            drop(self._producer)
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
        self._position = position
        self._tables = Tables(settings, conn)
        self._tables.learn()
        self._applier = Applier(conn)
        self._preparer = Preparer(self._tables.of_topic)
        catalog = self._connect("catalog")
        progress = (
            self._progress
        )  # the gate outlives this session where metrics hold the reader: it must not hold the session
        self._gate = Gate(
            lambda: read_control(conn, source), settings.follower.apply_delay_s, lambda: progress.source_us
        )
        reader = LogReader(settings, position, self._careful_until, gate=self._gate)
        self._closers.append(reader.close)
        self._ahead = ReadAhead(settings, reader, catalog, self._progress)
        self._closers.append(self._ahead.close)
        self._producer = confluent_kafka.Producer(
            {
                **client_options(settings.kafka, "stretto-position"),
                # No idempotence: a refused record would be a fatal error for it, and what is refused today is granted
                # tomorrow. A position that comes twice does no harm, and one at a time they stay in order.
                "enable.idempotence": False,
                "max.in.flight.requests.per.connection": 1,
                "acks": "all",
                "linger.ms": 0,
                "message.timeout.ms": 10_000,  # by then a newer one is due
            }
        )
        self._log = reader.accounting
        self._progress.opened(position, reader.accounting)
        self._look()
        self._visible_us = visible_since_us(conn, source)
        self._publish()
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
            self._publish_when_due()

    def _look(self) -> None:
        """Take in what is wanted of this follower, and tell."""
        if self._gate.look():
            control, delay_s = self._gate.control, self._gate.delay_s
            log.info("%s; apply delay %g s", f"paused: {control.reason}" if control.paused else "not paused", delay_s)
            self._published = None
        self._progress.controlled(self._gate)

    def _next(self, stop: threading.Event) -> Prepared | None:
        """The next batch that may be shown, waited for a moment; None: none yet."""
        timeout_s = PUBLISHED_AT_MOST_EVERY_S if self._unpublished else POLL_S
        if self._gate.paused:
            stop.wait(timeout_s)
            return None
        prepared, self._held = self._held or self._ahead.get(timeout_s), None
        wait_s = self._gate.wait_s(prepared.batch.transactions) if prepared is not None else 0.0
        if wait_s:
            self._held, prepared = prepared, None
            self._progress.held_back()
            stop.wait(min(timeout_s, wait_s))
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
                self._publish_when_due()  # a large transaction takes long; what was visible before it is not to wait
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
        self._position = batch.position
        self._visible_us = time.time_ns() // 1000
        self.applied_something = True
        self._progress.applied(batch, time.monotonic() - begun)

    def _write(self, prepared: Prepared) -> None:
        steps = self._preparer.steps(prepared.batch) if prepared.steps is None else iter(prepared.steps)
        for step in steps:
            for topic, changes in step.changes:
                self._applier.apply(self._tables.of_topic(topic), changes)
            if step.barrier is not None and self._tables.apply_barrier(step.barrier):
                self._applier.forget()

    @property
    def _unpublished(self) -> bool:
        return self._published is not self._position

    def _publish_when_due(self) -> None:
        """Step 4."""
        every_s = self._publish_again_s if self._unpublished else self._settings.follower.publish_s
        if time.monotonic() - self._published_at >= every_s:
            self._publish()
            failpoint("follower.after_publish")

    def _publish(self) -> None:
        assert self._producer is not None, "made by open()"
        position, follower = self._position, self._settings.follower.name
        state = FollowerState(
            follower=follower,
            source=position.source,
            epoch=position.epoch,
            term=position.term,
            end_lsn=position.end_lsn,
            commit_ts_us=position.commit_ts_us,
            visible_ts_us=self._visible_us,
            transactions=position.transactions,
            rows=position.rows,
            heartbeat_us=position.heartbeat_us,
            state=self._progress.state,
            said=self._progress.said,
            delay_s=self._gate.delay_s,
        )
        topic = names.followers_topic(self._settings.prefix)
        self._published_at = time.monotonic()
        key = f"{follower}/{position.source}".encode()
        self._published, self._publish_again_s = position, PUBLISHED_AT_MOST_EVERY_S
        try:
            self._producer.poll(0)
            self._producer.produce(topic, encode_state(state), key, on_delivery=self._delivered)
        except confluent_kafka.KafkaException as error:
            self._not_published(topic, error)
        except BufferError:
            self._published = None  # many wait for a broker that does not answer; librdkafka says so

    def _delivered(self, error: confluent_kafka.KafkaError | None, message: confluent_kafka.Message) -> None:
        if error is not None:
            self._not_published(message.topic() or "", confluent_kafka.KafkaException(error))
        else:
            self._unpublished_for = ""

    def _not_published(self, topic: str, error: confluent_kafka.KafkaException) -> None:
        if error.args[0].code() not in _DROPPED:
            why = str(explain(error, self._settings.kafka, f"publishing to {topic}"))
            if why != self._unpublished_for:
                log.warning("where this follower stands is not published: %s", why)
            self._unpublished_for = why
        self._published, self._publish_again_s = None, self._settings.follower.publish_s
