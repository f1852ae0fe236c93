"""Looks at a follower that never was, for tests of rules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import HealthCheck, settings

from stretto_schemas.follower_state import FollowerState
from stretto_schemas.lag.facts import CaptureFacts, LogFacts, Observation, SourceFacts
from stretto_schemas.lag.samples import Sample, Samples
from stretto_schemas.lag.stages import StageLag
from stretto_schemas.lag.trend import trend
from stretto_schemas.lag.verdict import Verdict, judge
from stretto_schemas.lag.view import ProcessView, SlotView

NOW_US = 1_764_000_000_000_000
EPOCH = 1_763_979_012

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Tests share two cores with servers: how long an example takes says nothing."""


def state(**more: Any) -> FollowerState:
    """A running follower that has shown everything."""
    fields: dict[str, Any] = {
        "follower": "reports",
        "source": "shop",
        "epoch": EPOCH,
        "term": 1,
        "end_lsn": 5000,
        "commit_ts_us": NOW_US,
        "visible_ts_us": NOW_US,
        "transactions": 10,
        "rows": 100,
        "every_s": 3.0,
    }
    return FollowerState(**(fields | more))


def sample(at: float, lag_s: float, **more: Any) -> Sample:
    """A look that got the follower's own answer; its place moves with the time unless `end_lsn` says otherwise."""
    fields: dict[str, Any] = {
        "at": at,
        "made_at": at,
        "state": "running",
        "total_s": lag_s,
        "delay_s": 0.0,
        "bytes": round(lag_s * 1000),
        "epoch": EPOCH,
        "end_lsn": 1000 + round((at + 100_000) * 1000),
        "rows": 1_000_000 + round(at * 100),
        "every_s": 3.0,
    }
    return Sample(**(fields | more))


def taken(looks: Iterable[Sample]) -> Samples:
    """All of them, one after the other."""
    samples = Samples()
    for look in looks:
        samples.add(look)
    return samples


def stages(apply_s: float = 0.0, **seconds: float) -> dict[str, StageLag | None]:
    """Stages with these seconds; what they add up to is the total."""
    parts = {"wal": 0.0, "capture": 0.0, "log": 0.0, "apply": apply_s} | seconds
    lags: dict[str, StageLag | None] = {stage: StageLag(round(s * 1000), round(s), s) for stage, s in parts.items()}
    total = sum(parts.values())
    return lags | {"total": StageLag(round(total * 1000), round(total), total)}


def judged(samples: Samples, said: FollowerState | None = None, *, heard_s: float = 0.0, log_epoch: int = 0) -> Verdict:
    """The verdict on these looks, all the lag in apply."""
    newest = samples.newest
    said = said or state(state=newest.state, epoch=newest.epoch, end_lsn=newest.end_lsn, delay_s=newest.delay_s)
    way = trend(samples.taken)
    return judge(samples, said, way, stages(apply_s=newest.total_s), heard_s=heard_s, log_epoch=log_epoch)


def slot(**more: Any) -> SlotView:
    """A slot that capture reads."""
    fields: dict[str, Any] = {
        "name": "stretto_shop",
        "active": True,
        "confirmed_flush_lsn": 5000,
        "retained_bytes": 0,
        "wal_status": "reserved",
    }
    return SlotView(**(fields | more))


def seen(*followers: FollowerState, at: float = 1000.0, **more: Any) -> Observation:
    """A look at a pipeline that is at rest and well."""
    now_us = NOW_US + round((at - 1000) * 1e6)
    fields: dict[str, Any] = {
        "prefix": "stretto",
        "source": "shop",
        "at": at,
        "at_us": now_us,
        "heartbeat_s": 1.0,
        "facts": SourceFacts(wal_lsn=5000, now_us=now_us, slot=slot()),
        "capture": ProcessView("capture", "running"),
        "captured": CaptureFacts(
            received_lsn=5000,
            committed_lsn=5000,
            received_until_us=now_us,
            committed_until_us=now_us,
            waiting_records=0,
        ),
        "log": LogFacts(end_lsn=5000, sequence=7, epoch=EPOCH, commit_ts_us=NOW_US, heartbeat_us=now_us),
        "followers": list(followers),
        "heard_s": {follower.follower: 0.0 for follower in followers},
    }
    return Observation(**(fields | more))
