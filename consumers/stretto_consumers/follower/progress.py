"""How far a follower is: numbers that its loop writes and the HTTP server reads."""

from __future__ import annotations

import time

from stretto_connectors.prometheus import ACTIVE, RESTARTS, counter, gauge, histogram
from stretto_consumers.follower.accounting import Accounting, Batch
from stretto_schemas import metrics
from stretto_schemas.lag import fresh
from stretto_schemas.lag.stages import StageLag
from stretto_schemas.lsn import format_lsn
from stretto_schemas.position import Offsets, Position

_records = counter(metrics.APPLIED_RECORDS)
_transactions = counter(metrics.APPLIED_TRANSACTIONS)
_batch = histogram(
    metrics.APPLY_SECONDS, buckets=(0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1, 4, 16)
)
_visible = histogram(
    metrics.VISIBLE_SECONDS, buckets=(0.004, 0.008, 0.012, 0.016, 0.024, 0.032, 0.064, 0.125, 0.25, 0.5, 1, 4, 16, 64)
)
_spilled = gauge(metrics.SPILLED_BYTES)


class Progress:
    """One writer, the follower's loop; any thread may read."""

    def __init__(self, source: str, follower: str, ready_stale_s: float) -> None:
        self._source = source
        self._follower = follower
        self._stale_s = ready_stale_s
        self._accounting: Accounting | None = None
        self.state = "starting"
        self.last_error = ""
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

    def offsets(self) -> Offsets | None:
        """By partition of rows the offset up to which they are applied; None while this process does not apply."""
        position = self.position
        return position.offsets if position is not None and self.state != "standby" else None

    def status(self) -> dict[str, object]:
        """JSON for /status."""
        position = self.position
        return {
            "process": "follower",
            "source": self._source,
            "follower": self._follower,
            "state": self.state,
            "last_error": self.last_error,
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
        if self.state != "running":
            return False, f"{self.state}: {self.last_error or 'no session yet'}"
        age = time.monotonic() - self._applied_at
        if age > self._stale_s:
            return False, f"nothing applied for {age:.0f} s although heartbeats come every few seconds"
        return True, f"last batch {age:.1f} s ago"

    def fresh(self, max_lag_s: float, heartbeat_s: float) -> tuple[bool, str]:
        """Whether a reader of the follower sees everything up to so long ago, and why that is so or not."""
        if self.state == "standby":
            return False, "stand-by: only the process that applies knows the lag"
        if self.state != "running":
            return False, f"{self.state}: {self.last_error or 'no session yet'}"
        if self._accounting is None or self._accounting.newest is None:
            return False, "nothing was read from the log yet"
        silent_s = time.monotonic() - self._applied_at
        return fresh.judge(self.lag(), max_lag_s, silent_s=silent_s, heartbeat_s=heartbeat_s)
