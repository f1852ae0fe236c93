"""A status says what lag and place did, by numbered rules, with a reason that has figures."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stretto_schemas.follower_state import FollowerState, TableCopy
from stretto_schemas.lag.samples import FLOOR_S, SILENT_S, WINDOW_S, Sample, Samples
from stretto_schemas.lag.trend import STEADY, trend
from stretto_schemas.lag.verdict import COPY_STALL_S, STALL_S, STATUSES, TROUBLE, Verdict, allowed_s, judge
from tests.schemas.lag.looks import EPOCH, judged, patient, sample, stages, state, taken


def at_rest(seconds: int = 31) -> list[Sample]:
    return [sample(float(t), 0.0, end_lsn=5000) for t in range(seconds)]


def stuck(seconds: int, at: float = 0.0) -> list[Sample]:
    return [sample(at + t, float(t), end_lsn=5000) for t in range(seconds)]


# --- 1 to 3: stopped --------------------------------------------------------------------------------------------------


def test_one_that_said_that_it_ended_is_stopped_however_long_ago() -> None:
    verdict = judged(taken(at_rest()), state(state="stopped"), heard_s=90_000.0)
    assert (verdict.status, verdict.rule) == ("STOPPED", 1)
    assert verdict.reason == "it ended 25.0 h ago; nothing waits"


@pytest.mark.parametrize(("every_s", "silent_s"), [(3.0, 10.0), (0.0, 10.0), (60.0, 180.0)])
def test_one_that_is_silent_for_three_records_time_is_stopped(every_s: float, silent_s: float) -> None:
    looks = taken(at_rest())
    assert judged(looks, state(every_s=every_s), heard_s=silent_s).status == "OK"
    verdict = judged(looks, state(every_s=every_s), heard_s=silent_s + 0.1)
    assert (verdict.status, verdict.rule) == ("STOPPED", 2)
    assert "nothing was heard of it for " in verdict.reason


def test_a_killed_follower_goes_from_ok_to_stopped_with_no_other_status_between() -> None:
    samples, seen = taken(at_rest()), []
    last = samples.newest
    for t in range(1, 15):
        samples.add(replace(last, at=last.at + t, made_at=last.at, total_s=float(t)))
        seen.append(judged(samples, state(), heard_s=float(t)).status)
    assert seen == ["OK"] * 10 + ["STOPPED"] * 4


def test_a_paused_one_is_stopped_and_says_so() -> None:
    looks = taken([*at_rest(10), *(sample(10.0 + t, float(t), end_lsn=5000, state="paused") for t in range(20))])
    verdict = judged(looks, state(state="paused", said="night load"))
    assert (verdict.status, verdict.rule) == ("STOPPED", 3)
    assert verdict.reason == (
        "it is paused: night load; 19 s behind (18.6 kB of WAL, 19 records), most of it in apply (read, not committed)"
    )


def test_one_that_is_resumed_is_not_stalled_by_the_time_it_was_paused() -> None:
    looks = [sample(float(t), float(t), end_lsn=5000, state="paused") for t in range(60)]
    looks.append(sample(60.0, 60.0, end_lsn=5000))
    assert judged(taken(looks)).status == "WARNING"


def test_one_that_comes_back_is_not_stalled_by_the_time_it_was_away() -> None:
    looks = [sample(float(t), float(t), made_at=0.0, end_lsn=5000) for t in range(60)]
    looks += [sample(60.0 + t, 60.0 + t, end_lsn=5000) for t in range(5)]
    assert judged(taken(looks)).status == "WARNING"


# --- 4, 5: first copy ----------------------------------------------------------------------------------------------------


def test_a_first_copy_is_catching_up_with_its_percentage_and_time_left() -> None:
    looks = taken(sample(float(t), 100.0 + t, state="copying", copied=0.4 + 0.01 * t) for t in range(11))
    copying = state(state="copying", copied=0.5, copying=[TableCopy("public.orders", 500, 1000)])
    verdict = judged(looks, copying)
    assert (verdict.status, verdict.rule) == ("CATCHING_UP", 5)
    assert verdict.reason == "50 % of its first copy done, about 50 s left; 1 table in copy, public.orders the largest"
    assert judged(looks, state(state="copying")).reason.startswith("its first copy began")
    making = judged(looks, state(state="copying", copied=0.99, said="Making indexes, keys and triggers"))
    assert making.reason == "99 % of its first copy done, about 50 s left; Making indexes, keys and triggers"


ORDERS = [TableCopy("public.orders", 500, 1000)]
SECOND_US = 1_000_000


def copying(stands_s: float, **more: object) -> FollowerState:
    """Half done, and nothing was added for so long."""
    now_us = 5_000 * SECOND_US
    fields = {
        "copied": 0.5,
        "copying": ORDERS,
        "published_us": now_us,
        "added_us": now_us - round(stands_s * SECOND_US),
    }
    return state(state="copying", **(fields | more))


def judged_copy(said: FollowerState, heard_s: float = 0.0) -> Verdict:
    return judged(taken([sample(0.0, 0.0, state="copying")]), said, heard_s=heard_s)


def test_a_first_copy_that_stands_still_is_stalled_and_says_at_what_since_when_and_who_holds_it_up() -> None:
    assert judged_copy(copying(COPY_STALL_S - 1)).rule == 5
    verdict = judged_copy(copying(42.0))
    assert (verdict.status, verdict.rule) == ("STALLED", 4)
    assert verdict.reason == (
        "50 % of its first copy done, and nothing was added for 42 s; 1 table in copy, public.orders the largest"
    )
    blocked = judged_copy(copying(42.0, blocked_by="pid 14267 (psql, idle in transaction, transaction open for 50 s)"))
    assert blocked.reason == (
        f"{verdict.reason}; a lock on the follower is held by pid 14267 (psql, idle in transaction, transaction open for 50 s)"
    )
    for_whom = "waiting for the source's open transactions to end (2 sessions writing)"
    waiting = judged_copy(copying(42.0, copied=0.0, copying=[], said=for_whom, waits=True))
    assert (waiting.status, waiting.rule) == ("STALLED", 4)
    assert waiting.reason == f"0 % of its first copy done, and nothing was added for 42 s; {for_whom}"


@pytest.mark.parametrize("copied", [0.0, None, 0.99])
@pytest.mark.parametrize("phase", ["Clearing the earlier copy", "Reading the source's schema", "Making the schema"])
def test_a_phase_that_works_without_rows_is_catching_up_however_long_it_takes(phase: str, copied: float | None) -> None:
    verdict = judged_copy(copying(7200.0, copied=copied, copying=[], said=phase))
    assert (verdict.status, verdict.rule) == ("CATCHING_UP", 5)
    assert verdict.reason.endswith(f"; {phase}")


def test_indexes_take_what_they_take_unless_a_lock_holds_them_up() -> None:
    indexes = copying(7200.0, copied=0.99, copying=[], said="Making indexes, keys and triggers")
    assert (judged_copy(indexes).status, judged_copy(indexes).rule) == ("CATCHING_UP", 5)
    held_up = judged_copy(msgspec.structs.replace(indexes, blocked_by="pid 9 (psql, active, transaction open for 9 s)"))
    assert (held_up.status, held_up.rule) == ("STALLED", 4)


def test_a_first_copy_that_does_not_tell_since_when_it_stands_or_whose_clock_was_set_back_is_not_stalled() -> None:
    assert judged_copy(copying(3600.0, added_us=0)).rule == 5
    assert judged_copy(copying(-3600.0)).rule == 5


def test_a_new_copy_of_an_older_place_is_no_rewind() -> None:
    looks = [
        sample(0.0, 0.0, end_lsn=9000),
        sample(1.0, 5.0, end_lsn=100, state="copying"),
        sample(2.0, 5.0, end_lsn=200),
    ]
    assert judged(taken(looks)).status != "REWOUND"


# --- 6: rewound -------------------------------------------------------------------------------------------------------


def test_a_place_that_went_back_is_rewound_until_it_is_passed_again() -> None:
    samples = taken([sample(0.0, 0.0, end_lsn=9000), sample(1.0, 30.0, end_lsn=9000 - 3 * 1024)])
    verdict = judged(samples)
    assert (verdict.status, verdict.rule) == ("REWOUND", 6)
    assert verdict.reason.startswith("its position went back, by 3.0 kB of WAL; 30 s behind")
    for t in range(100):
        samples.add(sample(2.0 + t, 30.0 - 0.2 * t, end_lsn=6000 + 20 * t))
        assert judged(samples).status == "REWOUND", "it has not shown again what it had shown"
    samples.add(sample(102.0, 10.0, end_lsn=9001))
    assert judged(samples).status == "CATCHING_UP"


def test_one_of_an_older_epoch_is_rewound() -> None:
    went_back = taken([sample(0.0, 0.0, epoch=EPOCH), sample(1.0, 30.0, epoch=EPOCH - 10, end_lsn=10**9)])
    assert judged(went_back).reason.startswith(
        f"its position went back to an older log, from epoch {EPOCH} to {EPOCH - 10}"
    )
    verdict = judged(taken(at_rest()), log_epoch=EPOCH + 1)
    assert (verdict.status, verdict.rule) == ("REWOUND", 6)
    assert verdict.reason == f"it follows an older log, of epoch {EPOCH}; today's has {EPOCH + 1}"


def test_a_new_epoch_may_begin_at_a_lower_place() -> None:
    assert judged(taken([sample(0.0, 0.0, end_lsn=9000), sample(1.0, 0.2, epoch=EPOCH + 1, end_lsn=10)])).status == "OK"


def test_an_older_record_after_a_newer_one_is_no_rewind() -> None:
    """The process answered at 10 s, then did not, and its record in the topic is of 7 s."""
    samples = taken([*at_rest(10), sample(10.0, 0.0, end_lsn=6000), sample(11.0, 0.5, end_lsn=5000, made_at=7.0)])
    assert judged(samples).status == "OK"
    assert samples.newest.end_lsn == 6000


# --- 7: ok ------------------------------------------------------------------------------------------------------------


def test_an_idle_pipeline_is_ok() -> None:
    verdict = judged(taken(at_rest()))
    assert (verdict.status, verdict.rule, verdict.reason) == ("OK", 7, "nothing waits")


def test_one_that_is_its_delay_behind_is_ok() -> None:
    looks = taken(sample(float(t), 60.2, delay_s=60.0, end_lsn=5000 + t // 20) for t in range(60))
    verdict = judged(looks)
    assert (verdict.status, verdict.rule, verdict.reason) == ("OK", 7, "60 s behind, of a delay of 60 s")


def test_a_delayed_one_that_falls_behind_its_delay_is_told_by_how_much() -> None:
    verdict = judged(taken(sample(float(t), 60.0 + t, delay_s=60.0) for t in range(31)))
    assert (verdict.status, verdict.rule) == ("WARNING", 10)
    assert "90 s behind, 30 s more than its delay of 60 s" in verdict.reason


def test_a_batch_of_some_seconds_is_ok_all_the_while() -> None:
    looks, seen = at_rest(30), []
    for t in range(40):
        looks.append(sample(30.0 + t, float(t % 4), end_lsn=5000 + t // 4))
        seen.append(judged(taken(looks)).status)
    assert set(seen) == {"OK"}


# --- 8: stalled -------------------------------------------------------------------------------------------------------


def test_one_that_does_not_move_although_something_waits_is_stalled_and_was_ok_before() -> None:
    samples, seen = taken(at_rest()), []
    for look in stuck(12, at=31.0):
        samples.add(look)
        seen.append(judged(samples).status)
    assert seen == ["OK"] * 7 + ["STALLED"] * 5
    verdict = judged(samples)
    assert verdict.rule == 8
    assert verdict.reason == (
        "its position has not moved for 9.0 s although something waits; "
        "11 s behind (10.7 kB of WAL, 11 records), most of it in apply (read, not committed)"
    )


def test_one_that_is_far_behind_stalls_no_sooner() -> None:
    samples, seen = taken(sample(float(t), 100.0 - t, end_lsn=5000 + t) for t in range(31)), []
    for t in range(1, 8):
        samples.add(sample(30.0 + t, 70.0 + t, end_lsn=5030))
        seen.append(judged(samples).status)
    assert seen == ["CATCHING_UP"] * 4 + ["STALLED"] * 3


def test_records_that_come_every_few_seconds_prove_a_stall_too_but_silence_does_not() -> None:
    looks = [sample(float(t), float(t), made_at=3.0 * (t // 3), end_lsn=5000) for t in range(12)]
    assert judged(taken(looks), heard_s=2.0).status == "STALLED"
    silent = [sample(float(t), float(t), made_at=0.0, end_lsn=5000) for t in range(10)]
    assert judged(taken(silent), heard_s=9.0).status == "OK"


def test_a_late_heartbeat_becomes_a_stall_that_names_the_stage_it_is_lost_in() -> None:
    samples = taken([*at_rest(), *stuck(12, at=31.0)])
    lost = judge(samples, state(), trend(samples.taken), stages(wal=11.0), heard_s=0.0)
    assert (lost.status, lost.stage) == ("STALLED", "wal")
    assert "most of it in wal (written, not received)" in lost.reason


# --- 9 to 12: the way it goes -----------------------------------------------------------------------------------------


def test_the_first_look_at_one_that_is_behind_warns() -> None:
    verdict = judged(taken([sample(0.0, 3600.0)]))
    assert (verdict.status, verdict.rule) == ("WARNING", 9)
    assert "60 min behind" in verdict.reason


def test_growing_lag_warns_with_its_pace_and_since_when() -> None:
    verdict = judged(taken([*at_rest(), *(sample(31.0 + t, 0.5 * t) for t in range(31))]))
    assert (verdict.status, verdict.rule) == ("WARNING", 10)
    assert verdict.reason == (
        "lag grows for 27 s by 0.50 s a second; 15 s behind (14.6 kB of WAL, 15 records), "
        "most of it in apply (read, not committed)"
    )


def test_a_trickle_of_growth_warns_once_it_is_more_than_the_floor() -> None:
    verdict = judged(taken(sample(float(t), 10.0 + 0.04 * t) for t in range(31)))
    assert (verdict.status, verdict.rule) == ("WARNING", 10)


def test_shrinking_lag_is_catching_up_with_time_left() -> None:
    verdict = judged(taken(sample(float(t), 90.0 - 2 * t) for t in range(31)))
    assert (verdict.status, verdict.rule) == ("CATCHING_UP", 11)
    assert verdict.reason.startswith("lag shrinks by 2.00 s a second, about 15 s left; 30 s behind")


def test_steady_lag_is_ok_and_told() -> None:
    verdict = judged(taken(sample(float(t), 8.0 + 0.3 * (t % 3)) for t in range(31)))
    assert (verdict.status, verdict.rule) == ("OK", 12)
    assert verdict.reason.startswith("lag is steady; 8.0 s behind")


# --- properties of first copies ----------------------------------------------------------------------------------------

copies = st.builds(
    copying,
    st.floats(-100.0, 1e6),
    copied=st.one_of(st.none(), st.floats(0.0, 1.0)),
    copying=st.sampled_from([[], ORDERS]),
    blocked_by=st.sampled_from(["", "pid 9 (psql, active, transaction open for 9 s)"]),
    waits=st.booleans(),
    said=st.sampled_from(["", "Analyzing"]),
)


@patient
@given(copies, st.floats(0.0, SILENT_S))
def test_a_first_copy_is_stalled_exactly_when_its_own_records_say_so(said: FollowerState, heard_s: float) -> None:
    verdict = judged_copy(said, heard_s)
    long = said.published_us - said.added_us >= COPY_STALL_S * SECOND_US
    stalled = long and (bool(said.copying) or said.waits or bool(said.blocked_by))
    assert (verdict.status, verdict.rule) == (("STALLED", 4) if stalled else ("CATCHING_UP", 5))
    assert (said.blocked_by in verdict.reason) == (stalled or not said.blocked_by)
    assert "\n" not in verdict.reason


@patient
@given(copies)
def test_a_first_copy_to_which_something_was_added_is_not_stalled_any_more(said: FollowerState) -> None:
    assert judged_copy(msgspec.structs.replace(said, added_us=said.published_us)).status == "CATCHING_UP"


@patient
@given(copies, st.integers(-(10**9), 10**12))
def test_a_first_copys_clock_may_show_any_time(said: FollowerState, shift_us: int) -> None:
    shifted = msgspec.structs.replace(
        said, published_us=said.published_us + shift_us, added_us=said.added_us + shift_us
    )
    assert judged_copy(shifted) == judged_copy(said)


# --- properties -------------------------------------------------------------------------------------------------------

lags = st.lists(st.floats(0.0, 500.0), min_size=1, max_size=45)
steps = st.lists(st.tuples(st.floats(0.0, 500.0), st.integers(0, 3)), min_size=1, max_size=45)


def walk(moves: list[tuple[float, int]], begin: float = 0.0) -> Samples:
    """One look a second; the place goes on by so much."""
    place, looks = 5000, []
    for t, (lag_s, step) in enumerate(moves):
        place += step
        looks.append(sample(begin + t, lag_s, end_lsn=place))
    return taken(looks)


@patient
@given(steps)
def test_every_verdict_has_a_known_status_a_rule_and_a_sentence(moves: list[tuple[float, int]]) -> None:
    verdict = judged(walk(moves))
    assert verdict.status in STATUSES
    assert 1 <= verdict.rule <= 12
    assert verdict.reason
    assert "\n" not in verdict.reason


@patient
@given(
    st.lists(st.tuples(st.floats(0.0, 20.0), st.integers(0, 3)), min_size=2, max_size=45),
    st.floats(0.0, 50.0),
    st.floats(0.0, 60.0),
)
def test_never_ok_while_lag_grows_over_the_whole_window(
    gains: list[tuple[float, int]], begin_s: float, delay_s: float
) -> None:
    lag_s, moves = begin_s + delay_s, []
    for gain_s, step in gains:
        lag_s += gain_s
        moves.append((lag_s, step))
    samples = walk(moves)
    samples = taken(replace(look, delay_s=delay_s) for look in samples.taken)
    window = samples.taken
    assume(window[-1].beyond_s - window[0].beyond_s > FLOOR_S)
    assume(window[-1].beyond_s > allowed_s(samples))
    assert judged(samples).status in TROUBLE
    assert allowed_s(samples) <= FLOOR_S + STALL_S + SILENT_S


@patient
@given(st.lists(st.tuples(st.floats(0.0, 500.0), st.integers(1, 3)), min_size=1, max_size=45))
def test_never_stalled_while_the_place_moves(moves: list[tuple[float, int]]) -> None:
    assert judged(walk(moves)).status != "STALLED"


@patient
@given(steps)
def test_stalled_only_where_the_place_was_the_same_for_long(moves: list[tuple[float, int]]) -> None:
    samples = walk(moves)
    if judged(samples).status == "STALLED":
        looks = list(samples.taken)[-int(STALL_S) - 1 :]
        assert len({look.place for look in looks}) == 1
        assert all(look.beyond_s > FLOOR_S for look in looks)


@patient
@given(steps, st.sampled_from(["running", "waiting"]))
def test_without_lag_it_is_ok_unless_nothing_was_heard(moves: list[tuple[float, int]], doing: str) -> None:
    samples = walk([*moves, (0.0, 0)])
    assert judged(samples, state(state=doing)).status == "OK"
    assert judged(samples, state(state=doing), heard_s=SILENT_S + 1).status == "STOPPED"


@patient
@given(steps, st.integers(1, 10**6))
def test_a_verdict_does_not_depend_on_when_it_was(moves: list[tuple[float, int]], shift: int) -> None:
    early, late = judged(walk(moves)), judged(walk(moves, begin=float(shift)))
    assert (early.status, early.rule) == (late.status, late.rule)


@patient
@given(lags, st.floats(1.0, 1e5))
def test_a_delay_that_is_kept_changes_nothing(found: list[float], delay_s: float) -> None:
    plain = taken(sample(float(t), lag, bytes=0) for t, lag in enumerate(found))
    delayed = taken(sample(float(t), lag + delay_s, delay_s=delay_s, bytes=0) for t, lag in enumerate(found))
    assume(all(abs(lag - allowed_s(plain)) > 1e-6 for lag in found))
    assume(all(abs(after - before) > 1e-6 for before, after in pairwise(found)))
    slope = trend(plain.taken).slope
    assume(slope is None or abs(abs(slope) - STEADY) > 1e-6)  # at the very edge the last digit decides
    assert judged(plain).status == judged(delayed).status


@patient
@given(st.lists(st.floats(0.0, FLOOR_S), min_size=1, max_size=45), st.data())
def test_tiny_lags_are_ok_whatever_they_do(found: list[float], data: st.DataObject) -> None:
    moves = [(lag, data.draw(st.integers(0, 3))) for lag in found]
    assert judged(walk(moves)).status == "OK"


@patient
@given(st.lists(st.tuples(st.floats(0.0, 500.0), st.integers(0, 3)), min_size=int(WINDOW_S) + 3, max_size=60))
def test_what_was_before_the_window_does_not_matter(moves: list[tuple[float, int]]) -> None:
    calm = [(0.0, 1)] * 45
    alone, after_long = judged(walk(moves)), judged(walk([*calm, *moves]))
    assert (alone.status, alone.rule) == (after_long.status, after_long.rule)
