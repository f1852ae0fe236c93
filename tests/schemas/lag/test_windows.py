"""Percentiles over the last minute, hour and day are those of exact lists, to two digits, in bounded memory."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto_schemas.lag.windows import SLICE_S, WINDOWS, Windows
from tests.schemas.lag.looks import patient

LENGTH_S = {window: slice_s * slices for window, (slice_s, slices) in WINDOWS.items()}


class Clock:
    """A clock that stands until it is told."""

    def __init__(self, now: float = 12_345.6) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def exact(times: list[float], percentile: int) -> float:
    """By the histogram's definition of rank, over a sorted list."""
    rank = max(1, int(percentile * len(times) / 100 + 0.5))
    return sorted(times)[rank - 1]


def close(found: float, expected: float) -> bool:
    """Within two significant digits, or a microsecond where that is less."""
    return abs(found - expected) <= max(0.01 * expected, 2e-6)


records = st.lists(
    st.tuples(
        st.floats(0.0, 4000.0) | st.floats(0.0, 40.0),
        st.floats(1e-6, 3600.0) | st.floats(0.001, 0.05),
        st.integers(1, 20),
    ),
    min_size=1,
    max_size=60,
)


@patient
@given(records, st.floats(0.0, 1e6))
def test_quantiles_are_those_of_exact_lists_over_the_slices_of_each_window(
    steps: list[tuple[float, float, int]], begin: float
) -> None:
    clock, said = Clock(begin), []
    windows = Windows(clock)
    for pause_s, seconds, count in steps:
        clock.now += pause_s
        windows.record(seconds, count)
        said.append((clock.now, seconds, count))
    found = windows.quantiles()
    for window, (slice_s, slices) in WINDOWS.items():
        oldest = int(clock.now // slice_s) - slices
        if window == "minute":
            inside = [said_ for said_ in said if int(said_[0] // slice_s) > oldest]
        else:  # a 10-second slice goes whole into the longer slice that it began in
            inside = [said_ for said_ in said if int((said_[0] // SLICE_S * SLICE_S) // slice_s) > oldest]
        times = [seconds for _, seconds, count in inside for _ in range(count)]
        assert found[window].count == len(times)
        assert close(found[window].p50, exact(times, 50))
        assert close(found[window].p95, exact(times, 95))
        assert close(found[window].p99, exact(times, 99))
        assert close(found[window].max, max(times))


def test_a_window_without_a_transaction_is_left_out() -> None:
    clock = Clock()
    windows = Windows(clock)
    assert windows.quantiles() == {}
    windows.record(0.02)
    assert set(windows.quantiles()) == {"minute", "hour", "day"}
    clock.now += LENGTH_S["minute"] + SLICE_S
    assert set(windows.quantiles()) == {"hour", "day"}
    clock.now += LENGTH_S["hour"]
    assert set(windows.quantiles()) == {"day"}
    clock.now += LENGTH_S["day"]
    assert windows.quantiles() == {}


@pytest.mark.parametrize("window", ["minute", "hour", "day"])
def test_a_time_is_in_a_window_for_its_length_less_one_slice_at_least(window: str) -> None:
    slice_s, slices = WINDOWS[window]
    for offset_s in (0.0, slice_s / 2, slice_s - 0.5):
        clock = Clock(100 * 86_400 + offset_s)
        windows = Windows(clock)
        windows.record(0.02)
        clock.now += slice_s * (slices - 1) - 0.01
        assert window in windows.quantiles()
        clock.now += slice_s + 0.02 + SLICE_S
        assert window not in windows.quantiles()


def test_what_is_asked_is_counted_once_however_often_it_is_asked() -> None:
    clock = Clock()
    windows = Windows(clock)
    for second in range(300):
        clock.now += 1.0
        if second % 25 < 5:
            windows.record(0.01, 2)
        windows.quantiles()
    assert {window: quantiles.count for window, quantiles in windows.quantiles().items()} == {
        "minute": 20,
        "hour": 120,
        "day": 120,
    }


def test_what_is_out_of_range_counts_as_the_nearest_that_is_in_it() -> None:
    windows = Windows(Clock())
    windows.record(-5.0)
    assert windows.quantiles()["minute"].max == 0.0
    for seconds in (1e9, math.inf):
        windows.record(seconds)
    found = windows.quantiles()["minute"]
    assert (found.count, found.p99, found.max) == (3, 86_400.0, 86_400.0)
    windows.record(1.0, 0)
    assert windows.quantiles()["minute"].count == 3


def test_memory_does_not_grow_beyond_a_histogram_a_slice() -> None:
    clock = Clock()
    windows = Windows(clock)
    for _ in range(4000):
        clock.now += 45.0
        windows.record(0.02)
    held = [len(ring.slices) for ring in windows._rings.values()]
    assert all(count <= slices for count, (_, slices) in zip(held, WINDOWS.values(), strict=True))
    assert windows.quantiles()["day"].count == pytest.approx(86_400 / 45, rel=0.03)
