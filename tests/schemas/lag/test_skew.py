"""How far clocks are apart, from exchanges and from messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stretto_schemas.lag.skew import EXCHANGES, ClockOffset, OneWayOffset

offsets_us = st.integers(-(10**13), 10**13)
trips_us = st.lists(st.tuples(st.integers(0, 50_000), st.integers(0, 50_000)), min_size=1, max_size=100)


@given(offset_us=offsets_us, trips=trips_us)
def test_an_offset_is_wrong_by_no_more_than_half_the_quickest_of_the_last_exchanges(
    offset_us: int, trips: list[tuple[int, int]]
) -> None:
    clock, now_us = ClockOffset(), 0
    for there_us, back_us in trips:
        clock.exchange(now_us, now_us + there_us + offset_us, now_us + there_us + back_us)
        now_us += 1_000_000
    quickest_us = min(there + back for there, back in trips[-EXCHANGES:])
    assert clock.us is not None
    assert abs(clock.us - offset_us) <= quickest_us // 2 + 1
    assert clock.least_us is not None
    assert offset_us - quickest_us - 2 <= clock.least_us <= offset_us


@given(
    offset_us=offsets_us,
    set_by_us=st.one_of(st.integers(10**6, 10**13), st.integers(-(10**13), -(10**6))),
    trips=trips_us,
)
def test_a_clock_that_was_set_is_believed_at_the_next_exchange(
    offset_us: int, set_by_us: int, trips: list[tuple[int, int]]
) -> None:
    clock, now_us = ClockOffset(), 0
    for there_us, back_us in trips:
        clock.exchange(now_us, now_us + there_us + offset_us, now_us + there_us + back_us)
        now_us += 1_000_000
    clock.exchange(now_us, now_us + 25_000 + offset_us + set_by_us, now_us + 50_000)
    assert clock.us is not None
    assert abs(clock.us - offset_us - set_by_us) <= 25_000


@given(offset_us=offsets_us, ways_us=st.lists(st.integers(0, 10**9), min_size=1, max_size=100))
def test_of_messages_one_way_the_quickest_counts(offset_us: int, ways_us: list[int]) -> None:
    clock, now_us = OneWayOffset(), 0
    for way_us in ways_us:
        clock.message(now_us + offset_us, now_us + way_us)
        now_us += 1_000_000
    assert clock.us == offset_us - min(ways_us[-EXCHANGES:])
