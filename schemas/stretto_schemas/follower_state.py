"""What a follower says about itself: a record of `<prefix>.followers`, keyed `follower/source`, compacted.

A tombstone under the key says that the follower was removed. Fields with a default may be missing: an older follower's
records have only the others.
"""

from __future__ import annotations

import msgspec

from stretto_schemas.lag.stages import StageLag

MOST_TABLES = 20
"""Tables in copy that one record lists at most."""


class Quantiles(msgspec.Struct, frozen=True):
    """Commit to visible over a window, seconds."""

    count: int
    """Source transactions."""
    p50: float
    p95: float
    p99: float
    max: float


class TableCopy(msgspec.Struct, frozen=True):
    """A table that `stretto follower add` is copying."""

    table: str
    rows: int
    expected: int
    """The source's estimate, which may be wrong."""


class FollowerState(msgspec.Struct, omit_defaults=True):
    """What has been applied, when it was visible, and what holds the rest back."""

    follower: str
    source: str
    epoch: int
    term: int
    end_lsn: int
    commit_ts_us: int
    """Commit time of the newest source transaction visible on the follower, microseconds since 1970."""
    visible_ts_us: int
    """When the follower's own COMMIT returned, by its process's clock; after a restart the database server's, just before."""
    transactions: int
    rows: int
    heartbeat_us: int = 0
    published_us: int = 0
    """When this record was made, by the process's clock, microseconds since 1970."""
    every_s: float = 0.0
    """The next record is due within so many seconds."""
    state: str = "running"
    """running, paused, copying, or waiting: for a server, with the reason in `said`; stopped: it ended cleanly."""
    said: str = ""
    """In words: the last error, the phase of a copy or what it waits for."""
    lag: dict[str, StageLag] = {}
    """Its own stages: log, apply, total."""
    read_lsn: int = 0
    """End of what it has read and not yet applied."""
    seen_lsn: int = 0
    """End of the newest frontier that it has read."""
    frontier_offset: int = -1
    """Offset in the transactions topic of the next frontier that it applies; -1: not told."""
    oldest_us: int = 0
    """Commit time of the oldest source transaction that it knows of and that is not visible; 0 when there is none."""
    held: bool = False
    """What is unread waits until the applier is done with what was read, not for Kafka."""
    skew_us: int | None = None
    """Its process's clock minus the source's; None while nobody knows."""
    visible: dict[str, Quantiles] = {}
    """Commit to visible over the last `minute`, `hour`, `day`."""
    delay_s: float = 0.0
    """`apply_delay`: it shows transactions so long after their commit, on purpose."""
    budget_s: float = 0.0
    """`lag_budget`: more total lag than this, beyond the delay, is an alert; 0: no budget."""
    waiting_transactions: int = 0
    staged_rows: int = 0
    """Rows read and not yet committed."""
    spilled_bytes: int = 0
    slow_table: str = ""
    """The table whose statements took most of the last second's time."""
    slow_share: float = 0.0
    """Part of the applier's time that they took, 0 to 1."""
    blocked_by: str = ""
    """Who holds a lock that the applier, or the first copy, waits for, in words; empty: nobody."""
    copied: float | None = None
    """Part of a first copy that is done, 0 to 1."""
    copying: list[TableCopy] = []
    """Tables in copy, largest first, not more than `MOST_TABLES`."""
    added_us: int = 0
    """When its first copy last went on (rows came over, or a step began), by the clock of `published_us`; 0: not told."""
    waits: bool = False
    """Its first copy waits for others, and can do nothing meanwhile; for whom, is in `said`."""
    address: str = ""
    """`host:port` of its HTTP server."""


encode_state = msgspec.json.Encoder().encode
decode_state = msgspec.json.Decoder(FollowerState).decode


def state_key(follower: str, source: str) -> bytes:
    """Key of the records."""
    return f"{follower}/{source}".encode()
