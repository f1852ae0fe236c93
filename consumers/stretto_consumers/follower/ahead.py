"""Reading ahead: the next batch is read, decoded and collapsed while the SQL of this one runs.

A batch whose barriers may change tables is handed over as it is: it is prepared by the thread that applies it, and nothing
is read ahead of it, for what follows must be prepared against the tables as it leaves them.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from stretto_connectors.postgres.connection import Connection
from stretto_consumers.follower.accounting import Batch
from stretto_consumers.follower.large import parts
from stretto_consumers.follower.log import LogReader
from stretto_consumers.follower.prepare import Preparer, Step
from stretto_consumers.follower.progress import Progress
from stretto_consumers.follower.tables import Tables
from stretto_schemas.settings import Settings

POLL_S = 0.5
READ_AHEAD = 1
"""Batches that wait, prepared, beside the one being applied and the one being read."""


@dataclass(slots=True)
class Prepared:
    """A batch, or a part of a large one, and its steps; None: still to be prepared, by the thread that applies it."""

    batch: Batch
    steps: list[Step] | None


class ReadAhead:
    """A thread that turns the log into prepared batches. `get()` and `applied()` are for the thread that applies."""

    def __init__(self, settings: Settings, reader: LogReader, catalog: Connection, progress: Progress) -> None:
        self._reader = reader
        self._bounds = (settings.follower.batch_rows, settings.follower.batch_bytes)
        self._progress = progress
        self._tables = Tables(settings, catalog)
        self._tables.learn()
        self._preparer = Preparer(self._tables.of_topic)
        self._ready: queue.Queue[Prepared | BaseException] = queue.Queue(READ_AHEAD)
        self._caught_up = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def get(self, timeout_s: float) -> Prepared | None:
        """The next batch or part; None when there is none in time. Raises what reading or preparing raised."""
        try:
            found = self._ready.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(found, BaseException):
            raise found
        return found

    def applied(self) -> None:
        """The batch that was handed over unprepared is committed: go on behind it."""
        self._caught_up.set()

    def close(self) -> None:
        """End the thread, which may wait to hand something over."""
        self._stop.set()
        while self._thread.is_alive():
            self._caught_up.set()  # each time: the thread may only now begin to wait for it
            try:
                self._ready.get_nowait()
            except queue.Empty:
                self._thread.join(0.05)

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                batch = self._reader.poll(POLL_S)
                self._reader.commit_group()
                if batch is not None:
                    self._progress.read(batch)
                    self._hand_over(batch)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for it, which raises it
            self._ready.put(error)

    def _hand_over(self, batch: Batch) -> None:
        pieces: Iterator[Batch] = parts(batch, self._reader.accounting, *self._bounds)
        if not batch.barriers:
            for piece in pieces:
                if self._stop.is_set():
                    return
                steps = list(self._preparer.steps(piece))
                piece.rows.clear()  # the memory: what waits to be applied is the steps
                with self._progress.held.waiting():
                    self._ready.put(Prepared(piece, steps))
            return
        self._caught_up.clear()
        for piece in pieces:
            if self._stop.is_set():
                return
            with self._progress.held.waiting():
                self._ready.put(Prepared(piece, None))
        with self._progress.held.waiting():
            self._caught_up.wait()
        self._tables.learn()
        self._preparer.forget()
