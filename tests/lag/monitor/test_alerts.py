"""Alerts over a log written by hand: told once, recovered once, whatever becomes of the monitor in between."""

from __future__ import annotations

import time
from pathlib import Path

from stretto_schemas.lag.view import Alert
from tests.lag.monitor.fix_log import Served, WrittenLog

BUDGET_S = 1.0
END = 1 << 50
"""Beyond the server's own WAL: nothing waits there to be captured."""


def _behind(written: WrittenLog, name: str = "near") -> None:
    """A transaction of a minute ago is not visible on a follower that wants no more than a second."""
    written.frontier(END - 100, ago_s=70)
    written.frontier(END, ago_s=60)
    written.follower(name, END - 100, 1, budget_s=BUDGET_S)
    written.flush()


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
    _behind(written)
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
    _behind(written)
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


def test_alerts_reach_a_hook(written: WrittenLog, tmp_path: Path) -> None:
    written.make()
    script, taken = tmp_path / "hook.sh", tmp_path / "taken"
    script.write_text(f"cat >> '{taken}'; echo >> '{taken}'\n")
    monitor = written.monitor(hook_command=f"sh '{script}'").running()
    _behind(written)
    _tells(written, monitor, 1)
    monitor.until(lambda it: it.json("/status")["hooks"][0]["taken"] >= 1, "alert that the hook took")
    assert '"exceeded"' in taken.read_text()


def _seen_for(monitor: Served, seconds: float) -> None:
    """Wait until looks of so many seconds have gone by: long enough for an alert, were there one to tell."""
    began = time.monotonic()
    monitor.until(lambda it: (it.monitor._looks.looked_at or 0) > began + seconds, "looks")
