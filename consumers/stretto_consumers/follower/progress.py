"""How far a follower is: numbers that its loop writes and the HTTP server reads."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass

import msgspec

from stretto_connectors.prometheus import ACTIVE, RESTARTS, counter, gauge, histogram
from stretto_consumers.follower.accounting import Accounting, Batch
from stretto_consumers.follower.gate import Gate
from stretto_consumers.follower.work import Held, Work
from stretto_schemas import metrics
from stretto_schemas.errors import StrettoError
from stretto_schemas.follower_state import FollowerState, Quantiles
from stretto_schemas.lag import fresh
from stretto_schemas.lag.skew import ClockOffset, OneWayOffset
from stretto_schemas.lag.stages import NOTHING, StageLag
from stretto_schemas.lag.windows import Windows
from stretto_schemas.lsn import format_lsn
from stretto_schemas.position import Offsets, Position
from stretto_schemas.settings import Settings

_records = counter(metrics.APPLIED_RECORDS)
_transactions = counter(metrics.APPLIED_TRANSACTIONS)
_batch = histogram(
    metrics.APPLY_SECONDS, buckets=(0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1, 4, 16)
)
_visible = histogram(
    metrics.VISIBLE_SECONDS, buckets=(0.004, 0.008, 0.012, 0.016, 0.024, 0.032, 0.064, 0.125, 0.25, 0.5, 1, 4, 16, 64)
)
_spilled = gauge(metrics.SPILLED_BYTES)


TIMED_A_BATCH = 16
"""Transactions of a batch, spread over it evenly, whose time to visible is recorded."""

QUANTILES_EVERY_S = 2.0
"""Adding up the histograms takes two milliseconds."""

HELD_BACK_FOR_S = 1.5
"""The gate is looked at twice a second."""

BROKER_TICK_US = 1000
"""The broker's clock is read in whole milliseconds: each of two readings may be wrong by half of one."""

MARGIN_S = 0.5
"""On the way a heartbeat may take so long."""


@dataclass(frozen=True, slots=True)
class Handed:
    """A batch that is read and not visible."""

    oldest_us: int
    """Commit time of its first transaction; 0: it has none."""
    transactions: int


@dataclass(frozen=True, slots=True)
class Places:
    """Times by the source's clock, microseconds since 1970, up to which everything committed there has come so far."""

    now_us: int
    read_us: int
    visible_us: int
    oldest_us: int
    """Commit time of the oldest transaction that is known and not visible; 0: there is none."""
    upstream: bool
    """What is late has not reached the log."""
    transactions: int
    """How many are known and not visible."""
    held: bool
    """What is unread waits for the applier."""


class Progress:
    """One writer, the follower's loop; any thread may read."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._source = source = settings.source.name
        self._follower = follower = settings.follower.name
        self._stale_s = settings.http.ready_stale_s
        self._overdue_us = int((2 * settings.capture.heartbeat_s + MARGIN_S) * 1e6)
        self._accounting: Accounting | None = None
        self.state = "starting"
        self.last_error = ""
        self._pause_reason = ""
        self.delay_s = 0.0
        self._held_back_at = float("-inf")
        self.restarts = 0
        self.position: Position | None = None
        self.read_position: Position | None = None
        self.visible_us = 0
        """When the position became visible, by this process's clock."""
        self.broker_clock = ClockOffset()
        """The broker's clock minus our monotonic one."""
        self.source_clock = OneWayOffset()
        """The source's clock minus the broker's."""
        self.log_clock = OneWayOffset()
        """The source's clock minus our monotonic one, by the log's newest frontiers; asked for when `asks_log_clock`."""
        self.log_is_empty = False
        """True when a heartbeat is overdue and the broker has said that the log has nothing more."""
        self.blocked_by = ""
        self.work = Work()
        self.windows = Windows()
        """Commit to visible, by source transaction."""
        self._quantiles_at = 0.0
        self._quantiles_then: dict[str, Quantiles] = {}
        self.held = Held()
        self.address = ""
        self._handed: deque[Handed] = deque()
        """Batches read and not yet visible, oldest first."""
        self._applied_at = 0.0
        RESTARTS.labels("follower", source)  # shown as 0 from the start
        ACTIVE.labels("follower", source)
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
        self._handed.clear()
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
    def holding(self) -> bool:
        """True while what was read waits for an operator or for its delay."""
        return self.state == "paused" or time.monotonic() - self._held_back_at < HELD_BACK_FOR_S

    @property
    def said(self) -> str:
        """In words, why it is not running: the pause's reason, or the last error."""
        return self._pause_reason if self.state == "paused" else self.last_error

    def read(self, batch: Batch) -> None:
        """A batch is whole, and handed over to be applied."""
        transactions = batch.transactions
        oldest_us = transactions[0].commit_ts_us if transactions else 0
        self._handed.append(Handed(oldest_us, len(transactions)))
        self.read_position = batch.position

    def applied(self, batch: Batch, seconds: float) -> None:
        """A batch is committed on the follower."""
        self.visible_us = time.time_ns() // 1000
        self.position = batch.position
        self._handed.popleft()
        self._applied_at = time.monotonic()
        self._metrics[0].inc(batch.records)
        self._metrics[1].inc(len(batch.transactions))
        self._metrics[2].observe(seconds)
        self._note_visible(batch)

    def _note_visible(self, batch: Batch) -> None:
        """How long the batch's transactions took; of many some stand for their neighbours, for each costs microseconds."""
        transactions, now_us = batch.transactions, self.source_us
        if not transactions:
            return
        self._metrics[3].observe(max(0.0, (now_us - transactions[-1].commit_ts_us) / 1e6))
        step = -(-len(transactions) // TIMED_A_BATCH)
        for start in range(0, len(transactions), step):
            stands_for = min(step, len(transactions) - start)
            took_us = now_us - transactions[start + stands_for // 2].commit_ts_us
            self.windows.record(took_us / 1e6, stands_for)

    def _quantiles(self) -> dict[str, Quantiles]:
        now = time.monotonic()
        if now - self._quantiles_at >= QUANTILES_EVERY_S:
            self._quantiles_at, self._quantiles_then = now, self.windows.quantiles()
        return self._quantiles_then

    def ended(self, error: BaseException | None) -> None:
        """The session ends: as it was asked to (None), by what waiting may heal, or by what it does not."""
        heals = not isinstance(error, StrettoError) or error.retryable
        self.state = "waiting" if error is not None and heals else "stopped"
        self.last_error = error.found if isinstance(error, StrettoError) else ""

    def restarting(self, error: str) -> None:
        """The session ended with an error that may heal; another one begins."""
        self.state = "waiting"
        self.last_error = error
        self.restarts += 1
        RESTARTS.labels("follower", self._source).inc()
        ACTIVE.labels("follower", self._source).set(0)

    # --- clocks and places --------------------------------------------------------------------------------------------

    @property
    def skew_us(self) -> int | None:
        """This process's clock minus the source's; None while that is not known."""
        source_us = self._source_clock_us()
        return None if source_us is None else time.time_ns() // 1000 - source_us

    @property
    def source_us(self) -> int:
        """The source's clock now, as well as it is known; ours where it is not."""
        source_us = self._source_clock_us()
        return time.time_ns() // 1000 if source_us is None else source_us

    @property
    def source_at_least_us(self) -> int:
        """The source's clock shows this or more by now; 0 while nothing is known. This process's wall clock has no say.

        Without the broker's clock: what the log's newest frontier says, and the time that went by since it came here.
        """
        least_us = self._by_broker_us()
        if least_us is None:  # not the larger of both: nobody goes on asking the log, and an old answer drifts
            least_us = self.log_clock.us
        return 0 if least_us is None else time.monotonic_ns() // 1000 + least_us

    @property
    def asks_log_clock(self) -> bool:
        """True while a delay is wanted and only the log can tell what the source's clock shows."""
        return self.delay_s > 0 and self._by_broker_us() is None

    def _by_broker_us(self) -> int | None:
        """The source's clock minus our monotonic one, at least, by way of the broker's; None while that is not known."""
        broker, source = self.broker_clock.least_us, self.source_clock.us
        return None if broker is None or source is None else broker + source - BROKER_TICK_US

    def _source_clock_us(self) -> int | None:
        """By way of the broker's clock, which both have been compared with."""
        broker, source = self.broker_clock.us, self.source_clock.us
        return None if broker is None or source is None else time.monotonic_ns() // 1000 + broker + source

    @property
    def overdue(self) -> bool:
        """True when not even a heartbeat has come for longer than one takes."""
        return self.source_us - self._fresh_us() > self._overdue_us

    def _fresh_us(self) -> int:
        """Everything that was committed on the source before has been read, or is known to wait."""
        position, accounting = self.position, self._accounting
        newest = accounting.newest if accounting is not None else None
        known = [0]
        if position is not None:
            known += [position.heartbeat_us, position.commit_ts_us]
        if accounting is not None and newest is not None:
            known += [accounting.heartbeat_us, newest.commit_ts_us]
        return max(known)

    def places(self) -> Places:
        """The follower's places as of now."""
        now_us, accounting = self.source_us, self._accounting
        waiting_us, waiting = accounting.waiting if accounting is not None else (0, 0)
        handed = [each for each in tuple(self._handed) if each.oldest_us]
        oldest_us = handed[0].oldest_us if handed else waiting_us
        held = self.holding or (bool(handed) and self.held.mostly)
        end_us = min(now_us, self._fresh_us()) if self.overdue and not held else now_us
        read_us = end_us if held else min(end_us, waiting_us or end_us)
        return Places(
            now_us=now_us,
            read_us=read_us,
            visible_us=min(read_us, oldest_us or read_us),
            oldest_us=oldest_us,
            upstream=self.overdue and not waiting_us and self.log_is_empty,
            held=held,
            transactions=waiting + sum(each.transactions for each in handed),
        )

    def lag(self) -> dict[str, StageLag]:
        """Stages `log`, `apply` and `total`, as of now and by what this process knows; none for a stand-by.

        What is unread only because the applier is busy is lag in `apply`. A heartbeat that is late counts as a change that
        waits: in `log`, unless the broker says that there is nothing more in the log, and then in `total` only: it is wal or
        capture, which others tell apart.
        """
        if self.state == "standby":
            return {}
        position, read, accounting = self.position, self.read_position, self._accounting
        if position is None or read is None or accounting is None:
            return dict.fromkeys(("log", "apply", "total"), NOTHING)
        return self._stages(self.places(), position, read, accounting)

    @staticmethod
    def _stages(places: Places, position: Position, read: Position, accounting: Accounting) -> dict[str, StageLag]:
        newest = accounting.newest
        unread = max(0, newest.end_lsn - read.end_lsn) if newest is not None else 0
        unapplied = max(0, read.end_lsn - position.end_lsn)
        waiting, staged = max(0, accounting.waiting_records), read.rows - position.rows
        in_log = 0 if places.upstream else places.now_us - places.read_us
        return {
            "log": StageLag(unread, waiting, in_log / 1e6),
            "apply": StageLag(unapplied, staged, (places.read_us - places.visible_us) / 1e6),
            "total": StageLag(unread + unapplied, waiting + staged, (places.now_us - places.visible_us) / 1e6),
        }

    def record(self) -> FollowerState | None:
        """The record for `<prefix>.followers`; None before the first session and as a stand-by."""
        position, read, accounting = self.position, self.read_position, self._accounting
        if position is None or read is None or accounting is None or self.state == "standby":
            return None
        places, newest = self.places(), accounting.newest
        table, share = self.work.slowest()
        return FollowerState(
            follower=self._follower,
            source=position.source,
            epoch=position.epoch,
            term=position.term,
            end_lsn=position.end_lsn,
            commit_ts_us=position.commit_ts_us,
            visible_ts_us=self.visible_us,
            transactions=position.transactions,
            rows=position.rows,
            heartbeat_us=position.heartbeat_us,
            published_us=time.time_ns() // 1000,
            state=self.state,
            said=self.said,
            lag=self._stages(places, position, read, accounting),
            read_lsn=read.end_lsn,
            seen_lsn=newest.end_lsn if newest is not None else 0,
            frontier_offset=position.frontier_offset,
            oldest_us=places.oldest_us,
            held=places.held,
            skew_us=self.skew_us,
            visible=self._quantiles(),
            delay_s=self.delay_s,
            budget_s=self._settings.follower.lag_budget_s,
            waiting_transactions=places.transactions,
            staged_rows=read.rows - position.rows,
            spilled_bytes=accounting.spilled,
            slow_table=table,
            slow_share=share,
            blocked_by=self.blocked_by,
            every_s=self._settings.follower.publish_s,
            address=self.address,
        )

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
            "said": self.said,
            "delay_s": self.delay_s,
            "applied_lsn": format_lsn(position.end_lsn) if position else None,
            "commit_ts_us": position.commit_ts_us if position else None,
            "term": position.term if position else None,
            "records": position.rows if position else 0,
            "transactions": position.transactions if position else 0,
            "restarts": self.restarts,
            "clock_skew_us": self.skew_us,
            "record": (state := self.record()) and msgspec.to_builtins(state),
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

    def fresh(self, max_lag_s: float, heartbeat_s: float) -> tuple[bool, str]:
        """Whether a reader of the follower sees everything up to so long ago, and why that is so or not."""
        if self.state == "standby":
            return False, "stand-by: only the process that applies knows the lag"
        if self.state != "running":
            return False, f"{self.state}: {self.said or 'no session yet'}"
        if self._accounting is None or self._accounting.newest is None:
            return False, "nothing was read from the log yet"
        silent_s = time.monotonic() - self._applied_at
        return fresh.judge(self.lag(), max_lag_s, silent_s=silent_s, heartbeat_s=heartbeat_s)
