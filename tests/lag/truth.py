"""What the lag really is, found without Stretto: rows that carry the time of their commit, on both sides."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg

from stretto.embedded.processes import wait_until
from stretto_consumers.lag.look import Observer
from stretto_schemas.follower_state import FollowerState
from stretto_schemas.lag.facts import Observation
from stretto_schemas.lag.measure import follower_stages
from stretto_schemas.lag.stages import StageLag
from tests.fix_stack import Database

TABLE = "create table beats (id bigint generated always as identity primary key, at timestamptz not null default clock_timestamp())"
EVERY_S = 0.05

WITHIN_S, WITHIN_PART = 0.2, 0.1
"""A figure is right within the larger of these."""


@dataclass(frozen=True)
class Truth:
    """The follower's lag by its rows."""

    lag_s: float
    """Age of the oldest row that it has not; 0 when it has all."""
    most_s: float
    """Age of the newest row that it has: where the writer itself was held up, lag may be told from then on, for a heartbeat
    that is late counts, too."""
    rows: int
    """Rows that it has not."""
    shown_lsn: int
    """Its place."""
    begun: bool
    """It has some."""


class Beats:
    """A writer on the leader: a row a transaction, twenty times a second."""

    def __init__(self, leader: Database, follower: Database) -> None:
        self._leader = leader
        self._follower = follower
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="beats", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with psycopg.connect(self._leader.dsn, autocommit=True) as conn:
            while not self._stop.wait(EVERY_S):
                conn.execute("insert into beats default values")

    def stop(self) -> None:
        """Write no more."""
        self._stop.set()
        self._thread.join()

    def truth(self, now_us: int) -> Truth:
        """What the two databases tell, at that time of the leader's clock."""
        with psycopg.connect(self._follower.dsn, autocommit=True) as conn:
            row = conn.execute(
                "select (select coalesce(max(id), 0) from beats), (select end_lsn - '0/0'::pg_lsn from stretto.position)"
            ).fetchone()
        assert row is not None
        [(oldest_us, shown_us, rows)] = self._leader.fetch(
            "with told as (select id > %s lacks, (extract(epoch from at) * 1e6)::bigint at_us from beats)"
            " select min(at_us) filter (where lacks), max(at_us) filter (where not lacks),"
            " count(*) filter (where lacks and at_us <= %s) from told",
            row[0],
            now_us,
        )
        age_s = max(0.0, (now_us - oldest_us) / 1e6) if oldest_us is not None else 0.0
        most_s = max(age_s, (now_us - shown_us) / 1e6) if shown_us is not None else age_s
        return Truth(age_s, most_s, int(rows), int(row[1]), shown_us is not None)


@contextmanager
def beating(leader: Database, follower: Database) -> Iterator[Beats]:
    """A writer while the block runs."""
    beats = Beats(leader, follower)
    try:
        yield beats
    finally:
        beats.stop()


def only(seen: Observation) -> FollowerState:
    """The one follower."""
    [state] = seen.followers
    return state


def stages(seen: Observation) -> dict[str, StageLag | None]:
    """The one follower's stages."""
    return follower_stages(seen, only(seen))


def seconds(found: dict[str, StageLag | None]) -> dict[str, float]:
    """For comparing and showing."""
    return {stage: round(lag.seconds, 3) if lag is not None else -1.0 for stage, lag in found.items()}


def close_to(said: float, true: float, most: float | None = None) -> bool:
    """Whether a figure is right: within the tolerance of the truth, or of the range up to `most`."""
    most = true if most is None else most
    return true - max(WITHIN_S, WITHIN_PART * true) <= said <= most + max(WITHIN_S, WITHIN_PART * most)


def counted_like(seen: Observation, true: Truth) -> bool:
    """Whether records and bytes are those that the databases tell."""
    found = stages(seen)
    total = found["total"]
    assert total is not None
    assert seen.facts is not None
    waiting = sum(lag.records for stage, lag in found.items() if lag is not None and stage != "total")
    wal_bytes = seen.facts.wal_lsn - true.shown_lsn
    rows_right = abs(waiting - true.rows) <= max(5, WITHIN_PART * true.rows)
    return (
        rows_right and total.records == waiting and abs(total.bytes - wal_bytes) <= max(4096, WITHIN_PART * wal_bytes)
    )


def reaches(observer: Observer, at_least_s: float, deadline_s: float = 30.0) -> dict[str, StageLag | None]:
    """Wait until total lag is that much."""
    last: dict[str, StageLag | None] = {}

    def there() -> bool:
        last.update(stages(observer.look()))
        total = last["total"]
        return total is not None and total.seconds >= at_least_s

    assert wait_until(there, deadline_s), seconds(last)
    return last
