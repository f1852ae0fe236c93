"""What the lag really is, found without Stretto: rows that carry the time of their commit, on both sides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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

    def lag_s(self, now_us: int) -> float:
        """Age, at that time of the leader's clock, of the oldest row that the follower has not."""
        with psycopg.connect(self._follower.dsn, autocommit=True) as conn:
            row = conn.execute("select coalesce(max(id), 0) from beats").fetchone()
        assert row is not None
        [(oldest_us,)] = self._leader.fetch(
            "select coalesce((extract(epoch from min(at)) * 1e6)::bigint, %s) from beats where id > %s", now_us, row[0]
        )
        return max(0.0, (now_us - int(oldest_us)) / 1e6)


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


def close_to(said: float, true: float) -> bool:
    """Whether a figure is right."""
    return abs(said - true) <= max(WITHIN_S, WITHIN_PART * true)


def looked(observer: Observer, true: Callable[[int], float]) -> tuple[dict[str, StageLag | None], float]:
    """One look and the truth at its time. What moves meanwhile makes the truth a range: none is looked at then."""
    seen = observer.look()
    found = stages(seen)
    return found, true(seen.now_us)


def reaches(observer: Observer, at_least_s: float, deadline_s: float = 30.0) -> dict[str, StageLag | None]:
    """Wait until total lag is that much."""
    last: dict[str, StageLag | None] = {}

    def there() -> bool:
        last.update(stages(observer.look()))
        total = last["total"]
        return total is not None and total.seconds >= at_least_s

    assert wait_until(there, deadline_s), seconds(last)
    return last
