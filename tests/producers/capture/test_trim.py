from __future__ import annotations

from stretto_producers.capture.trim import trim_point
from stretto_schemas.frontier import Frontier, PartitionOffset


def full(sequence: int, **offsets: int) -> tuple[Frontier, int]:
    """A full frontier at offset 10 * sequence; `a=5`: rows before offset 5 of partition 0 of topic a came before it."""
    frontier = Frontier(
        source="s",
        epoch=1,
        system_id="1",
        timeline=1,
        commit_lsn=sequence,
        end_lsn=sequence,
        commit_ts_us=0,
        sequence=sequence,
        previous_offsets=[],
        offsets=[PartitionOffset(topic, 0, offset) for topic, offset in offsets.items()],
    )
    return frontier, 10 * sequence


STARTS = {("a", 0): 7, ("b", 0): 20}


def test_nothing_goes_while_rows_are_there() -> None:
    assert trim_point([full(1, a=8), full(2, a=9), full(3, a=10)], STARTS) is None


def test_one_partition_that_still_has_rows_holds_all() -> None:
    assert trim_point([full(1, a=7, b=21), full(2, a=7, b=22)], STARTS) is None


def test_the_last_but_one_whose_rows_are_gone_becomes_the_first() -> None:
    assert trim_point([full(1, a=3), full(2, a=5, b=20), full(3, a=7, b=20), full(4, a=8, b=20)], STARTS) == 20


def test_a_single_one_stays() -> None:
    assert trim_point([full(1, a=3), full(2, a=8)], STARTS) is None
    assert trim_point([], STARTS) is None


def test_frontiers_without_rows_go_by_their_age_alone() -> None:
    assert trim_point([full(1), full(2), full(3)], {}) == 20
