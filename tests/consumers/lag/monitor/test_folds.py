"""Windows: whatever comes twice counts once, and nothing that came once is lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stretto_consumers.lag.monitor.folds import FlowWindow, LagWindow, Mark, fold_flow, fold_lag, frontier_mark
from stretto_schemas.frontier import Frontier, Transaction
from stretto_schemas.lag.view import Point

Written = list[tuple[int, int]]
"""Of each record in order: rows, and whether the process dies before it notes that it has read it."""

records = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), min_size=1, max_size=30)


def frontier(number: int, rows: int, epoch: int = 1) -> Frontier:
    transactions = [Transaction(number, number, 10 * number, 1, [0, rows])] if rows else []
    return Frontier("leader", epoch, "system", 1, number, 10 * number, 1, number, [("t", 0)], [rows], transactions)


@given(records)
def test_frontiers_that_come_again_after_a_crash_count_once(written: Written) -> None:
    mark: Mark | None = None
    window: FlowWindow | None = None
    for number, (_, back) in enumerate(written):
        for again in range(max(0, number - back), number + 1):
            previous, mark = mark, frontier_mark(mark, frontier(again, written[again][0]), again, 1)
            window = fold_flow(window, mark, previous)
    assert window is not None
    rows = [rows for rows, _ in written[1:]]
    assert (window.rows, window.transactions) == (sum(rows), sum(map(bool, rows)))
    assert window.wal_bytes == 10 * (len(written) - 1)


@given(records, st.integers(1, 29))
def test_a_new_window_begins_where_the_one_before_ends(written: Written, cut: int) -> None:
    windows: list[FlowWindow | None] = [None, None]
    mark: Mark | None = None
    for number, (rows, _) in enumerate(written):
        previous, mark = mark, frontier_mark(mark, frontier(number, rows), number, 1)
        late = int(number >= cut)
        windows[late] = fold_flow(windows[late], mark, previous)
    assert sum(window.rows for window in windows if window is not None) == sum(rows for rows, _ in written[1:])


def test_a_new_epoch_counts_on_although_its_offsets_begin_again() -> None:
    old = frontier_mark(None, frontier(900, 5), 900, 1)
    new = frontier_mark(old, frontier(1, 3, epoch=2), 0, 1)
    assert (new.rows, new.epoch) == (8, 2)
    window = fold_flow(fold_flow(None, old, None), new, old)
    next_ = frontier_mark(new, frontier(2, 4, epoch=2), 1, 1)
    assert fold_flow(window, next_, new).rows == 4


@given(st.lists(st.lists(st.floats(0, 1e6), min_size=1, max_size=5), min_size=1, max_size=10), st.integers(0, 9))
def test_looks_are_summed_up_once(told: list[list[float]], again: int) -> None:
    window: LagWindow | None = None
    offsets = [*range(len(told)), *range(min(again, len(told)))]
    for offset in offsets:
        looks = [Point(1, "near", "leader", {"total": seconds}) for seconds in told[offset]]
        window = fold_lag(window, looks, offset)
    assert window is not None
    values = [seconds for looks in told for seconds in looks]
    assert window.looks == len(values)
    assert window.max["total"] == max(values)
    assert window.last["total"] == values[-1]
    assert abs(window.mean()["total"] - sum(values) / len(values)) <= 1e-6 * max(values) + 1e-9
