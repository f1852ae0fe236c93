"""Records that wait: first in, first out, whatever is in memory and what on disk."""

from __future__ import annotations

import resource
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto_consumers.follower.waiting import OVERHEAD, RUN_BYTES, Budget, PartitionQueue, Waiting
from stretto_schemas.errors import Unreachable


def record(offset: int, size: int = 10) -> Waiting:
    headers = [("h", b"1")] if offset % 3 == 0 else None
    return offset, b"key", None if offset % 5 == 4 else bytes(size), headers


def records(start: int, end: int) -> list[Waiting]:
    return [record(offset) for offset in range(start, end)]


def test_what_fits_stays_in_memory(tmp_path: Path) -> None:
    budget = Budget(1 << 20, tmp_path)
    queue = PartitionQueue(budget)
    queue.extend(records(0, 100))
    assert budget.spilled == 0
    assert budget.used >= 100 * OVERHEAD
    assert queue.take(100) == records(0, 100)
    assert budget.used == 0


def test_what_does_not_fit_goes_to_disk_and_comes_back_the_same(tmp_path: Path) -> None:
    budget = Budget(10 * OVERHEAD, tmp_path)
    queue = PartitionQueue(budget)
    for start in range(0, 100, 5):
        queue.extend(records(start, start + 5))
    assert budget.used <= budget.limit
    assert budget.spilled > 0
    assert len(queue) == 100
    assert queue.take(7) + queue.take(60) == records(0, 67)
    queue.extend(records(100, 120))
    assert queue.take(53) == records(67, 120)
    assert (budget.used, budget.spilled, len(queue)) == (0, 0, 0)


def test_two_partitions_share_the_memory(tmp_path: Path) -> None:
    budget = Budget(10 * OVERHEAD, tmp_path)
    one, two = PartitionQueue(budget), PartitionQueue(budget)
    one.extend(records(0, 9))
    two.extend(records(0, 9))
    assert budget.spilled > 0
    assert one.take(9) == two.take(9) == records(0, 9)


def test_a_void_is_dropped_from_memory_and_disk_and_when_it_comes_later(tmp_path: Path) -> None:
    for limit in (1 << 20, 4 * OVERHEAD):
        budget = Budget(limit, tmp_path)
        queue = PartitionQueue(budget)
        for start in (0, 2, 4, 6, 8):
            queue.extend(records(start, start + 2))
        queue.skip_void(15)
        assert len(queue) == 0
        queue.extend(records(10, 20))
        assert queue.take(5) == records(15, 20)
        assert (budget.used, budget.spilled) == (0, 0)


actions = st.lists(
    st.one_of(
        st.tuples(st.just("extend"), st.integers(1, 8)),
        st.tuples(st.just("take"), st.integers(1, 8)),
        st.tuples(st.just("void"), st.integers(0, 5)),
    ),
    max_size=40,
)


@given(actions, st.integers(0, 20))
def test_it_is_a_queue_whatever_the_memory(script: list[tuple[str, int]], rows_in_memory: int) -> None:
    budget = Budget(rows_in_memory * (OVERHEAD + 13), None)
    queue = PartitionQueue(budget)
    model: list[Waiting] = []
    offset = below = 0
    for action, number in script:
        if action == "extend":
            fresh = records(offset, offset + number)
            offset += number
            queue.extend(fresh)
            model += [row for row in fresh if row[0] >= below]
        elif action == "take":
            count = min(number, len(model))
            if count:
                assert queue.take(count) == model[:count]
                del model[:count]
        else:
            below = max(below, offset + number - 2)
            queue.skip_void(below)
            model = [row for row in model if row[0] >= below]
        assert len(queue) == len(model)
    if model:
        assert queue.take(len(model)) == model
    queue.close()
    assert budget.used == 0
    assert budget.spilled == 0


sizes = st.lists(st.lists(st.integers(0, 100_000), min_size=1, max_size=40), max_size=8)


@given(sizes, st.integers(0, 200), st.integers(0, 200), st.integers(1, 4_000_000))
def test_sizes_are_known_within_a_run(script: list[list[int]], taken: int, count: int, limit: int) -> None:
    queue = PartitionQueue(Budget(1 << 20, None))
    left: list[int] = []
    for run in script:
        start = len(left)
        queue.extend([(start + i, b"", bytes(size), None) for i, size in enumerate(run)])
        left += run
    taken = min(taken, len(left))
    if taken:
        queue.take(taken)
        del left[:taken]
    count = min(count, len(left))
    exact = sum(left[:count]) + OVERHEAD * count
    assert abs(queue.size(count) - exact) <= RUN_BYTES
    if count:
        fitting = queue.fitting(count, limit)
        assert 1 <= fitting <= count
        assert sum(left[:fitting]) + OVERHEAD * fitting <= limit + RUN_BYTES or fitting == 1
        if fitting < count:
            assert sum(left[: fitting + 1]) + OVERHEAD * (fitting + 1) >= limit - RUN_BYTES
    queue.close()


def test_a_folder_that_takes_no_records_is_named_and_waited_for(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    queue = PartitionQueue(Budget(0, missing))
    with pytest.raises(Unreachable, match=f"do not go to disk in {missing}"):
        queue.extend(records(0, 2))


def test_a_disk_that_is_full_is_waited_for(tmp_path: Path) -> None:
    queue = PartitionQueue(Budget(0, tmp_path))
    queue.extend(records(0, 2))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(Unreachable, match="File too large"):
            queue.extend([record(offset, 1000) for offset in range(2, 100)])
        queue.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_void_on_disk_is_passed_over_without_taking_it_into_memory(tmp_path: Path) -> None:
    budget = Budget(0, tmp_path)
    queue = PartitionQueue(budget)
    for start in range(0, 200, 10):
        queue.extend([record(offset, 100_000) for offset in range(start, start + 10)])
    tracemalloc.start()
    queue.skip_void(190)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert queue.take(10) == [record(offset, 100_000) for offset in range(190, 200)]
    assert (len(queue), budget.spilled) == (0, 0)
