"""An alert for trouble that lasts, for each status of it that lasts, and for its end; nothing for what comes and goes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby, pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stretto_consumers.lag.alerts import Alerts, AlertsState, KeyState, whole
from stretto_schemas.lag.stages import StageLag
from stretto_schemas.lag.verdict import STATUSES, TROUBLE
from stretto_schemas.lag.view import Alert, FollowerView, PipelineView, SourceView
from tests.schemas.lag.looks import patient

AFTER_S = 3.0
BEGIN_US = 1_764_000_000_000_000


def follower(status: str, *, name: str = "reports", source: str = "shop", over: bool = False) -> FollowerView:
    return FollowerView(
        name,
        source,
        "running",
        status,
        7,
        f"a reason to be {status}",
        stage="apply",
        likely="a lock",
        lag={"total": StageLag(0, 0, 7.5)},
        delay_s=1.0,
        budget_s=5.0,
        over_budget=over,
    )


def view(at: float, *followers: FollowerView, source: str = "shop") -> PipelineView:
    return PipelineView(BEGIN_US + round(at * 1e6), "stretto", [SourceView(source)], list(followers))


def run(alerts: Alerts, statuses: list[str], begin: float = 0.0, every_s: float = 1.0) -> list[Alert]:
    made = []
    for index, status in enumerate(statuses):
        at = begin + index * every_s
        made += alerts.observe(view(at, follower(status)), at)
    return made


def statuses_of(made: list[Alert]) -> list[tuple[str, str, bool]]:
    return [(each.status, each.before, each.recovered) for each in made]


def test_trouble_that_lasts_is_told_once_with_its_reason_and_since_when() -> None:
    made = run(Alerts(AFTER_S), ["OK"] * 5 + ["STALLED"] * 20)
    assert made == [
        Alert(
            kind="status",
            follower="reports",
            source="shop",
            status="STALLED",
            before="OK",
            at_us=BEGIN_US + 8_000_000,
            since_us=BEGIN_US + 5_000_000,
            recovered=False,
            reason="a reason to be STALLED",
            stage="apply",
            likely="a lock",
            lag_s=7.5,
            statuses=("STALLED",),
        )
    ]


def test_each_status_that_lasts_is_told_with_the_one_before_and_when_the_trouble_began() -> None:
    made = run(Alerts(AFTER_S), ["OK"] * 2 + ["WARNING"] * 8 + ["STALLED"] * 8 + ["CATCHING_UP"] * 8 + ["OK"] * 8)
    assert statuses_of(made) == [("WARNING", "OK", False), ("STALLED", "WARNING", False), ("OK", "STALLED", True)]
    assert {each.since_us for each in made} == {BEGIN_US + 2_000_000}
    assert [each.at_us - BEGIN_US for each in made] == [5_000_000, 13_000_000, 29_000_000]
    assert [each.reason for each in made] == [f"a reason to be {each.status}" for each in made]


def test_a_recovery_tells_the_whole_trouble_and_no_calm_of_it() -> None:
    alerts = Alerts(AFTER_S)
    turns = ["OK"] * 2 + ["WARNING"] * 4 + ["STALLED"] * 4 + ["WARNING"] * 4 + ["STOPPED"] * 4 + ["CATCHING_UP"] * 2
    made = run(alerts, [*turns, *["OK"] * 4])
    assert [each.statuses for each in made] == [
        ("WARNING",),
        ("WARNING", "STALLED"),
        ("STALLED", "WARNING"),
        ("STALLED", "WARNING", "STOPPED"),
        ("STALLED", "WARNING", "STOPPED"),
    ]
    recovery = made[-1]
    assert recovery.recovered
    assert (recovery.since_us - BEGIN_US, recovery.until_us - BEGIN_US) == (2_000_000, 20_000_000)
    assert whole(recovery) == "STALLED, then WARNING, then STOPPED, 18 s in all"
    [again] = run(alerts, ["REWOUND"] * 4, begin=50.0)
    assert again.statuses == ("REWOUND",), "another trouble"


def test_what_a_monitor_told_that_knew_of_the_last_status_only_is_gone_on_from() -> None:
    turns = ["STOPPED"] * 4 + ["OK"] * 4
    old = Alert(
        "status", "reports", "shop", "STALLED", "WARNING", BEGIN_US - 5_000_000, BEGIN_US - 9_000_000, False, ""
    )
    [stopped, recovery] = run(Alerts(AFTER_S, AlertsState([KeyState("reports", "shop", "status", old)])), turns)
    assert stopped.statuses == recovery.statuses == ("STALLED", "STOPPED")
    short = msgspec.structs.replace(old, status="OK", before="STALLED", recovered=True)
    assert whole(short) == "STALLED, 4.0 s in all"


def test_the_status_before_a_trouble_is_the_one_that_was_seen() -> None:
    statuses = ["CATCHING_UP"] * 3 + ["WARNING"] * 2 + ["CATCHING_UP"] + ["STALLED"] * 5
    assert statuses_of(run(Alerts(AFTER_S), statuses)) == [("STALLED", "CATCHING_UP", False)]
    assert statuses_of(run(Alerts(AFTER_S), ["STALLED"] * 5)) == [("STALLED", "OK", False)], "none was seen"


def test_what_comes_and_goes_within_a_trouble_is_not_told() -> None:
    made = run(Alerts(AFTER_S), ["STALLED"] * 4 + (["WARNING"] * 3 + ["STALLED"] * 3 + ["CATCHING_UP"] * 9) * 5)
    assert statuses_of(made) == [("STALLED", "OK", False)]


def test_of_a_trouble_that_is_shown_the_present_status_is_listed() -> None:
    alerts = Alerts(AFTER_S)
    run(alerts, ["WARNING"] * 5 + ["STOPPED"] * 5)
    assert [each.status for each in alerts.listed()] == ["STOPPED"]


def test_trouble_that_changes_its_status_meanwhile_is_told_of_all_the_same() -> None:
    assert [each.status for each in run(Alerts(AFTER_S), ["WARNING", "STALLED"] * 4)] == ["STALLED"]


def test_a_first_copy_and_catching_up_are_no_trouble() -> None:
    assert run(Alerts(AFTER_S), ["CATCHING_UP"] * 20) == []


def test_one_that_comes_and_goes_is_told_of_once() -> None:
    assert len(run(Alerts(AFTER_S), ["STALLED"] * 5 + ["CATCHING_UP", "WARNING", "OK", "WARNING"] * 20)) == 1


def test_without_a_time_to_last_every_change_is_told_at_once() -> None:
    made = run(Alerts(0.0), ["OK", "STALLED", "OK", "STALLED"])
    assert [each.recovered for each in made] == [False, True, False]


def test_a_budget_is_told_apart_from_the_status() -> None:
    alerts, made = Alerts(AFTER_S), []
    for t in range(20):
        made += alerts.observe(view(t, follower("OK", over=2 <= t < 12)), float(t))
    assert [(each.kind, each.status, each.before, each.at_us) for each in made] == [
        ("budget", "exceeded", "kept", BEGIN_US + 5_000_000),
        ("budget", "kept", "exceeded", BEGIN_US + 15_000_000),
    ]
    assert made[0].reason == "6.5 s of lag beyond its delay, more than its budget of 5.0 s; a reason to be OK"


def test_a_follower_that_is_removed_is_in_no_trouble_any_more() -> None:
    alerts = Alerts(AFTER_S)
    assert len(run(alerts, ["STOPPED"] * 5)) == 1
    made = [alert for t in range(5, 12) for alert in alerts.observe(view(t), float(t))]
    assert [(each.status, each.before, each.recovered, each.reason) for each in made] == [
        ("OK", "STOPPED", True, "the follower was removed")
    ]
    assert alerts.export().keys == []


def test_a_view_of_another_source_says_nothing_of_this_one() -> None:
    alerts = Alerts(AFTER_S)
    run(alerts, ["STOPPED"] * 5)
    assert [alerts.observe(view(t, source="bank"), float(t)) for t in range(5, 12)] == [[]] * 7
    assert len(alerts.listed()) == 1


def test_what_is_wrong_now_is_listed_before_what_is_over_newest_first() -> None:
    alerts = Alerts(0.0)
    for t, statuses in enumerate([("STALLED", "STOPPED"), ("OK", "STOPPED"), ("WARNING", "STOPPED")]):
        alerts.observe(view(t, *(follower(status, name=f"f{n}") for n, status in enumerate(statuses))), float(t))
    listed = [(each.follower, each.status, each.recovered) for each in alerts.listed()]
    assert listed == [("f0", "WARNING", False), ("f1", "STOPPED", False), ("f0", "OK", True)]


def test_a_monitor_that_starts_again_alerts_neither_twice_nor_not_at_all() -> None:
    before = Alerts(AFTER_S)
    assert len(run(before, ["STALLED"] * 5)) == 1
    again = Alerts(AFTER_S, before.export())
    assert run(again, ["STALLED"] * 9, begin=50_000.0) == []
    assert [each.recovered for each in run(again, ["OK"] * 9, begin=50_009.0)] == [True]


def test_what_was_exported_does_not_change_with_what_happens_later() -> None:
    alerts = Alerts(AFTER_S)
    run(alerts, ["STALLED"] * 2)
    state = alerts.export()
    said = msgspec.json.encode(state)
    again = Alerts(AFTER_S, state)
    run(alerts, ["STALLED"] * 9, begin=2.0)
    run(again, ["OK"] * 9, begin=2.0)
    assert msgspec.json.encode(state) == said


# --- properties -------------------------------------------------------------------------------------------------------

moments = st.lists(
    st.tuples(st.sampled_from([*STATUSES, "gone"]), st.booleans(), st.sampled_from([0.5, 1.0, 2.0, 5.0])), max_size=60
)
"""What is seen of two followers, in turn, and how long after the look before."""


def looks(found: list[tuple[str, bool, float]]) -> list[tuple[float, PipelineView]]:
    at, made = 0.0, []
    for index, (status, over, pause_s) in enumerate(found):
        at += pause_s
        second = found[index // 2]
        followers = [
            follower(each[0], name=name, over=each[1])
            for name, each in (("a", (status, over)), ("b", (second[0], second[1])))
            if each[0] != "gone"
        ]
        made.append((at, view(at, *followers)))
    return made


def by_key(alerts: list[Alert]) -> dict[tuple[str, str], list[Alert]]:
    keys: dict[tuple[str, str], list[Alert]] = {}
    for alert in alerts:
        keys.setdefault((alert.follower, alert.kind), []).append(alert)
    return keys


def wrong(seen: PipelineView, name: str, kind: str) -> bool | None:
    """By the rules, said anew: in trouble, calm, or (None) neither."""
    found = {each.name: each for each in seen.followers}.get(name)
    if found is None:
        return False
    if kind == "budget":
        return found.over_budget
    return True if found.status in TROUBLE else (False if found.status == "OK" else None)


def seen_as(seen: PipelineView, told: Alert) -> bool:
    """Whether a look shows what an alert says: its calm, or just that status."""
    if told.recovered:
        return wrong(seen, told.follower, told.kind) is False
    found = {each.name: each for each in seen.followers}.get(told.follower)
    return found is not None and (found.over_budget if told.kind == "budget" else found.status == told.status)


def lasted_s(found: list[tuple[float, PipelineView]], told: Alert, holds: Callable[[PipelineView], bool]) -> float:
    """Over how long up to an alert every look showed it; less than 0: not even the one that it was told at."""
    end_s = (told.at_us - BEGIN_US) / 1e6
    looked = [(at, holds(seen)) for at, seen in found if at <= end_s]
    otherwise = max((at for at, held in looked if not held), default=-1.0)
    return end_s - min((at for at, held in looked if held and at > otherwise), default=end_s + 1)


@patient
@given(moments)
def test_a_key_tells_trouble_its_changes_and_its_end_and_each_has_lasted(
    found: list[tuple[str, bool, float]],
) -> None:
    alerts, made, seen = Alerts(AFTER_S), [], looks(found)
    for at, view_ in seen:
        made += alerts.observe(view_, at)
    for (name, kind), told in by_key(made).items():
        assert not told[0].recovered
        for before, each in pairwise(told):
            assert each.at_us - before.at_us >= AFTER_S * 1e6, "at most one each time"
            assert each.status != before.status
            assert not (before.recovered and each.recovered)
            if not before.recovered:
                assert each.before == before.status
                assert each.since_us == before.since_us
                assert set(each.statuses) == {*before.statuses, *(() if each.recovered else (each.status,))}
                assert lasted_s(seen, each, lambda view_, each=each: seen_as(view_, each)) >= AFTER_S  # type: ignore[misc]
        for each in told:
            last = each.before if each.recovered else each.status
            assert each.statuses[-1] == last
            assert len(set(each.statuses)) == len(each.statuses)
            assert (each.since_us < each.until_us <= each.at_us) if each.recovered else each.until_us == 0
        for first in [each for before, each in pairwise([None, *told]) if before is None or before.recovered]:
            assert first is not None
            assert first.before in ("OK", "CATCHING_UP", "kept")
            assert lasted_s(seen, first, lambda view_: wrong(view_, name, kind) is True) >= AFTER_S  # noqa: B023


@patient
@given(moments)
def test_every_trouble_that_lasts_is_told_and_gets_one_recovery_once_all_is_calm(
    found: list[tuple[str, bool, float]],
) -> None:
    calm = [("OK", False, 1.0)] * (2 * len(found) + 8)
    alerts, made = Alerts(AFTER_S), []
    for at, seen in looks([*found, *calm]):
        made += alerts.observe(seen, at)
    for told in by_key(made).values():
        troubles = {each.since_us for each in told}
        assert [each.since_us for each in told if each.recovered] == sorted(troubles)
        assert told[-1].recovered
    assert alerts.export().keys == []
    assert all(each.recovered for each in alerts.listed())


@patient
@given(st.lists(st.sampled_from(TROUBLE), min_size=5, max_size=40))
def test_within_a_trouble_every_other_status_that_lasts_is_told(statuses: list[str]) -> None:
    """A look a second, so what has lasted is seen in four; the trouble itself is told at the fourth."""
    expected = [statuses[3]]
    for status, same in groupby(statuses[4:]):
        if status != expected[-1] and len(list(same)) > AFTER_S:
            expected.append(status)
    assert [each.status for each in run(Alerts(AFTER_S), statuses)] == expected


@patient
@given(moments, st.sets(st.integers(0, 59)))
def test_to_export_and_import_at_any_time_changes_nothing(found: list[tuple[str, bool, float]], when: set[int]) -> None:
    """Through JSON; the clock goes on, so the time of the change of hands is lost and is none here."""
    whole, parts = Alerts(AFTER_S), Alerts(AFTER_S)
    for index, (at, seen) in enumerate(looks(found)):
        if index in when:
            state = msgspec.json.decode(msgspec.json.encode(parts.export()), type=AlertsState)
            parts = Alerts(AFTER_S, state, at=looks(found)[index - 1][0] if index else None)
        assert whole.observe(seen, at) == parts.observe(seen, at)
        assert whole.listed() == parts.listed()
        assert whole.export() == parts.export()
