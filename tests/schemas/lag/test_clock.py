"""How old what waits is, when only places of the WAL are known."""

from __future__ import annotations

from stretto_schemas.lag.clock import LsnClock


def test_nothing_beyond_a_place_has_no_age() -> None:
    clock = LsnClock()
    assert clock.age(100, 5.0) == 0.0
    clock.note(100, 1.0)
    assert clock.age(100, 5.0) == 0.0
    assert clock.age(200, 5.0) == 0.0


def test_the_age_counts_from_when_something_beyond_the_place_was_first_seen() -> None:
    clock = LsnClock()
    for lsn, at in ((100, 1.0), (200, 2.0), (300, 3.0)):
        clock.note(lsn, at)
    assert clock.age(99, 10.0) == 9.0
    assert clock.age(100, 10.0) == 8.0
    assert clock.age(250, 10.0) == 7.0
    assert clock.age(300, 10.0) == 0.0


def test_a_place_that_does_not_move_keeps_the_time_it_was_first_seen_at() -> None:
    clock = LsnClock()
    for at in (1.0, 2.0, 3.0):
        clock.note(100, at)
    clock.note(90, 4.0)
    assert clock.age(50, 10.0) == 9.0


def test_of_more_samples_than_are_kept_the_oldest_stays_and_ages_between_are_a_little_too_small() -> None:
    clock = LsnClock(samples=4)
    for lsn in range(1, 101):
        clock.note(lsn, float(lsn))
    assert clock.age(0, 200.0) == 199.0
    assert 90.0 <= clock.age(90, 200.0) <= 109.0
    assert clock.age(99, 200.0) == 100.0
