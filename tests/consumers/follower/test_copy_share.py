"""How much of a first copy is done."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from stretto_consumers.follower.add_progress import PlannedTable
from stretto_consumers.follower.copy_share import NEARLY, CopyShare
from stretto_schemas.follower_state import MOST_TABLES


def test_tables_count_by_their_size() -> None:
    share = CopyShare()
    assert share.share == 0.0
    share.planned([PlannedTable("small", 100, 10), PlannedTable("large", 900, 10)])
    share.copied("large", 5)
    assert share.share == 0.45
    share.finished("small", 10)
    assert round(share.share, 6) == 0.55
    assert [(each.table, each.rows, each.expected) for each in share.waiting] == [("large", 5, 10)]


def test_a_table_of_unknown_size_is_done_when_it_is_finished() -> None:
    share = CopyShare()
    share.planned([PlannedTable("never analyzed", 100, -1), PlannedTable("empty", 0, 0)])
    share.copied("never analyzed", 1000)
    assert share.share == 0.0
    assert share.waiting[0].expected == 0
    share.finished("never analyzed", 1000)
    share.finished("empty", 0)
    assert share.share == NEARLY, "the rows are there, the indexes are not"


def test_a_record_lists_the_largest_tables_only() -> None:
    share = CopyShare()
    share.planned([PlannedTable(f"t{size}", size, 1) for size in range(100)])
    assert [each.table for each in share.waiting] == [f"t{size}" for size in range(99, 99 - MOST_TABLES, -1)]


tables = st.lists(st.tuples(st.integers(0, 1000), st.integers(-1, 50)), min_size=1, max_size=5)


@given(tables, st.lists(st.tuples(st.integers(0, 4), st.integers(0, 40), st.booleans()), max_size=30))
def test_it_never_goes_back_whatever_the_estimates_were(
    sizes: list[tuple[int, int]], events: list[tuple[int, int, bool]]
) -> None:
    share, last = CopyShare(), 0.0
    share.planned([PlannedTable(f"t{n}", size, rows) for n, (size, rows) in enumerate(sizes)])
    for table, rows, ends in events:
        name = f"t{table % len(sizes)}"
        if ends:
            share.finished(name, rows)
        else:
            share.copied(name, rows)
        assert last <= share.share <= NEARLY
        last = share.share
