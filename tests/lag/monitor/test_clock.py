"""Monitors whose own clock is off: how far back they read and what they remember is a matter of the broker's clock."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, but not by name
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from stretto.embedded.processes import wait_until
from stretto_connectors.kafka.client import admin
from stretto_consumers.lag.monitor.tables import KEPT_S
from stretto_schemas.lag.view import Point, encode_points
from tests.fix_processes import Processes, Running
from tests.lag.conftest import address
from tests.lag.monitor.fix_log import DEADLINE_S, WrittenLog

CLOCK_OFF = str(Path(__file__).parents[1] / "clock_off.py")
NEAR_S = 60.0
"""A window ends so long after what is in it at most."""


class OffClock:
    """A monitor in a process of its own, under a clock that is off."""

    def __init__(self, processes: Processes, written: WrittenLog, off_s: float) -> None:
        settings = {"prefix": written.settings.prefix, "lag__look_s": "0.2"}
        self._running: Running = processes.start([sys.executable, CLOCK_OFF, str(off_s), "run", "lag"], **settings)
        self._address = address(self._running)

    def json(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self._address}{path}", timeout=DEADLINE_S) as answer:
            return json.load(answer)

    def rows(self) -> int:
        """What went through the log, by the minute windows."""
        return sum(row["rows"] for row in self.json("/windows")["flow"].get("minute", []))

    @property
    def log(self) -> str:
        return self._running.log


@pytest.mark.parametrize("off_s", [1.5 * KEPT_S, -1.5 * KEPT_S])
def test_a_monitor_reads_as_far_back_as_windows_are_kept(
    written: WrittenLog, processes: Processes, off_s: float
) -> None:
    found = written.places
    written.make_with_own_times(*found.watched)
    for _ in range(50):
        written.send(found.transactions, b"so old that nobody reads it", at_s=time.time() - 2 * KEPT_S)
    written.frontier(100)
    written.frontier(200)
    written.flush()
    monitor = OffClock(processes, written, off_s)
    assert wait_until(lambda: monitor.rows() == 1, DEADLINE_S), monitor.log
    assert monitor.json("/status")["unreadable_here"] == 0


@pytest.mark.parametrize("off_s", [3600.0, -3600.0])
def test_its_history_is_by_the_brokers_clock_and_goes_on_from_what_another_process_saw(
    written: WrittenLog, processes: Processes, off_s: float
) -> None:
    written.make()
    points = written.places.points
    written.make_with_own_times(points)
    ago_s = time.time() - 600
    written.send(points, encode_points([Point(int(ago_s * 1e6), "near", "leader", {"total": 15.0})]), at_s=ago_s)
    written.follower("near", 100, 1)
    written.flush()
    _by_the_brokers_clock(written, points)
    monitor = OffClock(processes, written, off_s)

    def history(since_s: int) -> list[float]:
        """How long ago the points were, by the true time."""
        return [time.time() - at_us / 1e6 for at_us, *_ in monitor.json(f"/history?since={since_s}&follower=near")]

    def remembers() -> bool:
        before, *own = history(1200) or [0.0]
        return abs(before - 600) <= NEAR_S and len(own) > 1

    assert wait_until(remembers, DEADLINE_S), monitor.log
    _, *own = history(1200)
    assert max(abs(ago) for ago in own) <= DEADLINE_S
    assert len(history(120)) >= len(own), "its own looks, and no window of ten minutes ago"
    assert max(history(120)) <= DEADLINE_S


def _by_the_brokers_clock(written: WrittenLog, topic: str) -> None:
    """From now on; records that are there keep their times."""
    entry = ConfigEntry("message.timestamp.type", "LogAppendTime", incremental_operation=AlterConfigOpType.SET)
    wanted = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    client = admin(written.settings.kafka)
    for future in client.incremental_alter_configs([wanted]).values():
        future.result(DEADLINE_S)
