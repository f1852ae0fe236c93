"""How far capture is: numbers that the loop writes and the HTTP server reads."""

from __future__ import annotations

import time
from collections.abc import Callable

from stretto_connectors.prometheus import ACTIVE, RESTARTS, counter, gauge, histogram
from stretto_producers.capture.committer import Written
from stretto_producers.capture.pulse import Pulse
from stretto_schemas import metrics
from stretto_schemas.frontier import Frontier
from stretto_schemas.lag import fresh
from stretto_schemas.lag.clock import LsnClock
from stretto_schemas.lag.stages import StageLag
from stretto_schemas.lsn import format_lsn

_records = counter(metrics.CAPTURED_RECORDS)
_transactions = counter(metrics.CAPTURED_TRANSACTIONS)
_bytes = counter(metrics.CAPTURED_BYTES)
_commit = histogram(
    metrics.KAFKA_COMMIT_SECONDS, buckets=(0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1, 2, 4, 8)
)
_retained = gauge(metrics.SLOT_RETAINED)


class Progress:
    """One writer, the capture loop; any thread may read: every field is replaced whole."""

    def __init__(self, source: str, ready_stale_s: float) -> None:
        self._source = source
        self._stale_s = ready_stale_s
        self._pulse: Pulse | None = None
        self._clock = LsnClock()
        self.state = "starting"
        self.last_error = ""
        self.received_lsn = 0
        self.received_ts_us = 0
        self.committed_lsn = 0
        self.committed_ts_us = 0
        self.committed_at = 0.0
        self.records = 0
        self.transactions = 0
        self.heartbeat_us = 0
        self.sequence = -1
        self.restarts = 0
        self._pending_since = 0.0
        self._gathered: Callable[[], int] = lambda: 0
        self._in_flight = 0
        RESTARTS.labels("capture", source)  # shown as 0 from the start
        labels = (source,)
        self._metrics = (
            _records.labels(*labels),
            _transactions.labels(*labels),
            _bytes.labels(*labels),
            _commit.labels(*labels),
        )
        _retained.labels(*labels).set_function(lambda: self._pulse.retained_bytes if self._pulse else 0)

    def opened(self, frontier: Frontier, pulse: Pulse, gathered: Callable[[], int]) -> None:
        """A session begins after this frontier. `gathered` tells how many records wait for their Kafka transaction."""
        self._pulse = pulse
        self._gathered, self._in_flight = gathered, 0
        self.received_lsn = self.committed_lsn = frontier.end_lsn
        self.received_ts_us = self.committed_ts_us = frontier.commit_ts_us
        self.committed_at = time.monotonic()
        self._pending_since = 0.0
        self.state = "running"
        self.last_error = ""
        ACTIVE.labels("capture", self._source).set(1)

    def received(self, lsn: int, commit_ts_us: int) -> None:
        """Everything up to `lsn` has come from the source; `commit_ts_us` is 0 when it was no transaction."""
        self.received_lsn = lsn
        if commit_ts_us:
            self.received_ts_us = commit_ts_us
            if not self._pending_since:
                self._pending_since = time.monotonic()

    def sealed(self, rows: int) -> None:
        """A Kafka transaction of so many records is under way; the next `part` or `committed` is its end."""
        self._in_flight = rows

    def heartbeat(self, clock_us: int) -> None:
        """Our own heartbeat came back through the WAL."""
        self.heartbeat_us = clock_us

    def part(self, written: Written) -> None:
        """Kafka committed an inner part of a large source transaction."""
        self._in_flight = 0
        self.records += written.sealed.rows
        self._metrics[0].inc(written.sealed.rows)
        self._metrics[2].inc(written.sealed.size)
        self._metrics[3].observe(written.seconds)

    def committed(self, frontier: Frontier, written: Written) -> None:
        """Kafka committed a frontier."""
        self.part(written)
        self.transactions += len(frontier.transactions)
        self._metrics[1].inc(len(frontier.transactions))
        self.committed_lsn = frontier.end_lsn
        self.committed_ts_us = frontier.commit_ts_us
        self.committed_at = time.monotonic()
        self.sequence = frontier.sequence
        self._pending_since = time.monotonic() if self.received_lsn > frontier.end_lsn else 0.0

    def restarting(self, error: str) -> None:
        """The session ended with an error that may heal; another one begins."""
        self.state = "waiting"
        self.last_error = error
        self.restarts += 1
        RESTARTS.labels("capture", self._source).inc()
        ACTIVE.labels("capture", self._source).set(0)

    def lag(self) -> dict[str, StageLag]:
        """Stages `wal` and `capture`, as of now. How many records WAL holds that did not come yet, nobody can tell."""
        now = time.monotonic()
        wal_lsn = max(self._pulse.wal_lsn if self._pulse else 0, self.received_lsn)
        self._clock.note(wal_lsn, now)
        waiting = now - self._pending_since if self._pending_since else 0.0
        return {
            "wal": StageLag(wal_lsn - self.received_lsn, 0, self._clock.age(self.received_lsn, now), counted=False),
            "capture": StageLag(
                max(0, self.received_lsn - self.committed_lsn), self._gathered() + self._in_flight, waiting
            ),
        }

    def status(self) -> dict[str, object]:
        """JSON for /status."""
        return {
            "process": "capture",
            "source": self._source,
            "state": self.state,
            "last_error": self.last_error,
            "received_lsn": format_lsn(self.received_lsn),
            "committed_lsn": format_lsn(self.committed_lsn),
            "committed_ts_us": self.committed_ts_us,
            "frontier_sequence": self.sequence,
            "records": self.records,
            "transactions": self.transactions,
            "restarts": self.restarts,
            "retained_wal_bytes": self._pulse.retained_bytes if self._pulse else 0,
            "lag": {stage: lag.as_json() for stage, lag in self.lag().items()},
        }

    def ready(self) -> tuple[bool, str]:
        """Progress, not mere liveness: the last frontier (heartbeats cause one every few seconds) is not too old."""
        if self.state != "running":
            return False, f"{self.state}: {self.last_error or 'no session yet'}"
        age = time.monotonic() - self.committed_at
        if age > self._stale_s:
            return False, f"no frontier for {age:.0f} s although heartbeats should cause one"
        return True, f"last frontier {age:.1f} s ago"

    def fresh(self, max_lag_s: float, heartbeat_s: float) -> tuple[bool, str]:
        """Whether everything up to so long ago is in Kafka, and why it is or is not."""
        if self.state != "running":
            return False, f"{self.state}: {self.last_error or 'no session yet'}"
        silent_s = time.monotonic() - self.committed_at
        return fresh.judge(self.lag(), max_lag_s, silent_s=silent_s, heartbeat_s=heartbeat_s)
