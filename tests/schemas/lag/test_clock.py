"""When a place of the WAL was passed."""

from __future__ import annotations

from stretto_schemas.lag.clock import LsnClock


def test_nothing_is_beyond_the_newest_place() -> None:
    clock = LsnClock()
    assert clock.first_beyond(100) is None
    clock.note(100, 1.0)
    assert clock.first_beyond(100) is None
    assert clock.first_beyond(200) is None


def test_it_tells_when_something_beyond_the_place_was_first_seen() -> None:
    clock = LsnClock()
    for lsn, at in ((100, 1.0), (200, 2.0), (300, 3.0)):
        clock.note(lsn, at)
    assert clock.first_beyond(99) == 1.0
    assert clock.first_beyond(100) == 2.0
    assert clock.first_beyond(250) == 3.0
    assert clock.first_beyond(300) is None


def test_a_place_that_does_not_move_keeps_the_time_it_was_first_seen_at() -> None:
    clock = LsnClock()
    for at in (1.0, 2.0, 3.0):
        clock.note(100, at)
    clock.note(90, 4.0)
    assert clock.first_beyond(50) == 1.0


def test_of_more_samples_than_are_kept_the_oldest_stays_and_times_between_are_a_little_too_late() -> None:
    clock = LsnClock(samples=4)
    for lsn in range(1, 101):
        clock.note(lsn, float(lsn))
    assert clock.first_beyond(0) == 1.0
    first = clock.first_beyond(90)
    assert first is not None
    assert 91.0 <= first <= 110.0
    assert clock.first_beyond(99) == 100.0
