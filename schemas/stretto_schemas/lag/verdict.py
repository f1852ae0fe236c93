"""A follower's status, after Burrow's rules: what its lag and its place did over the last looks, not how large a number is.

The first rule that holds decides. Numbers are those of the code, of the verdict and of docs/lag.md.

1. STOPPED: it said that it ended.
2. STOPPED: nothing was heard of it for three times as long as its records are due, at least `SILENT_S`.
3. STOPPED: it is paused.
4. STALLED: its first copy is under way and, by its own records, nothing was added to it for `COPY_STALL_S` while tables are
   in copy, or while it waits for others: for the source's open transactions, or for a lock that somebody holds. Other
   phases (reading and making the schema, clearing an earlier copy, indexes) take what they take: nothing is added meanwhile.
5. CATCHING_UP: its first copy is under way.
6. REWOUND: its place went back while something waits and has not come up to where it was, or it is of an older epoch than
   the log.
7. OK: it is no more than `FLOOR_S` behind, beyond the delay that was asked for; what came since it last moved (a batch
   under way, for up to `STALL_S`) and since it was last heard of does not count.
8. STALLED: by its own records its place has been the same for `STALL_S`, and it was more than `FLOOR_S` behind all the while.
9. WARNING: the first look finds it behind.
10. WARNING: lag grows: by more than `STEADY`, or it was in no look less than in the one before and is more than `FLOOR_S`
   above the first.
11. CATCHING_UP: lag shrinks, by more than `STEADY`.
12. OK: lag neither grows nor shrinks. How much of it is too much is for `lag_budget_s` to say.

Burrow's order is: no lag, rewound, stopped, stalled, lag not decreasing. Other than there, a follower that stopped is told
before it is looked at, for it is its own word here; steady lag is none to warn of; and what is judged is seconds, which
grow also when nothing is written and a heartbeat is late. Source: LinkedIn Burrow, `calculatePartitionStatus` in
core/internal/evaluator/caching.go, and the page Consumer Lag Evaluation Rules of its wiki.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from stretto_schemas.follower_state import FollowerState
from stretto_schemas.lag.samples import FLOOR_S, Samples, silent_after_s
from stretto_schemas.lag.stages import MEANING, StageLag, holding
from stretto_schemas.lag.trend import STEADY, Trend
from stretto_schemas.lag.words import duration, number, size

STATUSES: Final = ("OK", "CATCHING_UP", "WARNING", "STALLED", "STOPPED", "REWOUND")
"""Mildest first."""

TROUBLE: Final = ("WARNING", "STALLED", "STOPPED", "REWOUND")

FIRST_LOOK: Final = 9
"""The rule that needs another look."""

STALL_S: Final = 5.0
"""A batch of the default size takes a second or two, one of a slow disk or of a large transaction a few more."""


COPY_STALL_S: Final = 30.0
"""Rows go over in parcels of 256 kB: a copy slower than 9 kB a second is as good as none."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A status, the number of the rule that gave it, and a sentence with figures."""

    status: str
    rule: int
    reason: str
    stage: str = ""
    """The stage that holds most of the lag."""


def judge(
    samples: Samples,
    state: FollowerState,
    trend: Trend,
    stages: Mapping[str, StageLag | None],
    *,
    heard_s: float,
    log_epoch: int = 0,
) -> Verdict:
    """Apply the rules to the looks at one follower, of which `state`, `trend` and `stages` are the newest.

    `heard_s` is how long ago it was last heard of; `log_epoch` that of the log's newest frontier, 0 when unknown.
    """
    lag = _Lag(samples, stages)
    return (
        _stopped(lag, state, heard_s)
        or _copying(state, trend, stages)
        or _rewound(lag, state, log_epoch)
        or _ok(lag)
        or _stalled(lag)
        or _moving(lag, trend)
    )


def allowed_s(samples: Samples) -> float:
    """Rule 7: so much lag beyond the delay is none worth a word."""
    newest = samples.newest
    batch_s = min(STALL_S, max(0.0, newest.made_at - samples.moved_at))
    return FLOOR_S + batch_s + newest.at - newest.made_at


@dataclass(frozen=True, slots=True)
class _Lag:
    samples: Samples
    stages: Mapping[str, StageLag | None]

    @property
    def stage(self) -> str:
        return holding(self.stages)

    def __str__(self) -> str:
        """How much, and where: `12.3 s behind (4.2 MB of WAL), most of it in apply (read, not committed)`."""
        newest = self.samples.newest
        if newest.total_s <= 0:
            return "nothing waits"
        said = f"{duration(newest.total_s)} behind"
        if newest.delay_s > 0 and newest.beyond_s > 0:
            said += f", {duration(newest.beyond_s)} more than its delay of {duration(newest.delay_s)}"
        total = self.stages.get("total")
        waits = [size(newest.bytes) + " of WAL"] if newest.bytes else []
        waits += [number(total.records, "record")] if total is not None and total.records else []
        said += f" ({', '.join(waits)})" if waits else ""
        return said + (f", most of it in {self.stage} ({MEANING[self.stage]})" if self.stage else "")

    @property
    def lasting(self) -> str:
        """How long it has been behind, in words."""
        since, now = self.samples.behind_since, self.samples.newest.at
        return f"for {duration(now - since)} " if since is not None and now > since else ""

    def verdict(self, status: str, rule: int, reason: str) -> Verdict:
        return Verdict(status, rule, reason, self.stage)


def _stopped(lag: _Lag, state: FollowerState, heard_s: float) -> Verdict | None:
    """Rules 1 to 3."""
    if state.state == "stopped":
        said = f": {state.said}" if state.said else ""
        return lag.verdict("STOPPED", 1, f"it ended {duration(heard_s)} ago{said}; {lag}")
    if heard_s > silent_after_s(state.every_s):
        return lag.verdict("STOPPED", 2, f"nothing was heard of it for {duration(heard_s)}; by what is known {lag}")
    if state.state == "paused":
        said = f": {state.said}" if state.said else ""
        return lag.verdict("STOPPED", 3, f"it is paused{said}; {lag}")
    return None


def copy_stands_s(state: FollowerState) -> float:
    """Rule 4: for so long nothing was added to its first copy; 0 when it goes on, or nobody can tell."""
    if state.state != "copying" or not state.added_us:
        return 0.0
    stands_s = max(0, state.published_us - state.added_us) / 1e6
    return stands_s if stands_s >= COPY_STALL_S and (state.copying or state.waits or state.blocked_by) else 0.0


def _copying(state: FollowerState, trend: Trend, stages: Mapping[str, StageLag | None]) -> Verdict | None:
    """Rules 4 and 5."""
    if state.state != "copying":
        return None
    done = f"{100 * state.copied:.0f} % of its first copy done" if state.copied is not None else "its first copy began"
    doing = f"; {state.said}" if state.said else ""
    if state.copying:
        doing = f"; {number(len(state.copying), 'table')} in copy, {state.copying[0].table} the largest"
    stands_s = copy_stands_s(state)
    if stands_s:
        blocked = f"; a lock on the follower is held by {state.blocked_by}" if state.blocked_by else ""
        return Verdict(
            "STALLED", 4, f"{done}, and nothing was added for {duration(stands_s)}{doing}{blocked}", holding(stages)
        )
    if trend.catch_up_s is not None:
        done += f", about {duration(trend.catch_up_s)} left"
    return Verdict("CATCHING_UP", 5, done + doing, holding(stages))


def _rewound(lag: _Lag, state: FollowerState, log_epoch: int) -> Verdict | None:
    """Rule 6."""
    newest, highest = lag.samples.newest, lag.samples.highest
    if state.epoch < log_epoch:
        return lag.verdict("REWOUND", 6, f"it follows an older log, of epoch {state.epoch}; today's has {log_epoch}")
    if not lag.samples.rewound or newest.total_s <= 0:
        return None
    if newest.epoch < highest[0]:
        went = f"went back to an older log, from epoch {highest[0]} to {newest.epoch}"
    else:
        went = f"went back, by {size(highest[1] - newest.end_lsn)} of WAL"
    return lag.verdict("REWOUND", 6, f"its position {went}; {lag}")


def _ok(lag: _Lag) -> Verdict | None:
    """Rule 7."""
    newest = lag.samples.newest
    if newest.beyond_s > allowed_s(lag.samples):
        return None
    if newest.total_s > 0 and newest.delay_s > 0 and newest.beyond_s <= FLOOR_S:
        return lag.verdict("OK", 7, f"{duration(newest.total_s)} behind, of a delay of {duration(newest.delay_s)}")
    return lag.verdict("OK", 7, str(lag))


def _stalled(lag: _Lag) -> Verdict | None:
    """Rule 8."""
    stuck_s = lag.samples.stuck_s
    if stuck_s < STALL_S:
        return None
    return lag.verdict(
        "STALLED", 8, f"its position has not moved for {duration(stuck_s)} although something waits; {lag}"
    )


def _moving(lag: _Lag, trend: Trend) -> Verdict:
    """Rules 9 to 12."""
    taken = lag.samples.taken
    if trend.slope is None:
        return lag.verdict("WARNING", FIRST_LOOK, f"{lag}; which way it goes the next looks will tell")
    never_less = all(after.beyond_s >= before.beyond_s for before, after in pairwise(taken))
    gained_s = taken[-1].beyond_s - taken[0].beyond_s
    if trend.slope > STEADY or (never_less and gained_s > FLOOR_S):
        over_s = taken[-1].at - taken[0].at
        grows = f"lag grows {lag.lasting}by {max(trend.slope, gained_s / over_s):.2f} s a second"
        return lag.verdict("WARNING", 10, f"{grows}; {lag}")
    if trend.slope < -STEADY:
        left = f", about {duration(trend.catch_up_s)} left" if trend.catch_up_s is not None else ""
        return lag.verdict("CATCHING_UP", 11, f"lag shrinks by {-trend.slope:.2f} s a second{left}; {lag}")
    return lag.verdict("OK", 12, f"lag is steady; {lag}")
