"""How far capture is: numbers that the loop writes and the HTTP server reads."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from stretto_connectors.prometheus import ACTIVE, RESTARTS, counter, gauge, histogram
from stretto_producers.capture.committer import Written
from stretto_producers.capture.pulse import Pulse
from stretto_schemas import metrics
from stretto_schemas.frontier import Frontier
from stretto_schemas.lag import fresh
from stretto_schemas.lag.clock import LsnClock
from stretto_schemas.lag.facts import CaptureFacts
from stretto_schemas.lag.measure import capture_stages
from stretto_schemas.lag.stages import NOTHING, StageLag
from stretto_schemas.lsn import format_lsn

_records = counter(metrics.CAPTURED_RECORDS)
_transactions = counter(metrics.CAPTURED_TRANSACTIONS)
_bytes = counter(metrics.CAPTURED_BYTES)
_commit = histogram(
    metrics.KAFKA_COMMIT_SECONDS, buckets=(0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1, 2, 4, 8)
)
_retained = gauge(metrics.SLOT_RETAINED)

SILENT_AFTER_S = 2.0
"""A source that does not answer a question for so long may have written what capture has not."""

NOTED_EVERY_US = 5_000
"""How exact the age of what is received and not yet in Kafka is; a busy source commits many times in between."""


@dataclass(frozen=True, slots=True)
class Inside:
    """What waits in capture's memory, and the source transaction that it is in the middle of."""

    records: int
    xid: int = 0
    """0: none is open."""
    xid_records: int = 0
    """How many of its records have come so far."""


class Progress:
    """One writer, the capture loop; any thread may read: every field is replaced whole."""

    def __init__(self, source: str, ready_stale_s: float) -> None:
        self._source = source
        self._stale_s = ready_stale_s
        self._pulse: Pulse | None = None
        self._commits = LsnClock()
        """Commit times of what was received, in seconds since 1970 by the source's clock."""
        self._noted_us = 0
        self._commit_lsn = 0
        """End of the newest transaction or heartbeat received; `received_lsn` may be further, where nothing was published."""
        self._open_us = 0
        """Commit time of the transaction that is being received; 0 between two."""
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
        self._inside: Callable[[], Inside] = lambda: Inside(0)
        self._in_flight = 0
        RESTARTS.labels("capture", source)  # shown as 0 from the start
        ACTIVE.labels("capture", source)
        labels = (source,)
        self._metrics = (
            _records.labels(*labels),
            _transactions.labels(*labels),
            _bytes.labels(*labels),
            _commit.labels(*labels),
        )
        _retained.labels(*labels).set_function(lambda: self._pulse.retained_bytes if self._pulse else 0)

    def opened(self, frontier: Frontier, pulse: Pulse, inside: Callable[[], Inside]) -> None:
        """A session begins after this frontier. `inside` tells what waits for its Kafka transaction."""
        self._pulse = pulse
        self._inside, self._in_flight = inside, 0
        self._commits = LsnClock()
        self._noted_us = self._open_us = self._commit_lsn = 0
        self.received_lsn = self.committed_lsn = frontier.end_lsn
        self.received_ts_us = self.committed_ts_us = frontier.commit_ts_us
        self.heartbeat_us = max(self.heartbeat_us, frontier.heartbeat_us or 0)
        self.committed_at = time.monotonic()
        self.state = "running"
        self.last_error = ""
        ACTIVE.labels("capture", self._source).set(1)

    def began(self, commit_ts_us: int) -> None:
        """A source transaction, committed then, has begun to come."""
        self._open_us = commit_ts_us

    def received(self, lsn: int, commit_ts_us: int) -> None:
        """Everything up to `lsn` has come from the source; `commit_ts_us` is 0 when it was no transaction."""
        if commit_ts_us:
            self._commit_lsn, self.received_ts_us = lsn, commit_ts_us
            self._open_us = 0
            if commit_ts_us - self._noted_us > NOTED_EVERY_US or self.committed_lsn >= self.received_lsn:
                self._noted_us = commit_ts_us
                self._commits.note(lsn, commit_ts_us / 1e6)
        self.received_lsn = lsn

    def sealed(self, rows: int) -> None:
        """A Kafka transaction of so many records is under way; the next `part` or `committed` is its end."""
        self._in_flight = rows

    def heartbeat(self, lsn: int, clock_us: int) -> None:
        """Our own heartbeat came back through the WAL: it waits for Kafka like a transaction."""
        self.heartbeat_us = clock_us
        self._commit_lsn = lsn
        self._commits.note(lsn, clock_us / 1e6)

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
        if self._commit_lsn > frontier.end_lsn:
            self._commits.note(
                self._commit_lsn, max(self.received_ts_us, self.heartbeat_us) / 1e6
            )  # it may have come too soon to be noted

    def restarting(self, error: str) -> None:
        """The session ended with an error that may heal; another one begins."""
        self.state = "waiting"
        self.last_error = error
        self.restarts += 1
        RESTARTS.labels("capture", self._source).inc()
        ACTIVE.labels("capture", self._source).set(0)

    def facts(self) -> CaptureFacts | None:
        """Where capture is, as of now; None before its first session and before it has asked for the source's clock."""
        pulse = self._pulse
        now_us = pulse.source_us if pulse is not None else 0
        if pulse is None or not now_us:
            return None
        now = time.monotonic()
        since = pulse.wal_clock.first_beyond(self.received_lsn)
        if since is None and now - pulse.looked_at > SILENT_AFTER_S:
            since = pulse.looked_at  # what has been written since then nobody knows
        waited_us = 0 if since is None else int((now - since) * 1e6)
        received_us = self._open_us or now_us - waited_us
        if self.received_lsn < pulse.first_lsn:
            # What was written before this session began to look is as old as what came before it, at most.
            received_us = min(received_us, max(self.received_ts_us, self.heartbeat_us))
        first = self._commits.first_beyond(self.committed_lsn)
        inside = self._inside()
        return CaptureFacts(
            received_lsn=self.received_lsn,
            # What was passed over because nothing of it is published does not wait.
            committed_lsn=self.committed_lsn if self._commit_lsn > self.committed_lsn else self.received_lsn,
            received_until_us=received_us,
            committed_until_us=received_us if first is None else min(received_us, int(first * 1e6)),
            frontier_lsn=self.committed_lsn,
            waiting_records=inside.records + self._in_flight,
            inside_xid=inside.xid,
            inside_records=inside.xid_records,
            inside_since_us=self._open_us if inside.xid else 0,
        )

    def safe_wal_bytes(self) -> int | None:
        """WAL that may still be written before the slot's is in danger; None without a limit."""
        return self._pulse.safe_wal_bytes if self._pulse is not None else None

    def skew_s(self) -> float | None:
        """This process's clock minus the source's, seconds; None while that is not known."""
        source_us = self._pulse.source_us if self._pulse is not None else 0
        return time.time() - source_us / 1e6 if source_us else None

    def lag(self) -> dict[str, StageLag]:
        """Stages `wal` and `capture`, as of now. How many records WAL holds that did not come yet, nobody can tell."""
        pulse, facts = self._pulse, self.facts()
        if pulse is None or facts is None:
            return {"wal": StageLag(0, 0, 0.0, counted=False), "capture": NOTHING}
        return capture_stages(facts, max(pulse.wal_lsn, facts.received_lsn), pulse.source_us)

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
            "facts": (facts := self.facts()) and msgspec.structs.asdict(facts),
            "clock_skew_s": self.skew_s(),
            "safe_wal_bytes": self.safe_wal_bytes(),
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
