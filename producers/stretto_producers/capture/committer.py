"""One thread that writes sealed batches to Kafka while the next one is read and encoded."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from stretto_connectors.kafka.writer import LogRecord, LogWriter, Partition
from stretto_producers.capture.batch import Sealed

SETTLING = 0.3
"""Part of a commit's time that the broker then takes for its markers; both grow with how busy it is."""
SETTLING_MAX_S = 0.01


@dataclass(slots=True)
class Written:
    """A batch that Kafka has committed: durable, not merely accepted."""

    sealed: Sealed
    offsets: dict[Partition, int]
    """Next offset of each partition after it."""
    seconds: float
    settled_at: float
    """When the broker has presumably written the commit's markers, in monotonic seconds.

    It answers before that, and refuses a transaction that begins too early (CONCURRENT_TRANSACTIONS). librdkafka then waits
    20 ms, longer than a small commit takes; so what comes right after a commit is better held back until now.
    """


class Committer:
    """Holds at most one batch in flight. `submit()` and `take()` are for one thread; `fd` becomes readable with a result."""

    def __init__(
        self,
        writer: LogWriter,
        opening: Callable[[], list[LogRecord]],
        closing: Callable[[Sealed], list[LogRecord]],
    ) -> None:
        self._writer = writer
        self._opening = opening
        self._closing = closing
        self._wake = threading.Semaphore(0)
        self._work: Sealed | None = None
        self._result: Written | BaseException | None = None
        self._done = threading.Event()
        self._ended = False
        self.fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.busy = False
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def submit(self, sealed: Sealed) -> None:
        """Begin to write a batch. Only while not `busy`."""
        assert not self.busy, "one batch at a time"
        self.busy = True
        self._work = sealed
        self._wake.release()

    def take(self) -> Written | None:
        """The batch that was committed since, if it is. Raises what the write raised."""
        if not self._done.is_set():
            return None
        self._done.clear()
        os.eventfd_read(self.fd)
        result, self._result = self._result, None
        self.busy = False
        if isinstance(result, Written):
            return result
        assert result is not None
        raise result

    def wait(self, timeout_s: float) -> None:
        """Block until there is a result, or time is up."""
        select.select([self.fd], (), (), timeout_s)

    def close(self) -> None:
        """End the thread; a batch in flight is finished first, with whatever outcome."""
        self._ended = True
        self._wake.release()
        self._thread.join()
        os.close(self.fd)

    def _run(self) -> None:
        while True:
            self._wake.acquire()
            work, self._work = self._work, None
            if work is None:
                if self._ended:
                    return
                continue
            try:
                begun = time.monotonic()
                self._writer.begin(self._opening())
                for (topic, partition), rows in work.records.items():
                    self._writer.produce(topic, partition, rows)
                offsets = self._writer.commit(self._closing(work))
                ended = time.monotonic()
                settled_at = ended + min(SETTLING * (ended - begun), SETTLING_MAX_S)
                self._result = Written(work, offsets, ended - begun, settled_at)
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for it, which raises it
                self._result = error
            os.eventfd_write(self.fd, 1)  # first: `take()` reads it once `_done` is set
            self._done.set()
