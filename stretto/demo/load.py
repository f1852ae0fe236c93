"""The writer: a random stream of transactions over the demo's tables, paced, counted and stoppable."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import psycopg

from stretto.demo import wide
from stretto.demo.session import Session
from stretto.demo.steps import STEPS
from stretto_schemas.errors import StrettoError, Unreachable

# Shares of the kinds of transactions; what is left over is a plain one.
_SAVEPOINTS: Final = 0.15
_EMPTY: Final = 0.03
_ROLLED_BACK: Final = 0.04
_MOST_STEPS: Final = 5


@dataclass(frozen=True)
class Progress:
    """What a writer has committed so far. `rows` counts the rows that its statements changed, without cascades;
    `by_table` sums to it. `rolled_back` are transactions that were given up on purpose, `retried` those that
    PostgreSQL ended because another session stood in the way."""

    transactions: int = 0
    rows: int = 0
    rolled_back: int = 0
    retried: int = 0
    by_table: Mapping[str, int] = field(default_factory=dict)


class Writer:
    """Writes to the tables of `stretto.demo.tables` through one connection.

    `run` works in the calling thread, `start` and `stop` in one of its own. `rows_per_s` holds the long-run average
    of changed rows; None means as fast as it goes. The same seed on the same tables gives the same transactions.
    An error of PostgreSQL other than a deadlock or a serialization failure ends the writer; `stop` raises it.
    """

    def __init__(self, dsn: str, *, seed: int = 0, rows_per_s: float | None = None) -> None:
        self._dsn = dsn
        self._rng = random.Random(seed)
        self._rows_per_s = rows_per_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._progress = Progress()

    @property
    def progress(self) -> Progress:
        """What is committed so far; safe to read from any thread."""
        return self._progress

    @property
    def running(self) -> bool:
        """True between `start` and the end of the thread, by `stop` or by an error."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Begin to write in a thread of its own."""
        self._thread = threading.Thread(target=self._run_in_thread, name="demo-writer", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 30.0) -> Progress:
        """Let the transaction that is under way finish, and return the totals. Raises what ended the writer, if an
        error did, and Unreachable if the transaction does not finish in time."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                raise Unreachable(f"the writer's transaction did not end within {timeout_s:g} s")
        if self._error is not None:
            raise self._error
        return self._progress

    def run(self, *, transactions: int | None = None) -> Progress:
        """Write until so many more transactions are committed, or until another thread calls `stop`."""
        end = None if transactions is None else self._progress.transactions + transactions
        try:
            conn = psycopg.connect(self._dsn, autocommit=True, application_name="stretto demo writer")
        except psycopg.OperationalError as error:
            raise Unreachable("the demo's writer cannot connect to the leader", fix=str(error).strip()) from error
        with conn:
            session = Session(conn, self._rng, wide.plan(conn))
            began, rows_before = time.monotonic(), self._progress.rows
            while not self._stopping.is_set() and (end is None or self._progress.transactions < end):
                self._one_transaction(session)
                if self._rows_per_s is not None:
                    due = began + (self._progress.rows - rows_before) / self._rows_per_s
                    self._stopping.wait(max(0.0, due - time.monotonic()))
        return self._progress

    def _run_in_thread(self) -> None:
        try:
            self.run()
        except (psycopg.Error, StrettoError) as error:
            self._error = error

    def _one_transaction(self, session: Session) -> None:
        session.counts.clear()
        kind = self._rng.random()
        give_up = kind < _ROLLED_BACK
        try:
            with session.conn.transaction(force_rollback=give_up):
                if _ROLLED_BACK <= kind < _ROLLED_BACK + _EMPTY:
                    session.conn.execute("select 1")
                else:
                    self._steps(session, with_savepoints=kind > 1 - _SAVEPOINTS)
        except (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
            self._count(Counter(), retried=1)
        else:
            self._count(Counter() if give_up else session.counts, transactions=not give_up, rolled_back=give_up)

    def _steps(self, session: Session, *, with_savepoints: bool) -> None:
        steps, weights = zip(*STEPS, strict=True)
        for step in self._rng.choices(steps, weights, k=self._rng.randint(1, _MOST_STEPS)):
            if not with_savepoints or self._rng.random() < 0.3:
                step(session)
                continue
            with self._savepoint(session):
                step(session)
                with self._savepoint(session):
                    step(session)

    @contextmanager
    def _savepoint(self, session: Session) -> Iterator[None]:
        """Every second one is rolled back, and its rows are not counted."""
        kept = session.counts.copy()
        give_up = self._rng.random() < 0.5
        with session.conn.transaction(force_rollback=give_up):
            yield
        if give_up:
            session.counts = kept

    def _count(self, counts: Counter[str], *, transactions: int = 0, rolled_back: int = 0, retried: int = 0) -> None:
        so_far = self._progress
        self._progress = Progress(
            transactions=so_far.transactions + transactions,
            rows=so_far.rows + counts.total(),
            rolled_back=so_far.rolled_back + rolled_back,
            retried=so_far.retried + retried,
            by_table=dict(Counter(so_far.by_table) + counts),
        )
