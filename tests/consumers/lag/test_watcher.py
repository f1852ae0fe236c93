"""What is seen of a pipeline, look by look, becomes what screens show."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from stretto_consumers.lag.watcher import Watcher
from stretto_schemas.follower_state import FollowerState, Quantiles
from stretto_schemas.lag.facts import LongTransaction, Observation, SourceFacts
from stretto_schemas.lag.samples import MOST
from stretto_schemas.lag.view import FollowerView, PipelineView, ProblemView, decode_view, encode_view
from tests.schemas.lag.looks import NOW_US, seen, slot, state

KAFKA_IS_SILENT = ProblemView("Kafka at k1:9092 does not answer while reading", fix="start the broker")


def late(at: float, lag_s: float, **more: Any) -> FollowerState:
    """A follower whose oldest transaction that is not visible was committed so long ago."""
    now_us = NOW_US + round((at - 1000) * 1e6)
    fields: dict[str, Any] = {
        "end_lsn": 4000,
        "read_lsn": 4500,
        "staged_rows": 10,
        "oldest_us": now_us - round(lag_s * 1e6) if lag_s else 0,
    }
    return state(**(fields | more))


def only(view: PipelineView) -> FollowerView:
    (follower,) = view.followers
    return follower


def watch(watcher: Watcher, looks: list[Observation]) -> PipelineView:
    return [watcher.observe(look) for look in looks][-1]


def test_a_look_at_a_pipeline_at_rest_is_ok_and_travels_as_json() -> None:
    visible = {"minute": Quantiles(10, 0.01, 0.02, 0.03, 0.04)}
    view = Watcher().observe(seen(state(visible=visible, address="127.0.0.1:9189"), hints=["a hint"]))
    follower = only(view)
    assert (follower.status, follower.rule, follower.reason, follower.likely) == ("OK", 7, "nothing waits", "")
    assert (follower.name, follower.source, follower.state, follower.visible) == ("reports", "shop", "running", visible)
    assert (view.sources[0].name, view.sources[0].wal_lsn, view.hints) == ("shop", 5000, ["a hint"])
    assert decode_view(encode_view(view)) == view


def test_a_follower_that_falls_behind_is_told_with_stage_pace_and_cause() -> None:
    looks = [
        seen(late(1000 + t, 2.0 + t, end_lsn=4000 + t, slow_table="public.orders", slow_share=0.9), at=1000.0 + t)
        for t in range(31)
    ]
    follower = only(watch(Watcher(), looks))
    assert (follower.status, follower.stage) == ("WARNING", "apply")
    assert follower.slope == pytest.approx(1.0)
    assert follower.likely.startswith("writing table public.orders takes 90 % of the time")
    assert follower.bytes_per_s == pytest.approx(1.0)
    assert follower.catch_up_s is None


def test_a_follower_that_comes_up_again_is_told_when_it_will_have() -> None:
    looks = [seen(late(1000 + t, 90.0 - 2 * t, end_lsn=4100 + 20 * t, read_lsn=4900), at=1000.0 + t) for t in range(31)]
    follower = only(watch(Watcher(), looks))
    assert follower.status == "CATCHING_UP"
    assert follower.catch_up_s == pytest.approx(15.0)
    assert follower.catch_up_sure == pytest.approx(1.0)


def test_one_that_is_not_heard_of_is_unknown_and_stopped() -> None:
    follower = only(Watcher().observe(seen(state(), heard_s={"reports": 10.5})))
    assert (follower.state, follower.status, follower.heard_s) == ("unknown", "STOPPED", 10.5)
    assert follower.likely.startswith("its process does not run")
    ended = only(Watcher().observe(seen(state(state="stopped"), heard_s={"reports": 900.0})))
    assert (ended.state, ended.status) == ("stopped", "STOPPED")


def test_a_record_without_an_age_ages_while_it_stays_the_same() -> None:
    watcher, same = Watcher(), state()
    for at, heard_s in ((1000.0, 0.0), (1008.0, 8.0), (1011.0, 11.0)):
        follower = only(watcher.observe(seen(same, at=at, heard_s={})))
        assert follower.heard_s == heard_s
    assert follower.status == "STOPPED"
    assert only(watcher.observe(seen(state(rows=101), at=1012.0, heard_s={}))).status == "OK"


@pytest.mark.parametrize(
    ("lag_s", "delay_s", "budget_s", "over"),
    [
        (5.0, 0.0, 4.0, True),
        (5.0, 0.0, 5.0, False),
        (5.0, 0.0, 0.0, False),
        (65.0, 60.0, 4.0, True),
        (63.0, 60.0, 4.0, False),
    ],
)
def test_a_budget_is_exceeded_by_lag_beyond_the_delay(
    lag_s: float, delay_s: float, budget_s: float, over: bool
) -> None:
    follower = only(Watcher().observe(seen(late(1000, lag_s, delay_s=delay_s, budget_s=budget_s))))
    assert follower.over_budget is over


def test_one_that_was_removed_is_forgotten_and_begins_anew() -> None:
    watcher = Watcher()
    watch(watcher, [seen(late(1000 + t, 20.0 + t), at=1000.0 + t) for t in range(10)])
    assert watcher.observe(seen(at=1010.0)).followers == []
    assert watcher.points() == []
    back = only(watcher.observe(seen(late(1011, 20.0, end_lsn=10), at=1011.0)))
    assert (back.status, back.rule) == ("WARNING", 9), "nothing is known of how it stood before, so this is no rewind"


def test_while_the_log_does_not_answer_followers_grow_old_and_are_not_forgotten() -> None:
    watcher = Watcher()
    watcher.observe(seen(state(), state(follower="own"), at=1000.0))
    own = seen(state(follower="own"), at=1012.0, log=None, problems=[KAFKA_IS_SILENT])
    answers, follower = watcher.observe(own).followers
    assert (answers.name, answers.status) == ("own", "OK")
    assert (follower.state, follower.status, follower.heard_s) == ("unknown", "STOPPED", 12.0)
    assert follower.likely.startswith("the log does not answer us either: Kafka at k1:9092")


def test_while_the_source_does_not_answer_its_clock_goes_on_whatever_the_observers_says() -> None:
    watcher = Watcher()
    an_hour_off = NOW_US + 3_600_000_000
    watcher.observe(seen(late(1000, 2.0), at=1000.0, at_us=an_hour_off))
    silent = seen(late(1000, 2.0), at=1005.0, at_us=an_hour_off + 5_000_000, facts=None)
    total = only(watcher.observe(silent)).lag["total"]
    assert total is not None
    assert total.seconds == pytest.approx(7.0)


def test_a_clock_that_is_off_is_a_hint_and_changes_no_lag() -> None:
    watcher, skewed = Watcher(), late(1000, 2.0, skew_us=3_600_000_000, published_us=NOW_US + 3_600_000_000)
    view = watcher.observe(seen(skewed))
    total = only(view).lag["total"]
    assert total is not None
    assert total.seconds == 2.0
    assert only(view).skew_s == 3600.0
    assert len(view.hints) == 1
    assert "clock of follower reports's machine is 60 min ahead" in view.hints[0]


def test_a_step_of_the_observers_wall_clock_changes_neither_status_nor_trend() -> None:
    steady, stepped = Watcher(), Watcher()
    for t in range(31):
        look = seen(late(1000 + t, 2.0 + t, end_lsn=4000 + t), at=1000.0 + t)
        plain = only(steady.observe(look))
        other = only(stepped.observe(replace(look, at_us=look.at_us - (3_600_000_000 if t > 15 else 0))))
        assert (plain.status, plain.slope, plain.reason) == (other.status, other.slope, other.reason)


def test_a_transaction_open_on_the_source_is_told_of_while_its_wal_holds_the_lag() -> None:
    facts = SourceFacts(9000, NOW_US, slot(), long_transaction=LongTransaction(60.0, 42, "import", "active"))
    captured = seen().captured
    assert captured is not None
    until_us = NOW_US - 20_000_000
    received = {"received_lsn": 5000, "committed_lsn": 5000, "waiting_records": 0}
    behind = type(captured)(received_until_us=until_us, committed_until_us=until_us, **received)
    follower = only(Watcher().observe(seen(state(), facts=facts, captured=behind)))
    assert (follower.status, follower.stage) == ("WARNING", "wal")
    assert follower.likely.startswith("pid 42 (import, active) has had a transaction open on the source for 60 s")


def test_sources_that_are_looked_at_in_turn_do_not_forget_each_others_followers() -> None:
    watcher = Watcher()
    for t in range(3):
        shop = watcher.observe(seen(late(1000 + t, 5.0 + t), at=1000.0 + t))
        bank = watcher.observe(seen(state(source="bank"), at=1000.5 + t, source="bank"))
    assert only(shop).source == "shop"
    assert only(shop).slope == pytest.approx(1.0)
    assert (only(bank).slope, only(bank).source) == (0.0, "bank")


def test_the_wals_growth_is_told() -> None:
    looks = [seen(at=1000.0 + t, facts=SourceFacts(5000 + 300 * t, NOW_US, slot())) for t in range(5)]
    assert watch(Watcher(), looks).sources[0].bytes_per_s == pytest.approx(300.0)


def test_points_are_those_of_the_last_look() -> None:
    watcher = Watcher()
    watch(watcher, [seen(late(1000 + t, 5.0, rows=100 * t), state(follower="other"), at=1000.0 + t) for t in range(5)])
    points = watcher.points()
    assert [point.follower for point in points] == ["other", "reports"]
    assert points[1].at_us == NOW_US + 4_000_000
    assert points[1].seconds == {"wal": 0.0, "capture": 0.0, "log": 0.0, "apply": 5.0, "total": 5.0}
    assert points[1].rows_per_s == pytest.approx(100.0)


def test_two_hundred_followers_cost_less_than_a_quarter_of_a_core_at_a_look_a_second() -> None:
    watcher, spent = Watcher(), 0.0
    names = [f"f{number}" for number in range(200)]
    for t in range(40):
        followers = [late(1000 + t, 90.0 - t, follower=name, end_lsn=4000 + t) for name in names]
        look = seen(*followers, at=1000.0 + t)
        begun = time.process_time()
        view = watcher.observe(look)
        spent += time.process_time() - begun
    assert {follower.status for follower in view.followers} == {"CATCHING_UP"}
    assert spent / 40 < 0.25, "a twentieth was measured on an idle machine"
    kept = [each.samples for source in watcher._sources.values() for each in source.followers.values()]
    assert all(len(samples.taken) <= MOST for samples in kept)
