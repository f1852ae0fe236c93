"""From looks at a pipeline to what screens show: remembers the last looks at each follower and judges them.

1. Measure: stages from what the look found, by the source's clock; while the source does not answer its clock goes on from
   its last answer, for the observer's own may be off.
2. A follower that the look no longer lists was removed and is forgotten, unless the log, which lists them, did not answer:
   then the last records stand and grow old.
3. Trend, verdict and likely cause are the rules' (stretto_schemas.lag).
No I/O. Bounded: of each follower at most `samples.MOST` looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from stretto_schemas.follower_state import FollowerState
from stretto_schemas.lag.facts import Observation
from stretto_schemas.lag.measure import follower_stages, source_stages
from stretto_schemas.lag.reasons import likely, skewed
from stretto_schemas.lag.samples import FLOOR_S, WINDOW_S, Sample, Samples, silent_after_s
from stretto_schemas.lag.stages import NOTHING, StageLag
from stretto_schemas.lag.trend import Trend, growth_per_s, trend
from stretto_schemas.lag.verdict import TROUBLE, Verdict, judge
from stretto_schemas.lag.view import FollowerView, PipelineView, Point, SourceView

MOST_HINTS: Final = 10
"""Warnings of the same kind for many followers are told of so many."""


@dataclass(slots=True)
class _Watched:
    """One follower, as it was last heard of."""

    state: FollowerState
    made_at: float
    """When that record was made, by the observer's monotonic clock."""
    samples: Samples = field(default_factory=Samples)


@dataclass(slots=True)
class _Source:
    """One source: how its WAL grew and its clock went, and its followers."""

    wal: deque[tuple[float, int]] = field(default_factory=deque)
    clock: tuple[float, int] | None = None
    """The observer's monotonic clock, and what the source's said then."""
    followers: dict[str, _Watched] = field(default_factory=dict)


class Watcher:
    """Looks at one or more sources of a prefix, in turn. One thread."""

    def __init__(self) -> None:
        self._sources: dict[str, _Source] = {}
        self._points: list[Point] = []

    def observe(self, seen: Observation) -> PipelineView:
        """Take a look, later than those before, and tell what is to be said of its source and its followers."""
        source = self._sources.setdefault(seen.source, _Source())
        dated = _dated(seen, source)
        self._note(seen, source)
        followers = [
            self._follower(dated, watched, max(0.0, seen.at - watched.made_at))
            for _, watched in sorted(source.followers.items())
        ]
        self._points = [_point(seen.at_us, view) for view in followers]
        warnings = [said for _, watched in sorted(source.followers.items()) if (said := skewed(watched.state))]
        return PipelineView(
            at_us=seen.at_us,
            prefix=seen.prefix,
            sources=[_source_view(dated, source)],
            followers=followers,
            problems=list(seen.problems),
            hints=[*seen.hints, *warnings[:MOST_HINTS]],
            unreadable=seen.unreadable,
        )

    def points(self) -> list[Point]:
        """Of the last look, one for each of its followers."""
        return self._points

    def _note(self, seen: Observation, source: _Source) -> None:
        if seen.facts is not None:
            source.clock = seen.at, seen.facts.now_us
            source.wal.append((seen.at, seen.facts.wal_lsn))
        while source.wal and source.wal[0][0] < seen.at - WINDOW_S:
            source.wal.popleft()
        if seen.log is not None or not seen.problems:  # rule 2
            listed = {state.follower for state in seen.followers}
            source.followers = {name: each for name, each in source.followers.items() if name in listed}
        for state in seen.followers:
            self._hear(seen, source.followers, state)

    @staticmethod
    def _hear(seen: Observation, followers: dict[str, _Watched], state: FollowerState) -> None:
        watched = followers.get(state.follower)
        heard_s = seen.heard_s.get(state.follower)
        if watched is None:
            followers[state.follower] = _Watched(state, seen.at - (heard_s or 0.0))
        elif heard_s is not None or state != watched.state:
            watched.state, watched.made_at = state, seen.at - (heard_s or 0.0)

    @staticmethod
    def _follower(seen: Observation, watched: _Watched, heard_s: float) -> FollowerView:
        state, samples = watched.state, watched.samples
        stages = follower_stages(seen, state)
        total = stages["total"] or NOTHING
        samples.add(Sample.of(seen.at, heard_s, state, total))
        way = trend(samples.taken)
        epoch = seen.log.epoch if seen.log is not None else 0
        verdict = judge(samples, state, way, stages, heard_s=heard_s, log_epoch=epoch)
        beyond_s = max(0.0, total.seconds - state.delay_s)
        over = 0 < state.budget_s < beyond_s
        cause = likely(seen, state, stages, heard_s) if _worth_a_word(verdict, total.seconds, over) else None
        return _follower_view(state, verdict, way, stages, heard_s, over, cause.sentence if cause is not None else "")


def _dated(seen: Observation, source: _Source) -> Observation:
    """Rule 1."""
    if seen.facts is not None or source.clock is None:
        return seen
    at, now_us = source.clock
    return replace(seen, at_us=now_us + round((seen.at - at) * 1e6))


def _worth_a_word(verdict: Verdict, total_s: float, over_budget: bool) -> bool:
    return over_budget or verdict.status in TROUBLE or verdict.status == "CATCHING_UP" or total_s > FLOOR_S


def _source_view(seen: Observation, source: _Source) -> SourceView:
    facts, log = seen.facts, seen.log
    return SourceView(
        name=seen.source,
        wal_lsn=facts.wal_lsn if facts is not None else None,
        slot=facts.slot if facts is not None else None,
        frontier_lsn=log.end_lsn if log is not None else None,
        frontier_sequence=log.sequence if log is not None else None,
        frontier_commit_us=log.commit_ts_us if log is not None else None,
        capture=seen.capture,
        follower_process=seen.follower_process,
        safe_wal_bytes=facts.safe_wal_bytes if facts is not None else None,
        lag=source_stages(seen),
        bytes_per_s=growth_per_s(source.wal),
    )


def _follower_view(
    state: FollowerState,
    verdict: Verdict,
    way: Trend,
    stages: Mapping[str, StageLag | None],
    heard_s: float,
    over_budget: bool,
    cause: str,
) -> FollowerView:
    silent = state.state != "stopped" and heard_s > silent_after_s(state.every_s)
    return FollowerView(
        name=state.follower,
        source=state.source,
        state="unknown" if silent else state.state,
        status=verdict.status,
        rule=verdict.rule,
        reason=verdict.reason,
        stage=verdict.stage,
        likely=cause,
        said=state.said,
        lag=dict(stages),
        slope=way.slope,
        rows_per_s=way.rows_per_s,
        bytes_per_s=way.bytes_per_s,
        catch_up_s=way.catch_up_s,
        catch_up_sure=way.sure,
        visible=state.visible,
        end_lsn=state.end_lsn,
        commit_ts_us=state.commit_ts_us,
        term=state.term,
        transactions=state.transactions,
        rows=state.rows,
        delay_s=state.delay_s,
        budget_s=state.budget_s,
        over_budget=over_budget,
        skew_s=state.skew_us / 1e6 if state.skew_us is not None else None,
        heard_s=heard_s,
        every_s=state.every_s,
        waiting_transactions=state.waiting_transactions,
        staged_rows=state.staged_rows,
        spilled_bytes=state.spilled_bytes,
        copied=state.copied,
        copying=state.copying,
        address=state.address,
    )


def _point(at_us: int, view: FollowerView) -> Point:
    return Point(
        at_us=at_us,
        follower=view.name,
        source=view.source,
        seconds={stage: lag.seconds for stage, lag in view.lag.items() if lag is not None},
        rows_per_s=view.rows_per_s or 0.0,
    )
