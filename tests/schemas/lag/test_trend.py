"""The way lag goes: right for noise, bursts, jumps and restarts, and honest about what it does not know."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto_schemas.lag.samples import LEAST, MOST, WINDOW_S, Samples
from stretto_schemas.lag.trend import STEADY, UNKNOWN, growth_per_s, theil_sen, trend
from tests.schemas.lag.looks import patient, sample, taken


def line(begin: float, slope: float, seconds: int = 31, **more: Any) -> Samples:
    return taken(sample(float(t), max(0.0, begin + slope * t), **more) for t in range(seconds))


def test_nothing_is_known_before_the_first_look_and_no_slope_after_one() -> None:
    assert trend([]) == UNKNOWN
    once = trend(line(5.0, 0.0, seconds=1).taken)
    assert (once.slope, once.rows_per_s, once.bytes_per_s, once.catch_up_s) == (None, None, None, None)


def test_idle_has_no_slope_and_nothing_to_catch_up_with() -> None:
    idle = trend(taken(sample(float(t), 0.0, end_lsn=7, rows=7) for t in range(31)).taken)
    assert (idle.slope, idle.rows_per_s, idle.bytes_per_s) == (0.0, 0.0, 0.0)
    assert (idle.catch_up_s, idle.sure) == (0.0, 1.0)


def test_growing_lag_is_never_caught_up_with() -> None:
    growing = trend(line(0.0, 0.5).taken)
    assert growing.slope == pytest.approx(0.5)
    assert (growing.catch_up_s, growing.sure) == (None, 0.0)


def test_steady_lag_is_never_caught_up_with() -> None:
    steady = trend(line(20.0, 0.0).taken)
    assert (steady.slope, steady.catch_up_s) == (0.0, None)


def test_lag_that_hardly_shrinks_is_not_foretold_an_end() -> None:
    slowly = trend(line(20.0, -0.02).taken)
    assert slowly.slope == pytest.approx(-0.02)
    assert slowly.catch_up_s is None


def test_shrinking_lag_is_caught_up_with_when_what_waits_is_gone_at_this_pace() -> None:
    shrinking = trend(line(90.0, -2.0).taken)
    assert shrinking.slope == pytest.approx(-2.0)
    assert shrinking.catch_up_s == pytest.approx(30.0 / 2.0)
    assert shrinking.sure == pytest.approx(1.0)


def test_a_few_looks_are_less_sure_than_a_window_of_them() -> None:
    assert trend(line(90.0, -2.0, seconds=4).taken).sure == pytest.approx(3 / WINDOW_S)


def test_noise_makes_it_less_sure_and_hardly_turns_it() -> None:
    dice = random.Random(1)
    noisy = trend(taken(sample(float(t), 90 - 2 * t + dice.uniform(-3, 3)) for t in range(31)).taken)
    assert noisy.slope == pytest.approx(-2.0, abs=0.2)
    assert noisy.catch_up_s == pytest.approx(15.0, rel=0.25)
    assert 0.5 < noisy.sure < 1.0
    wild = trend(taken(sample(float(t), max(0.0, 60 - 0.1 * t + dice.uniform(-50, 50))) for t in range(31)).taken)
    assert wild.sure < 0.3


def test_the_saw_tooth_of_batches_is_steady() -> None:
    teeth = trend(taken(sample(float(t), 0.5 + (t % 3)) for t in range(40)).taken)
    assert teeth.slope is not None
    assert abs(teeth.slope) < STEADY


def test_one_batch_that_jumps_does_not_turn_a_trend() -> None:
    looks = [sample(float(t), 40.0 if t in (15, 16) else 10.0) for t in range(31)]
    assert trend(taken(looks).taken).slope == 0.0


def test_of_a_delayed_follower_what_is_beyond_its_delay_counts() -> None:
    as_wanted = trend(taken(sample(float(t), 60 - (t % 7), delay_s=60.0) for t in range(31)).taken)
    assert (as_wanted.slope, as_wanted.catch_up_s) == (0.0, 0.0)
    late = trend(taken(sample(float(t), 100 - t, delay_s=60.0) for t in range(31)).taken)
    assert late.slope == pytest.approx(-1.0)
    assert late.catch_up_s == pytest.approx(10.0)


def test_bytes_foretell_what_seconds_cannot_where_the_log_has_quiet_hours() -> None:
    """Equal bytes a look, but the first hour was dense and the second one quiet: seconds fall at first slowly, then fast."""
    looks = [
        sample(float(t), 7200 - (t if t < 20 else 20 + 300 * (t - 20)), bytes=90_000 - 2000 * t) for t in range(31)
    ]
    foretold = trend(taken(looks).taken)
    assert foretold.catch_up_s == pytest.approx(15.0)
    assert foretold.sure == pytest.approx(1.0)


def test_a_count_that_begins_anew_is_no_loss_and_a_place_that_went_back_no_gain() -> None:
    looks = [sample(float(t), 0.0, rows=[0, 100, 200, 50, 150][t], end_lsn=[0, 10, 20, 5, 15][t]) for t in range(5)]
    rates = trend(taken(looks).taken)
    assert rates.rows_per_s == pytest.approx((100 + 100 + 50 + 100) / 4)
    assert rates.bytes_per_s == pytest.approx((10 + 10 + 10) / 4)


def test_a_restart_leaves_a_hole_and_no_false_pace() -> None:
    """Heard of until 10 s, gone for 12 s while lag grows, then caught up within two looks."""
    looks = [sample(float(t), 0.1, rows=1000 * t) for t in range(10)]
    looks += [sample(float(t), t - 9.0, made_at=9.0, rows=9000, end_lsn=looks[-1].end_lsn) for t in range(10, 22)]
    looks += [sample(float(t), 0.1, rows=1000 * t) for t in range(22, 31)]
    back = trend(taken(looks).taken)
    assert back.catch_up_s == 0.0
    assert back.rows_per_s == pytest.approx(1000.0)


def test_a_first_copy_is_done_when_its_rest_is_at_its_pace() -> None:
    looks = [sample(float(t), 5.0 + t, state="copying", copied=0.01 * t) for t in range(31)]
    assert trend(taken(looks).taken).catch_up_s == pytest.approx(70.0)


def test_an_observer_that_was_away_begins_anew() -> None:
    samples = line(10.0, 0.0)
    samples.add(sample(5000.0, 50.0))
    assert len(samples.taken) == 1


def test_a_look_that_is_no_later_is_none() -> None:
    samples = line(10.0, 0.0)
    before = list(samples.taken)
    samples.add(sample(before[-1].at, 99.0))
    samples.add(sample(3.0, 99.0))
    assert list(samples.taken) == before


@patient
@given(every_s=st.floats(0.01, 100.0), looks=st.integers(1, 700))
def test_looks_are_bounded_in_time_and_number_but_never_fewer_than_ten(every_s: float, looks: int) -> None:
    samples = taken(sample(index * every_s, 1.0) for index in range(looks))
    assert min(looks, LEAST) <= len(samples.taken) <= MOST
    if len(samples.taken) > LEAST:
        assert samples.taken[-1].at - samples.taken[1].at <= WINDOW_S


@patient
@given(
    slope=st.floats(-5.0, 5.0),
    begin=st.floats(0.0, 1000.0),
    outliers=st.dictionaries(st.integers(0, 23), st.floats(-1e6, 1e6), max_size=5),
)
def test_a_fifth_of_the_looks_may_be_anything(slope: float, begin: float, outliers: dict[int, float]) -> None:
    """The slope stays within those that the other looks have, here one."""
    points = [(float(t), outliers.get(t, begin + slope * t)) for t in range(24)]
    found = theil_sen(points)
    assert found is not None
    assert found.median == pytest.approx(slope, abs=1e-6)


@patient
@given(st.lists(st.floats(0.0, 1e5), min_size=2, max_size=60), st.floats(0.0, 1e6))
def test_slope_and_pace_do_not_depend_on_when_it_was(lags: list[float], shift: float) -> None:
    early = trend([sample(float(t), lag, rows=t, end_lsn=t) for t, lag in enumerate(lags)])
    late = trend([sample(shift + t, lag, rows=t, end_lsn=t) for t, lag in enumerate(lags)])
    assert early.slope == pytest.approx(late.slope, rel=1e-6, abs=1e-6)
    assert early.rows_per_s == pytest.approx(late.rows_per_s)


@patient
@given(st.lists(st.floats(0.0, 1e5), min_size=1, max_size=60))
def test_catching_up_is_foretold_only_of_lag_that_shrinks_and_never_in_the_past(lags: list[float]) -> None:
    found = trend([sample(float(t), lag) for t, lag in enumerate(lags)])
    assert 0.0 <= found.sure <= 1.0
    if found.catch_up_s is None:
        assert found.sure == 0.0
    elif lags[-1] > 1.0:
        assert found.slope is not None
        assert found.slope < 0
        assert found.catch_up_s > 0


def test_a_rate_needs_two_points() -> None:
    assert growth_per_s([]) is None
    assert growth_per_s([(1.0, 5)]) is None
    assert growth_per_s([(1.0, 5), (3.0, 25), (5.0, 45)]) == 10.0
