"""The looking: one thread, however many browsers watch."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import Future, wait
from typing import Final

from stretto.web.board import Board
from stretto_consumers.lag.history import History
from stretto_consumers.lag.look import Observer
from stretto_consumers.lag.past import Past, remembered
from stretto_consumers.lag.shown_alerts import ShownAlerts, monitors_alerts
from stretto_consumers.lag.watcher import Watcher
from stretto_schemas.lag.view import PipelineView, Point, encode_view
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

CHART_S: Final = 3600.0
"""What the chart shows."""

CHART_POINTS: Final = 1200
"""Of one follower: a point each three seconds of the hour, more than a chart has pixels for."""

LATE_S: Final = 15.0
"""A look takes some seconds where servers do not answer."""

LEAVE_S: Final = 2.0
"""A look that waits for a server that is slow is left behind so long after the end was asked for."""

NOTICE_S: Final = 0.5
"""So soon it is noticed that looks have ended by an error."""


class Watching:
    """Looks, judges, remembers, and puts each view on the board. `history` and `ready` may be asked from any thread."""

    def __init__(self, alerts: ShownAlerts, past: Past | None = None) -> None:
        past = past or Past()
        now = time.monotonic()
        self._history = History()
        past.fill(self._history, now, time.time_ns() // 1000)
        self._lock = threading.Lock()
        self._alerts = alerts
        self._looked_at: float | None = None
        self.board = Board()

    def take(self, view: PipelineView, points: list[Point], at: float) -> None:
        """Remember one look and show it. `at` is the monotonic clock, seconds."""
        view.alerts = self._alerts.observe(view, at)
        with self._lock:
            self._history.add(at, view.at_us, points)
        self._looked_at = at
        self.board.put(encode_view(view))

    def run(self, settings: Settings, stop: threading.Event) -> None:
        """Look every `lag.look_s` until `stop`. Servers that do not answer are problems in the view, not errors here."""
        looks: Future[None] = Future()

        def look() -> None:
            try:
                self._look(settings, stop)
                looks.set_result(None)
            except BaseException as error:  # noqa: BLE001 - raised again below
                looks.set_exception(error)

        threading.Thread(target=look, name="looks", daemon=True).start()
        while not stop.wait(NOTICE_S) and not looks.done():
            pass
        if wait([looks], LEAVE_S).done:
            looks.result()

    def _look(self, settings: Settings, stop: threading.Event) -> None:
        with Observer(settings) as observer:
            watcher = Watcher()
            due = time.monotonic()
            while not stop.wait(max(0.0, due - time.monotonic())):
                due = time.monotonic() + settings.lag.look_s
                seen = observer.look()
                view = watcher.observe(seen)
                self.take(view, watcher.points(), seen.at)

    def history(self, follower: str, source: str) -> list[Point]:
        """Points of the chart, oldest first."""
        since_us = time.time_ns() // 1000 - round(CHART_S * 1e6)
        with self._lock:
            return self._history.since(since_us, CHART_POINTS, only=(follower, source))

    def ready(self) -> tuple[bool, str]:
        """Whether looks come, and in words."""
        looked_at = self._looked_at
        if looked_at is None:
            return False, "the first look is not done yet"
        ago_s = time.monotonic() - looked_at
        return ago_s < LATE_S, f"last look {ago_s:.1f} s ago"


def watching(settings: Settings) -> Watching:
    """Begins with the hour that the lag monitor remembers, where one answers."""
    alerts = ShownAlerts(settings.lag.alert_after_s, lambda: monitors_alerts(settings))
    return Watching(alerts, remembered(settings, CHART_S))
