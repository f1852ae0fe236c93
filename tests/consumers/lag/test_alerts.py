"""One alert for trouble that lasts, one recovery when it is over, whatever statuses come and go between."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from stretto_consumers.lag.alerts import Alerts, AlertsState
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
        )
    ]


def test_its_end_is_told_once_with_the_last_trouble_and_since_when_that_was() -> None:
    made = run(Alerts(AFTER_S), ["WARNING"] * 8 + ["STALLED"] * 8 + ["CATCHING_UP"] * 8 + ["OK"] * 8)
    assert [(each.status, each.before, each.recovered) for each in made] == [
        ("WARNING", "OK", False),
        ("OK", "STALLED", True),
    ]
    assert made[1].since_us == BEGIN_US
    assert made[1].at_us == BEGIN_US + 27_000_000


def test_trouble_that_changes_its_kind_meanwhile_is_told_of_all_the_same() -> None:
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
    assert made[0].reason == "6.5 s of lag beyond its delay, more than its budget of 5 s; a reason to be OK"


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


@patient
@given(moments)
def test_under_each_key_trouble_and_recovery_alternate_and_both_have_lasted(
    found: list[tuple[str, bool, float]],
) -> None:
    alerts, made = Alerts(AFTER_S), []
    for at, seen in looks(found):
        made += alerts.observe(seen, at)
    for (name, kind), told in by_key(made).items():
        assert [each.recovered for each in told] == [index % 2 == 1 for index in range(len(told))]
        for each in told:
            end_s = (each.at_us - BEGIN_US) / 1e6
            before = [(at, seen) for at, seen in looks(found) if at <= end_s]
            lasted = [at for at, seen in before if wrong(seen, name, kind) is (not each.recovered)]
            others = [at for at, seen in before if wrong(seen, name, kind) is not (not each.recovered)]
            first = min(at for at in lasted if at > max(others, default=-1.0))
            assert end_s - first >= AFTER_S


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
        assert sum(each.recovered for each in told) * 2 == len(told)
        for trouble, recovery in zip(told[::2], told[1::2], strict=True):
            assert recovery.since_us == trouble.since_us
    assert alerts.export().keys == []
    assert all(each.recovered for each in alerts.listed())


@patient
@given(st.lists(st.sampled_from(TROUBLE), min_size=5, max_size=20))
def test_trouble_of_any_kind_that_lasts_is_told_exactly_once(statuses: list[str]) -> None:
    assert len(run(Alerts(AFTER_S), statuses)) == 1


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
