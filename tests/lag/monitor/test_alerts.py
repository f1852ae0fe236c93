"""Alerts over a log written by hand: told once, recovered once, whatever becomes of the monitor in between."""

from __future__ import annotations

import time
from pathlib import Path

from stretto.embedded.processes import wait_until
from stretto_connectors.kafka.client import admin
from stretto_consumers.lag.look import Observer
from stretto_consumers.lag.monitor.alert_log import AlertLog, alert_key, encode_alert
from stretto_consumers.lag.monitor.looks import Looks
from stretto_consumers.lag.monitor.places import ensure_own
from stretto_schemas.lag.view import Alert
from tests.lag.monitor.fix_log import DEADLINE_S, END, Served, WrittenLog

BUDGET_S = 1.0


def _caught_up(written: WrittenLog, name: str = "near") -> None:
    written.follower(name, END, 2, budget_s=BUDGET_S)
    written.flush()


def _of_budget(written: WrittenLog) -> list[Alert]:
    return [alert for alert in written.alerts() if alert.kind == "budget"]


def _tells(written: WrittenLog, monitor: Served, count: int) -> list[Alert]:
    monitor.until(lambda _: len(_of_budget(written)) >= count, f"{count} alerts of the budget")
    return _of_budget(written)


def test_trouble_and_its_end_are_told_once_each_over_restarts(written: WrittenLog) -> None:
    written.make()
    first = written.monitor().running()
    written.behind("near", BUDGET_S)
    [alert] = _tells(written, first, 1)
    assert (alert.follower, alert.source, alert.status, alert.recovered) == ("near", "leader", "exceeded", False)
    assert alert.lag_s > BUDGET_S
    first.stop()
    second = written.monitor().running()
    second.until(lambda it: it.json("/status")["alerts"], "alert that was told before")
    _seen_for(second, 1.5)
    assert _of_budget(written) == [alert]
    second.stop()
    _caught_up(written)
    third = written.monitor().running()
    _, recovery = _tells(written, third, 2)
    assert recovery.recovered
    assert recovery.since_us == alert.since_us
    [newest, *_] = third.json("/alerts?most=5")
    assert newest["recovered"]


def test_of_two_monitors_one_tells_and_the_other_takes_over(written: WrittenLog) -> None:
    written.make()
    one, other = written.monitor(), written.monitor()
    one.until(
        lambda _: sorted((one.state, other.state)) == ["running", "standby"], "one that tells, one that stands by"
    )
    active, standby = (one, other) if one.state == "running" else (other, one)
    written.behind("near", BUDGET_S)
    [alert] = _tells(written, active, 1)
    standby.until(lambda it: it.json("/alerts"), "the other's alert on the stand-by")
    assert standby.json("/status")["followers"], "a stand-by looks too"
    active.stop()
    standby.running()
    _seen_for(standby, 1.5)
    assert _of_budget(written) == [alert]
    _caught_up(written)
    _, recovery = _tells(written, standby, 2)
    assert recovery.recovered


def test_a_monitor_that_becomes_stand_by_takes_its_own_alerts_for_told_not_for_news(written: WrittenLog) -> None:
    written.make()
    settings, found = written.settings, written.places
    ensure_own(admin(settings.kafka), settings)
    active = [True]
    looks = Looks(settings, found, Observer(settings), lambda: active[0])
    looks.start()
    try:
        written.behind("near", BUDGET_S)
        assert wait_until(lambda: len(_of_budget(written)) == 1, DEADLINE_S)
        _caught_up(written)
        assert wait_until(lambda: len(_of_budget(written)) == 2, DEADLINE_S)
        active[0] = False
        assert wait_until(lambda: not looks.telling, DEADLINE_S)
        other = Alert(
            "budget", "far", "leader", "exceeded", "kept", time.time_ns() // 1000, 1, False, "another monitor's"
        )
        written.send(found.alerts, encode_alert(other), alert_key(other).encode())
        written.flush()
        assert wait_until(lambda: other in looks.alert_log.recent(), DEADLINE_S)
        assert looks.alert_log.wrong() == [other]
        told = [alert for alert in looks.alert_log.recent() if alert.kind == "budget"]
        assert told == [other, *reversed(_of_budget(written)[:2])]
        listed = [alert for alert in looks.alert_log.listed(100) if alert.kind == "budget"]
        assert [alert.recovered for alert in listed] == [False, True]
    finally:
        looks.stop(DEADLINE_S)


def test_what_is_told_while_the_topic_is_away_counts_at_once(written: WrittenLog) -> None:
    away = AlertLog(written.settings.kafka.model_copy(update={"bootstrap": "127.0.0.1:1"}), written.places.alerts)
    alert = Alert("status", "near", "leader", "STALLED", "OK", 1, 1, False, "")
    away.note(alert)
    assert (away.wrong(), away.recent()) == ([alert], [alert])
    over = Alert("status", "near", "leader", "OK", "STALLED", 2, 1, True, "")
    away.note(over)
    assert (away.wrong(), away.listed(5)) == ([], [over])


def test_alerts_reach_a_hook(written: WrittenLog, tmp_path: Path) -> None:
    written.make()
    script, taken = tmp_path / "hook.sh", tmp_path / "taken"
    script.write_text(f"cat >> '{taken}'; echo >> '{taken}'\n")
    monitor = written.monitor(hook_command=f"sh '{script}'").running()
    written.behind("near", BUDGET_S)
    _tells(written, monitor, 1)
    monitor.until(lambda it: it.json("/status")["hooks"][0]["taken"] >= 1, "alert that the hook took")
    assert '"exceeded"' in taken.read_text()


def _seen_for(monitor: Served, seconds: float) -> None:
    """Wait until looks of so many seconds have gone by: long enough for an alert, were there one to tell."""
    began = time.monotonic()
    monitor.until(lambda it: (it.monitor._looks.looked_at or 0) > began + seconds, "looks")
