"""The looks behind the screen, in a thread of their own: a server that does not answer never stops a key."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from stretto_consumers.lag.look import Observer
from stretto_consumers.lag.shown_alerts import ShownAlerts, monitors_alerts
from stretto_consumers.lag.watcher import Watcher
from stretto_schemas.lag.view import PipelineView
from stretto_schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found, and when, by the monotonic clock."""

    view: PipelineView
    at: float


class Looks:
    """Looks every `lag.look_s` from `start()` to `stop()` and tells each one from its own thread."""

    def __init__(self, settings: Settings, tell: Callable[[Look], object], fail: Callable[[Exception], object]) -> None:
        """`fail` is told what ended the thread, if anything but `stop` did."""
        self._settings = settings
        self._tell = tell
        self._fail = fail
        self._stop = threading.Event()
        self._now = threading.Event()
        self._thread = threading.Thread(target=self._run, name="looks", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def hurry(self) -> None:
        """Something was changed: look again now."""
        self._now.set()

    def stop(self, timeout_s: float) -> bool:
        """End; False when a look still waits for a server after so long."""
        self._stop.set()
        self._now.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with Observer(self._settings) as observer:
                self._look(observer)
        except Exception as error:  # noqa: BLE001 - whoever is told raises it
            self._fail(error)

    def _look(self, observer: Observer) -> None:
        watcher = Watcher()
        alerts = ShownAlerts(self._settings.lag.alert_after_s, lambda: monitors_alerts(self._settings))
        while not self._stop.is_set():
            began = time.monotonic()
            self._now.clear()
            seen = observer.look()
            view = watcher.observe(seen)
            view.alerts = alerts.observe(view, seen.at)
            if self._stop.is_set():
                return
            self._tell(Look(view, seen.at))
            self._now.wait(max(0.0, self._settings.lag.look_s - (time.monotonic() - began)))
