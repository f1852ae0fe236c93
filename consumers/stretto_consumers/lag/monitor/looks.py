"""The monitor's loop: look, judge, tell. It goes on whatever becomes of Faust, for that is when alerts matter.

Only the active monitor tells. Whether this one is, Faust's session knows; while no session runs, what it knew last holds:
of two monitors cut off from Kafka and from each other both may tell, rather than none.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol

from stretto_connectors.prometheus import counter
from stretto_consumers.lag.alerts import Alerts, whole
from stretto_consumers.lag.history import History
from stretto_consumers.lag.hooks import Hooks
from stretto_consumers.lag.look import problem_view
from stretto_consumers.lag.monitor.alert_log import AlertLog
from stretto_consumers.lag.monitor.broker_clock import BrokerClock
from stretto_consumers.lag.monitor.places import Places
from stretto_consumers.lag.monitor.telling import Telling
from stretto_consumers.lag.shown_alerts import goes_on_from
from stretto_consumers.lag.watcher import Watcher
from stretto_schemas import metrics
from stretto_schemas.errors import StrettoError
from stretto_schemas.lag.facts import Observation
from stretto_schemas.lag.verdict import TROUBLE
from stretto_schemas.lag.view import Alert, PipelineView, Point
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

TOLD = counter(metrics.MONITOR_ALERTS)

ALERTED = [
    *(("status", status) for status in (*TROUBLE, "OK")),
    *(("budget", status) for status in ("exceeded", "kept")),
]
"""Kinds and statuses that an alert or a recovery can have."""

TELL_POINTS_S = 5.0
"""Looks are written together this often, also where there is no follower: whether Kafka takes them says that it is there."""
SHOWN_ALERTS = 100


class Observing(Protocol):
    """What takes looks: `stretto_consumers.lag.look.Observer`."""

    def look(self) -> Observation:
        """One look; blocks up to some seconds."""

    def close(self) -> None:
        """Leave all servers."""


class Looks:
    """Runs in a thread of its own from `start` to `stop`. What it shows may be read from any thread."""

    def __init__(self, settings: Settings, found: Places, observer: Observing, active: Callable[[], bool]) -> None:
        self.view: PipelineView | None = None
        self.looked_at: float | None = None
        """When the newest look ended, monotonic seconds."""
        self.failure: Exception | None = None
        """What ended the loop."""
        self.clock = BrokerClock()
        self.hooks = Hooks(settings.lag)
        self.alert_log = AlertLog(settings.kafka, found.alerts)
        for told in ALERTED:
            TOLD.labels(*told)  # shown as 0 from the start
        self._every_s = settings.lag.look_s
        self._after_s = settings.lag.alert_after_s
        self._observer = observer
        self._active = active
        self._watcher = Watcher()
        self._history = History()
        self._newest: tuple[float, int] | None = None
        """When the newest look of the history was taken, by the monotonic clock and as it is dated there."""
        self._history_lock = threading.Lock()
        self._alerts: Alerts | None = None
        """None while another monitor tells."""
        self._telling = Telling(settings.kafka, found, self.clock)
        self._untold: list[Point] = []
        self._told_points_at = time.monotonic()
        self._told_is_gone = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="looks", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End. A look that waits for a server is left behind."""
        self._stop.set()
        self._thread.join(timeout_s)
        self.hooks.close()
        self._telling.close()

    def forget_told(self) -> None:
        """The topic of alerts is another one, or none: from the next look on only what is told there was told."""
        self._told_is_gone.set()

    @property
    def telling(self) -> bool:
        """Whether this monitor tells."""
        return self._alerts is not None

    def history(self, since_s: float) -> tuple[int, list[Point]]:
        """What time it is, microseconds since 1970, and points of the looks of the last so many seconds, oldest first.

        Both by the broker's clock; by this machine's until the broker took a record.
        """
        with self._history_lock:
            if self._newest is None:
                return time.time_ns() // 1000, []
            at, at_us = self._newest
            now_us = at_us + round((time.monotonic() - at) * 1e6)
            return now_us, self._history.since(now_us - round(since_s * 1e6))

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                began = time.monotonic()
                self._round()
                self._stop.wait(max(0.0, self._every_s - (time.monotonic() - began)))
            self._observer.close()
            self.alert_log.close()
        except Exception as error:  # noqa: BLE001 - raised again by the thread that runs the service
            self.failure = error

    def _round(self) -> None:
        try:
            seen = self._observer.look()
        except StrettoError as error:
            if not error.retryable:
                raise
            log.warning("no look: %s", error.found)
            return
        view = self._watcher.observe(seen)
        points = self._watcher.points()
        with self._history_lock:
            self._newest = seen.at, self.clock.us(seen.at) or seen.at_us
            self._history.add(*self._newest, points)
        if self._takes_place():
            self._tell(view, seen.at, points)
        trouble = self._telling.trouble
        if trouble is not None and self.telling:
            view.problems.append(problem_view(trouble))
        view.alerts = self.alert_log.listed(SHOWN_ALERTS)
        view.unreadable += self.alert_log.unreadable
        self.view = view
        self.looked_at = time.monotonic()

    def _takes_place(self) -> bool:
        """Whether this monitor tells, now: it begins with what was told before, so nothing is told twice."""
        try:
            if self._told_is_gone.is_set():
                self._told_is_gone.clear()
                self._alerts = None
                self._telling.forget()
                self.alert_log.forget()
            active = self._active()
            if not active:
                self._alerts, self._untold = None, []
            self.alert_log.read(to_the_end=active and self._alerts is None)
            if active and self._alerts is None:
                self._alerts = Alerts(self._after_s, goes_on_from(self.alert_log.wrong()))
                log.info("this monitor tells alerts; wrong so far: %d", len(self.alert_log.wrong()))
        except StrettoError as error:
            if not error.retryable:
                raise
            log.warning("alerts cannot be read: %s", error.found)
        return self._alerts is not None

    def _tell(self, view: PipelineView, at: float, points: list[Point]) -> None:
        assert self._alerts is not None, "this monitor tells"
        for alert in self._alerts.observe(view, at):
            log.log(logging.INFO if alert.recovered else logging.WARNING, "%s", sentence(alert))
            TOLD.labels(alert.kind, alert.status).inc()
            self._telling.alert(alert)
            self.alert_log.note(alert)
            self.hooks.put(alert)
        self._untold += points
        if time.monotonic() - self._told_points_at >= TELL_POINTS_S:
            self._telling.points(self._untold)
            self._untold, self._told_points_at = [], time.monotonic()
        self._telling.poll()


def sentence(alert: Alert) -> str:
    """For the log."""
    was = whole(alert) if alert.recovered else alert.before
    what = f"follower {alert.follower} of {alert.source}: {alert.status} (was {was}): {alert.reason}"
    return f"{what}; {alert.likely}" if alert.likely else what
