"""Whose alerts a screen shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stretto_consumers.lag.shown_alerts import ASK_S, ShownAlerts, monitors_alerts
from stretto_schemas.lag.view import Alert, FollowerView, PipelineView, SourceView
from stretto_schemas.settings import load
from tests.consumers.lag.answering import answering

AFTER_S = 3.0


def alert(at_s: int, status: str = "STALLED", *, recovered: bool = False, follower: str = "a") -> Alert:
    return Alert("status", follower, "leader", status, "OK", at_s, at_s, recovered, "")


def view(*followers: tuple[str, str]) -> PipelineView:
    found = [FollowerView(name, "leader", "running", status, 7, "") for name, status in followers]
    return PipelineView(1, "stretto", [SourceView("leader")], found)


def status(**changed: Any) -> dict[str, bytes]:
    told = {"process": "lag", "source": "leader", "prefix": "stretto", "state": "running", "at_us": 5, "followers": []}
    said = {**told, "alerts": [{name: getattr(alert(7), name) for name in Alert.__struct_fields__}], **changed}
    return {"/status": json.dumps(said).encode()}


class Monitor:
    """One that answers or does not."""

    def __init__(self, *alerts: Alert) -> None:
        self.says: list[Alert] | None = list(alerts)
        self.asked = 0

    def __call__(self) -> list[Alert] | None:
        self.asked += 1
        return self.says


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, [alert(7)]),
        ({"state": "standby"}, [alert(7)]),
        ({"state": "waiting"}, [alert(7)]),
        ({"alerts": []}, []),
        ({"state": "waiting", "alerts": []}, None),
        ({"at_us": 0, "alerts": []}, None),
        ({"process": "capture"}, None),
        ({"source": "other"}, None),
        ({"prefix": "other"}, None),
        ({"alerts": [{"kind": 7}]}, None),
    ],
)
def test_a_monitor_of_this_pipeline_that_has_looked_is_heard(
    changed: dict[str, Any], expected: list[Alert] | None
) -> None:
    with answering(status(**changed)) as settings:
        assert monitors_alerts(settings) == expected


def test_where_no_monitor_is_there_is_none_to_hear() -> None:
    for http in ({"STRETTO_HTTP__LAG_ADDRESS": "127.0.0.1:1"}, {"STRETTO_HTTP__LAG_PORT": "0"}):
        assert monitors_alerts(load(None, http)) is None
    with answering({}) as settings:
        assert monitors_alerts(settings) is None
    with answering({"/status": b"<html>\xff"}) as settings:
        assert monitors_alerts(settings) is None


def test_what_the_monitor_says_is_shown_and_not_what_the_screen_thinks() -> None:
    monitor = Monitor(alert(7, follower="far"), alert(6, "OK", recovered=True))
    shown = ShownAlerts(0.0, monitor)
    for at in range(9):
        assert shown.observe(view(("a", "STALLED")), float(at)) == monitor.says
    assert monitor.asked == 1 + 8 // ASK_S
    monitor.says = []
    assert shown.observe(view(("a", "STALLED")), 10.0) == []


def test_without_a_monitor_the_screen_judges_by_itself() -> None:
    monitor = Monitor()
    monitor.says = None
    shown = ShownAlerts(AFTER_S, monitor)
    seen = [shown.observe(view(("a", "STALLED")), float(at)) for at in range(5)]
    assert [len(each) for each in seen] == [0, 0, 0, 1, 1]


def test_when_the_monitor_goes_what_it_told_goes_on_and_is_not_told_again() -> None:
    monitor = Monitor(alert(30, follower="b"), alert(20, "OK", recovered=True))
    shown = ShownAlerts(AFTER_S, monitor)
    told = shown.observe(view(("a", "OK"), ("b", "STALLED")), 0.0)
    monitor.says = None
    for at in range(2, 9):
        assert shown.observe(view(("a", "OK"), ("b", "STALLED")), float(at)) == told
    for at in range(9, 14):
        told = shown.observe(view(("a", "OK"), ("b", "OK")), float(at))
    assert [(each.follower, each.recovered) for each in told] == [("b", True), ("a", True)]
    monitor.says = [alert(31, follower="c")]
    shown.observe(view(), 14.0)
    assert shown.observe(view(), 16.0) == monitor.says
