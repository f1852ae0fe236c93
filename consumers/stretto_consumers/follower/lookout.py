"""What a follower must ask to know where it is: a thread of its own, which asks only when an answer is wanted.

1. A heartbeat is overdue: does the log have more than was read? If not, what is late has not reached Kafka.
2. A delay is wanted and the broker's clock is not known: what did the source's clock show at the log's newest frontier?
   The one that was read last says less: reading is put off while much waits, and what waits may be hours old.
3. One statement takes long: does somebody hold a lock that it waits for?
"""

from __future__ import annotations

import logging
import threading
import time

import psycopg

from stretto_connectors.kafka.reader import find_frontier
from stretto_connectors.postgres.blocking import blockers
from stretto_connectors.postgres.connection import Connection, connect
from stretto_consumers.follower.accounting import Accounting
from stretto_consumers.follower.progress import Progress
from stretto_schemas import names
from stretto_schemas.errors import StrettoError
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

LOOK_S = 0.5
ASK_LOG_EVERY_S = 2.0
LONG_S = 1.0
"""A statement that takes longer is worth a question."""


class Lookout:
    """Looks from `start()` to `close()`; what it finds is in `progress`."""

    def __init__(self, settings: Settings, progress: Progress, accounting: Accounting, backend_pid: int) -> None:
        self._settings = settings
        self._progress = progress
        self._accounting = accounting
        self._backend_pid = backend_pid
        self._asked_at = 0.0
        self._conn: Connection | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End; a question that is under way may go on for a moment."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                self._look_at_log()
            except StrettoError as error:
                log.debug("nothing found out about the log: %s", error)
            try:
                self._look_at_locks()
            except (StrettoError, psycopg.Error) as error:
                log.debug("nothing found out about locks: %s", error)
                self._progress.blocked_by = ""  # who held it may be gone
                self._drop()
        self._drop()

    def _look_at_log(self) -> None:
        progress, settings = self._progress, self._settings
        overdue = progress.overdue and not self._accounting.waiting[1]
        if not overdue:
            progress.log_is_empty = False  # or nobody asks: what waits is in the log
        if not overdue and not progress.asks_log_clock:
            return
        if time.monotonic() - self._asked_at < ASK_LOG_EVERY_S:
            return
        self._asked_at = time.monotonic()
        empty = False
        try:
            newest = self._accounting.newest
            found = find_frontier(settings.kafka, names.transactions_topic(settings.prefix, settings.source.name))
            if found is not None and found[0].clock_us:
                progress.log_clock.message(found[0].clock_us, time.monotonic_ns() // 1000)
            have = newest.sequence if newest is not None else self._accounting.position.sequence
            empty = overdue and found is not None and found[0].sequence <= have
        finally:
            if not self._stop.is_set():
                progress.log_is_empty = empty

    def _look_at_locks(self) -> None:
        current = self._progress.work.current
        if current is None or time.monotonic() - current[1] < LONG_S:
            self._progress.blocked_by = ""
            return
        if self._conn is None:
            follower = self._settings.follower
            self._conn = connect(follower.dsn, follower.password, application="stretto-lookout")
        self._progress.blocked_by = blockers(self._conn, [self._backend_pid])

    def _drop(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None
