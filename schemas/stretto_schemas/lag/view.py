"""What every screen shows of a pipeline, and what the monitor's web views answer: one tree, JSON on the wire.

Made by `stretto_consumers.lag`, drawn by `stretto status`, `stretto top`, `stretto web`. Times are microseconds since
1970 by the source's clock where they are the source's, by the observer's otherwise; durations are seconds.
"""

from __future__ import annotations

import msgspec

from stretto_schemas.follower_state import Quantiles, TableCopy
from stretto_schemas.lag.stages import StageLag


class SlotView(msgspec.Struct):
    """The source's replication slot."""

    name: str
    active: bool
    confirmed_flush_lsn: int
    retained_bytes: int
    wal_status: str


class ProcessView(msgspec.Struct):
    """What a process said over HTTP, or that it did not answer."""

    name: str
    state: str
    said: str = ""
    address: str = ""


class SourceView(msgspec.Struct):
    """One source: its WAL, its slot, the newest frontier of its log, its capture."""

    name: str
    wal_lsn: int | None = None
    slot: SlotView | None = None
    frontier_lsn: int | None = None
    frontier_sequence: int | None = None
    frontier_commit_us: int | None = None
    capture: ProcessView | None = None
    follower_process: ProcessView | None = None
    """The process of the follower that the settings name, also where it has no copy yet and is not listed."""
    safe_wal_bytes: int | None = None
    """WAL that may still be written before the slot's is in danger; None without a limit."""
    lag: dict[str, StageLag | None] = {}
    """wal and capture: the same for all its followers."""
    bytes_per_s: float | None = None
    """How fast its WAL grows."""


class FollowerView(msgspec.Struct):
    """One follower of one source."""

    name: str
    source: str
    state: str
    """running, paused, copying, waiting, stopped; unknown: nothing was heard of it."""
    status: str
    """OK, WARNING, STALLED, STOPPED, REWOUND, CATCHING_UP."""
    rule: int
    """Number of the rule that says so (docs/lag.md)."""
    reason: str
    """A sentence."""
    stage: str = ""
    """The stage that holds most of the lag."""
    likely: str = ""
    """The likely cause in words, where there is lag worth a word."""
    said: str = ""
    lag: dict[str, StageLag | None] = {}
    slope: float | None = None
    """Seconds of lag gained (or, below 0, lost) in a second."""
    rows_per_s: float | None = None
    bytes_per_s: float | None = None
    catch_up_s: float | None = None
    """Time until nothing waits, at the present pace; None: never, or nobody can tell."""
    catch_up_sure: float = 0.0
    """How sure that is, 0 to 1."""
    visible: dict[str, Quantiles] = {}
    end_lsn: int = 0
    commit_ts_us: int = 0
    term: int = 0
    transactions: int = 0
    rows: int = 0
    delay_s: float = 0.0
    budget_s: float = 0.0
    over_budget: bool = False
    skew_s: float | None = None
    heard_s: float = 0.0
    """How long ago it last said something."""
    every_s: float = 0.0
    """By its own word it says something at least this often; 0: it did not tell."""
    waiting_transactions: int = 0
    staged_rows: int = 0
    spilled_bytes: int = 0
    copied: float | None = None
    copying: list[TableCopy] = []
    address: str = ""


class Alert(msgspec.Struct, frozen=True):
    """A record of `<prefix>.alerts`: trouble that began, changed or is over. Keyed `follower/source/kind`."""

    kind: str
    """status, or budget."""
    follower: str
    source: str
    status: str
    before: str
    """The status that was told before, or was seen before the trouble; of a budget: kept, exceeded."""
    at_us: int
    since_us: int
    """When the trouble began: the same in all its alerts and in its recovery."""
    recovered: bool
    reason: str
    """A sentence: what, how much, in which stage."""
    stage: str = ""
    likely: str = ""
    lag_s: float = 0.0
    statuses: tuple[str, ...] = ()
    """All that the trouble was told to be so far, each once, in the order in which each was told last."""
    until_us: int = 0
    """Of a recovery: since when it is calm."""


class ProblemView(msgspec.Struct, frozen=True):
    """Something does not answer or cannot go on, and what mends it."""

    found: str
    expected: str = ""
    fix: str = ""
    exit_code: int = 3


class PipelineView(msgspec.Struct):
    """One look at everything."""

    at_us: int
    prefix: str
    sources: list[SourceView]
    followers: list[FollowerView]
    alerts: list[Alert] = []
    """The newest first: what is wrong now, then what is over."""
    problems: list[ProblemView] = []
    hints: list[str] = []
    unreadable: int = 0
    """Records of the watched topics that could not be read, since the observer began."""


class Point(msgspec.Struct, array_like=True, frozen=True):
    """One follower's lag at one moment, for a chart."""

    at_us: int
    follower: str
    source: str
    seconds: dict[str, float]
    """By stage."""
    rows_per_s: float = 0.0


encode_view = msgspec.json.Encoder().encode
decode_view = msgspec.json.Decoder(PipelineView).decode
encode_points = msgspec.json.Encoder().encode
decode_points = msgspec.json.Decoder(list[Point]).decode
