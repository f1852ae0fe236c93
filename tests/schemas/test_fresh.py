"""What `/readyz?max_lag=...` answers, as a rule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stretto_schemas.lag.fresh import judge
from stretto_schemas.lag.stages import StageLag


def stages(**seconds: float) -> dict[str, StageLag | None]:
    return {stage: StageLag(1, 1, each) for stage, each in seconds.items()}


def test_little_lag_is_fresh_and_the_sentence_says_how_much() -> None:
    seen = judge(stages(log=0.5, apply=1.0, total=1.5), 5.0, silent_s=0.1, heartbeat_s=1.0)
    assert seen == (True, "total lag 1.5 s, not more than 5.0 s")


def test_more_than_allowed_is_not_fresh_and_the_stage_is_named() -> None:
    seen = judge(stages(log=1.3, apply=6.0, total=7.3), 5.0, silent_s=0.1, heartbeat_s=1.0)
    assert seen == (False, "total lag 7.3 s, most of it in apply, more than 5.0 s")


def test_of_capture_the_sum_of_its_stages_counts() -> None:
    assert judge(stages(wal=3.0, capture=2.5), 5.0, silent_s=0.1, heartbeat_s=1.0) == (
        False,
        "total lag 5.5 s, most of it in wal, more than 5.0 s",
    )


def test_a_stage_that_nobody_can_tell_counts_nothing() -> None:
    good, _ = judge({"wal": None, **stages(capture=1.0)}, 5.0, silent_s=0.1, heartbeat_s=1.0)
    assert good


def test_silence_longer_than_allowed_is_not_fresh_although_no_lag_is_known() -> None:
    good, why = judge(stages(log=0, apply=0, total=0), 5.0, silent_s=8.0, heartbeat_s=1.0)
    assert not good
    assert why == "nothing came for 8.0 s although heartbeats do every 1.0 s: the lag may be more than 5.0 s"


def test_where_nobody_knows_how_often_something_comes_silence_longer_than_allowed_is_too_long() -> None:
    good, why = judge(stages(total=0), 5.0, silent_s=8.0, heartbeat_s=0.0)
    assert not good
    assert why == "nothing came for 8.0 s: the lag may be more than 5.0 s"


def test_the_pause_between_heartbeats_is_no_silence() -> None:
    good, _ = judge(stages(total=0), 0.5, silent_s=1.5, heartbeat_s=1.0)
    assert good


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.1, 100))
def test_what_is_fresh_at_one_bound_is_fresh_at_a_larger_one(
    total_s: float, bound_s: float, more_s: float, heartbeat_s: float
) -> None:
    def good(max_lag_s: float) -> bool:
        return judge(stages(total=total_s), max_lag_s, silent_s=1.0, heartbeat_s=heartbeat_s)[0]

    assert good(bound_s + more_s) or not good(bound_s)
