"""The last day's lag for charts: bounded, peaks kept, and dated right when the observer's clock was set."""

from __future__ import annotations

import sys

import pytest

from stretto_consumers.lag.history import COARSE_EVERY_S, COARSE_S, FINE_S, History
from stretto_schemas.lag.view import Point, decode_points, encode_points

BEGIN_US = 1_764_000_000_000_000


def point(at_us: int, total_s: float, follower: str = "reports", **more: float) -> Point:
    return Point(at_us, follower, "shop", {"wal": 0.0, "total": total_s} | more, rows_per_s=10.0)


def filled(seconds: int, every_s: float = 1.0, peak_at: float = -1.0) -> History:
    history = History()
    for index in range(round(seconds / every_s)):
        at = index * every_s
        at_us = BEGIN_US + round(at * 1e6)
        history.add(500.0 + at, at_us, [point(at_us, 99.0 if at == peak_at else 1.0)])
    return history


def test_what_was_added_is_answered_since_a_time_oldest_first() -> None:
    history = filled(10)
    answered = history.since(BEGIN_US + 7_000_000)
    assert answered == [point(BEGIN_US + second * 1_000_000, 1.0) for second in (7, 8, 9)]
    assert decode_points(encode_points(answered)) == answered
    assert history.since(BEGIN_US + 60_000_000) == []
    assert len(history.since(0)) == 10


def test_a_stage_that_nobody_could_tell_is_not_answered() -> None:
    history = History()
    history.add(1.0, BEGIN_US, [point(BEGIN_US, 3.0, log=2.0), Point(BEGIN_US, "other", "shop", {"apply": 1.0})])
    assert [answered.seconds for answered in history.since(0)] == [
        {"wal": 0.0, "log": 2.0, "total": 3.0},
        {"apply": 1.0},
    ]


def test_an_hour_is_kept_look_by_look_and_a_day_by_half_minutes_with_its_peaks() -> None:
    history = filled(round(COARSE_S) + 40_000, every_s=5.0, peak_at=60_005.0)
    end_us = BEGIN_US + round((COARSE_S + 40_000) * 1e6)
    points = history.since(0)
    fine = [each for each in points if each.at_us > end_us - FINE_S * 1e6]
    coarse = [each for each in points if each.at_us <= end_us - FINE_S * 1e6]
    assert len(fine) == pytest.approx(FINE_S / 5, abs=2)
    assert coarse[1].at_us - coarse[0].at_us == COARSE_EVERY_S * 1e6
    assert coarse[0].at_us <= end_us - (COARSE_S - COARSE_EVERY_S) * 1e6
    assert max(each.seconds["total"] for each in coarse) == 99.0
    assert points == sorted(points, key=lambda each: each.at_us)
    assert len({each.at_us for each in points}) == len(points)


def test_looks_that_come_faster_than_one_a_second_take_no_more_room() -> None:
    assert len(filled(60, every_s=0.1, peak_at=30.3).since(0)) <= 67
    assert max(each.seconds["total"] for each in filled(60, every_s=0.1, peak_at=30.3).since(0)) == 99.0


def test_more_points_than_wanted_are_thinned_and_the_peak_stays() -> None:
    points = filled(3000, peak_at=1234.0).since(0, most=100)
    assert len(points) <= 100
    assert max(each.seconds["total"] for each in points) == 99.0


@pytest.mark.parametrize("step_us", [-3_600_000_000, 3_600_000_000])
def test_when_the_wall_clock_is_set_what_was_before_is_dated_anew(step_us: int) -> None:
    history = filled(10)
    at_us = BEGIN_US + 10_000_000 + step_us
    history.add(510.0, at_us, [point(at_us, 1.0)])
    assert [each.at_us for each in history.since(at_us - 3_000_000)] == [
        at_us - second * 1_000_000 for second in (3, 2, 1, 0)
    ]


def test_a_follower_without_points_for_a_day_is_forgotten() -> None:
    history = History()
    history.add(0.0, BEGIN_US, [point(BEGIN_US, 1.0, follower="gone")])
    history.add(COARSE_S + 1, BEGIN_US, [point(BEGIN_US, 1.0)])
    assert {each.follower for each in history.since(0)} == {"reports"}


def test_a_follower_over_a_day_at_a_look_a_second_takes_a_quarter_of_a_megabyte() -> None:
    history = filled(round(COARSE_S) + 20_000)
    held = [array for pair in history._series.values() for series in pair for array in (series._at, series._values)]
    assert sum(sys.getsizeof(array) for array in held) < 256 * 1024


def test_one_followers_points_can_be_asked_for_alone() -> None:
    history = History()
    for second in range(10):
        at_us = second * 1_000_000
        history.add(
            float(second), at_us, [Point(at_us, name, "leader", {"total": float(second)}) for name in ("one", "other")]
        )
    found = history.since(0, most=5, only=("one", "leader"))
    assert [point.seconds["total"] for point in found] == [1.0, 3.0, 5.0, 7.0, 9.0]
    assert {point.follower for point in found} == {"one"}
    assert history.since(0, only=("nobody", "leader")) == []
