"""What one look at a pipeline found, before anything is concluded from it.

Whatever did not answer is None, with a problem that says why. Places are LSNs of the source; `..._us` are microseconds
since 1970, by the source's clock unless it says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from stretto_schemas.follower_state import FollowerState
from stretto_schemas.lag.view import ProblemView, ProcessView, SlotView


@dataclass(frozen=True, slots=True)
class LongTransaction:
    """The source's oldest open transaction that has written: decoding sends nothing of it before it commits."""

    seconds: float
    pid: int
    application: str
    state: str
    """As pg_stat_activity says: active, idle in transaction."""


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Asked of the source's server."""

    wal_lsn: int
    now_us: int
    slot: SlotView | None
    wal_since_s: float = 0.0
    """How long ago the WAL was first seen beyond what capture has received; 0 when it is not."""
    safe_wal_bytes: int | None = None
    """WAL that may still be written before the slot's is in danger; None without a limit."""
    long_transaction: LongTransaction | None = None


class CaptureFacts(msgspec.Struct, frozen=True):
    """What capture said over HTTP. Its own process is in `Observation.capture`, also when it said nothing."""

    received_lsn: int
    committed_lsn: int
    received_until_us: int
    """Everything that was committed before has been received."""
    committed_until_us: int
    """Everything that was committed before is in Kafka."""
    waiting_records: int
    frontier_lsn: int = 0
    """End of the newest frontier that it knows to be committed."""
    inside_xid: int = 0
    """The source transaction that is being received; 0: none."""
    inside_records: int = 0
    """Its records that have come so far."""
    inside_since_us: int = 0
    """When it was committed."""


@dataclass(frozen=True, slots=True)
class LogFacts:
    """The newest committed frontier."""

    end_lsn: int
    sequence: int
    epoch: int
    commit_ts_us: int
    heartbeat_us: int
    """The newest heartbeat in this or an earlier frontier; 0 when there was none."""
    records: int = 0
    """Of published tables, in this frontier and the others that the observer has read: what they grow by counts."""
    transactions: int = 0
    """The same for source transactions."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One look at one source, its log and its followers."""

    prefix: str
    source: str
    at: float
    """The observer's monotonic clock, seconds."""
    at_us: int
    """The observer's wall clock, microseconds since 1970."""
    heartbeat_s: float
    """How often capture sends a heartbeat."""
    facts: SourceFacts | None
    capture: ProcessView | None
    captured: CaptureFacts | None
    log: LogFacts | None
    followers: list[FollowerState]
    follower_process: ProcessView | None = None
    """The process of the follower that the settings name; what it said of itself is in `followers`."""
    heard_s: dict[str, float] = field(default_factory=dict)
    """By follower: how long ago its record was made."""
    oldest_us: dict[str, int] = field(default_factory=dict)
    """By follower: commit time of the first transaction of the log that it does not show; 0 when it shows all."""
    behind_records: dict[str, int] = field(default_factory=dict)
    """By follower: records that the log's frontiers count and that it does not show, where that is known."""
    problems: list[ProblemView] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    unreadable: int = 0
    """Records that could not be read, since the observer began."""

    @property
    def now_us(self) -> int:
        """The source's clock if it answered, else the observer's."""
        return self.facts.now_us if self.facts is not None else self.at_us
