"""How far a follower is: numbers that its loop writes and the HTTP server reads."""

from __future__ import annotations

import time

from prometheus_client import Counter, Gauge, Histogram

from stretto_connectors.prometheus import ACTIVE, RESTARTS
from stretto_consumers.follower.accounting import Accounting, Batch
from stretto_consumers.follower.gate import Gate
from stretto_schemas import metrics
from stretto_schemas.lag.stages import StageLag
from stretto_schemas.lsn import format_lsn
from stretto_schemas.position import Position

_records = Counter(*metrics.APPLIED_RECORDS)
_transactions = Counter(*metrics.APPLIED_TRANSACTIONS)
_batch = Histogram(
    *metrics.APPLY_SECONDS, buckets=(0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1, 4, 16)
)
_visible = Histogram(
    *metrics.VISIBLE_SECONDS, buckets=(0.004, 0.008, 0.012, 0.016, 0.024, 0.032, 0.064, 0.125, 0.25, 0.5, 1, 4, 16, 64)
)
_spilled = Gauge(*metrics.SPILLED_BYTES)


class Progress:
    """One writer, the follower's loop; any thread may read."""

    def __init__(self, source: str, follower: str, ready_stale_s: float) -> None:
        self._source = source
        self._follower = follower
        self._stale_s = ready_stale_s
        self._accounting: Accounting | None = None
        self.state = "starting"
        self.last_error = ""
        self._pause_reason = ""
        self.delay_s = 0.0
        self.skew_us: int | None = None
        """This process's clock minus the source's; None while that is not known."""
        self._held_back_at = float("-inf")
        self.restarts = 0
        self.position: Position | None = None
        self.read_position: Position | None = None
        self._applied_at = 0.0
        RESTARTS.labels("follower", source)  # shown as 0 from the start
        labels = (source, follower)
        self._metrics = (
            _records.labels(*labels),
            _transactions.labels(*labels),
            _batch.labels(*labels),
            _visible.labels(*labels),
        )
        _spilled.labels(*labels).set_function(lambda: self._accounting.spilled if self._accounting else 0)

    def standing_by(self) -> None:
        """Another process applies; this one waits."""
        self.state = "standby"
        ACTIVE.labels("follower", self._source).set(0)

    def opened(self, position: Position, accounting: Accounting) -> None:
        """This process is the active applier from here on."""
        self.position = self.read_position = position
        self._accounting = accounting
        self._applied_at = time.monotonic()
        self.state = "running"
        self.last_error = ""
        ACTIVE.labels("follower", self._source).set(1)

    def controlled(self, gate: Gate) -> None:
        """What an operator wants of the follower, as of the newest look."""
        if self.state in ("running", "paused"):
            self.state = "paused" if gate.paused else "running"
        self._pause_reason = gate.control.reason
        self.delay_s = gate.delay_s
        if gate.holding:
            self.held_back()

    def held_back(self) -> None:
        """What could be shown next waits for nothing but its delay."""
        self._held_back_at = time.monotonic()

    @property
    def said(self) -> str:
        """In words, why it is not running: the pause's reason, or the last error."""
        return self._pause_reason if self.state == "paused" else self.last_error

    @property
    def source_us(self) -> int:
        """The source's clock now, as well as it is known here."""
        return time.time_ns() // 1000 - (self.skew_us or 0)

    def read(self, batch: Batch) -> None:
        """A batch is whole and decoded."""
        self.read_position = batch.position

    def applied(self, batch: Batch, seconds: float) -> None:
        """A batch is committed on the follower."""
        self.position = batch.position
        self._applied_at = time.monotonic()
        self._metrics[0].inc(batch.records)
        self._metrics[1].inc(len(batch.transactions))
        self._metrics[2].observe(seconds)
        if batch.transactions:
            self._metrics[3].observe(max(0.0, time.time() - batch.transactions[-1].commit_ts_us / 1e6))

    def restarting(self, error: str) -> None:
        """The session ended with an error that may heal; another one begins."""
        self.state = "waiting"
        self.last_error = error
        self.restarts += 1
        RESTARTS.labels("follower", self._source).inc()
        ACTIVE.labels("follower", self._source).set(0)

    def lag(self) -> dict[str, StageLag]:
        """Stages `log`, `apply` and `total`, as of now and of the newest frontier read."""
        position, read, accounting = self.position, self.read_position, self._accounting
        newest = accounting.newest if accounting else None
        if position is None or read is None or newest is None or accounting is None:
            return {stage: StageLag(0, 0, 0.0) for stage in ("log", "apply", "total")}
        now = time.time()
        unread, unapplied = newest.end_lsn - read.end_lsn, read.end_lsn - position.end_lsn
        waiting = max(0, accounting.waiting_records)
        behind = max(0.0, now - position.commit_ts_us / 1e6)
        return {
            "log": StageLag(max(0, unread), waiting, max(0.0, now - read.commit_ts_us / 1e6) if waiting else 0.0),
            "apply": StageLag(
                max(0, unapplied), read.rows - position.rows, behind if read.rows > position.rows else 0.0
            ),
            "total": StageLag(
                max(0, unread) + max(0, unapplied),
                waiting + read.rows - position.rows,
                behind if waiting or read.rows > position.rows else 0.0,
            ),
        }

    def status(self) -> dict[str, object]:
        """JSON for /status."""
        position = self.position
        return {
            "process": "follower",
            "source": self._source,
            "follower": self._follower,
            "state": self.state,
            "last_error": self.last_error,
            "said": self.said,
            "delay_s": self.delay_s,
            "applied_lsn": format_lsn(position.end_lsn) if position else None,
            "commit_ts_us": position.commit_ts_us if position else None,
            "term": position.term if position else None,
            "records": position.rows if position else 0,
            "transactions": position.transactions if position else 0,
            "restarts": self.restarts,
            "lag": {stage: lag.as_json() for stage, lag in self.lag().items()},
        }

    def ready(self) -> tuple[bool, str]:
        """Progress, not mere liveness: frontiers come every few seconds and are applied."""
        if self.state == "standby":
            return True, "stand-by: another process applies"
        if self.state == "paused":
            return False, f"paused: {self._pause_reason or 'no reason was given'}"
        if self.state != "running":
            return False, f"{self.state}: {self.last_error or 'no session yet'}"
        now = time.monotonic()
        age, held_s = now - self._applied_at, now - self._held_back_at
        if age > self._stale_s >= held_s:
            return True, f"last batch {age:.1f} s ago; the next one waits for its delay of {self.delay_s:g} s"
        if age > self._stale_s:
            return False, f"nothing applied for {age:.0f} s although heartbeats come every few seconds"
        return True, f"last batch {age:.1f} s ago"
