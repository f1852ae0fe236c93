"""What the monitor's windows hold, and how a record is folded into one: pure, and right for records that come twice.

Kafka gives a record again when a process died between writing a table's change and noting how far it had read. So each
value knows the offset of the last record folded into it, and takes none at or before it. What is counted comes as a mark,
a running total: only the newest mark of a batch matters, and a window's count is the difference of two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import add

import msgspec

from stretto_schemas.follower_state import FollowerState
from stretto_schemas.frontier import Frontier
from stretto_schemas.lag.view import Point


class LagWindow(msgspec.Struct, frozen=True):
    """One follower's lag in one window, seconds by stage."""

    offset: int
    looks: int
    max: dict[str, float]
    sum: dict[str, float]
    """Of all looks; the mean is this by `looks`."""
    last: dict[str, float]

    def mean(self) -> dict[str, float]:
        """By stage."""
        return {stage: seconds / self.looks for stage, seconds in self.sum.items()}


class Mark(msgspec.Struct, frozen=True):
    """How much there was, counted from some beginning, when a record was written."""

    offset: int
    at_us: int
    """When its record was written, by the broker's clock."""
    epoch: int
    end_lsn: int
    rows: int
    transactions: int


class FlowWindow(msgspec.Struct, frozen=True):
    """What went through one place in one window."""

    mark: Mark
    """The newest in it."""
    rows: int
    transactions: int
    wal_bytes: int


def fold_lag(window: LagWindow | None, looks: Sequence[Point], offset: int) -> LagWindow | None:
    """The window with one follower's looks of one record more; the same when it has that record already."""
    if window is not None and offset <= window.offset:
        return window
    for look in looks:
        seconds = look.seconds
        if window is None:
            window = LagWindow(offset, 1, seconds, seconds, seconds)
        else:
            window = LagWindow(
                offset,
                window.looks + 1,
                _each(window.max, seconds, max),
                _each(window.sum, seconds, add),
                {**window.last, **seconds},
            )
    return window


def fold_flow(window: FlowWindow | None, mark: Mark, before: Mark | None) -> FlowWindow:
    """The window with everything up to `mark`. `before` is the newest mark before it: where a new window begins to count.

    None: nothing is known of what was before, as of a follower that was removed and made again.
    """
    if window is not None:
        if mark.epoch == window.mark.epoch and mark.offset <= window.mark.offset:
            return window
        if before is not None and (before.epoch != window.mark.epoch or before.offset < window.mark.offset):
            before = window.mark
    rows, transactions, wal_bytes = (
        (0, 0, 0) if window is None else (window.rows, window.transactions, window.wal_bytes)
    )
    if before is None or before.epoch != mark.epoch or before.offset >= mark.offset:
        return FlowWindow(mark, rows, transactions, wal_bytes)
    # A follower that was copied anew counts from 0 again: nothing went through.
    return FlowWindow(
        mark,
        rows + max(0, mark.rows - before.rows),
        transactions + max(0, mark.transactions - before.transactions),
        wal_bytes + max(0, mark.end_lsn - before.end_lsn),
    )


def frontier_mark(before: Mark | None, frontier: Frontier, offset: int, at_us: int) -> Mark:
    """The source's mark after one more frontier; the same when it is in already.

    A new epoch counts on: its topic may have been made anew, with offsets from 0.
    """
    if before is not None and frontier.epoch == before.epoch and offset <= before.offset:
        return before
    return Mark(
        offset,
        at_us,
        frontier.epoch,
        frontier.end_lsn,
        (before.rows if before is not None else 0) + sum(frontier.counts),
        (before.transactions if before is not None else 0) + len(frontier.transactions),
    )


def follower_mark(state: FollowerState, offset: int, at_us: int) -> Mark:
    """A follower's mark: its record counts by itself. Its process's own clock says nothing here."""
    return Mark(offset, at_us, state.epoch, state.end_lsn, state.rows, state.transactions)


def _each(
    old: Mapping[str, float], new: Mapping[str, float], fold: Callable[[float, float], float]
) -> dict[str, float]:
    return {**old, **{stage: fold(old.get(stage, 0.0), value) for stage, value in new.items()}}
