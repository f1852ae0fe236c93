"""Alerts for a screen: those of the lag monitor where one answers, else the screen's own.

1. The monitor that the settings name is asked every `ASK_S`; what it said holds until the next time.
2. While it does not answer, the screen judges by itself. It goes on from what was shown last: what was told is not told
   again, and its end is.
"""

from __future__ import annotations

import http.client
import logging
import math
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from stretto_consumers.lag.alerts import Alerts, AlertsState, KeyState
from stretto_consumers.lag.processes import get, place
from stretto_schemas.lag.view import Alert, PipelineView
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

ASK_S: Final = 2.0
ANSWER_S: Final = 0.5
"""A monitor that takes longer is none: a look waits for its answer."""

SHOWN_OVER: Final = 20
"""Alerts that are over and shown."""

READING: Final = ("running", "standby")
"""States in which a monitor has read what was told before it began."""


class _Status(msgspec.Struct):
    """What matters here of the monitor's /status."""

    process: str
    source: str
    state: str
    prefix: str
    at_us: int
    alerts: list[Alert]


_decode = msgspec.json.Decoder(_Status).decode


def monitors_alerts(settings: Settings) -> list[Alert] | None:
    """What is wrong now, then what is over, by the lag monitor of this pipeline; None where none answers. Never raises."""
    found = place(settings, "lag")
    if found is None:
        return None
    try:
        said = _decode(get(*found, "/status", ANSWER_S))
    except (OSError, ValueError, http.client.HTTPException) as error:  # msgspec's errors are ValueErrors
        log.debug("no lag monitor answers on %s:%d: %s", *found, error)
        return None
    if (said.process, said.source, said.prefix) != ("lag", settings.source.name, settings.prefix):
        return None
    if not said.at_us or (said.state not in READING and not said.alerts):
        return None  # it has only begun
    return said.alerts


class ShownAlerts:
    """One screen's. One thread."""

    def __init__(self, after_s: float, ask: Callable[[], list[Alert] | None]) -> None:
        """`after_s` is `lag.alert_after_s`, for the screen's own judgement; `ask` is `monitors_alerts`."""
        self._after_s = after_s
        self._ask = ask
        self._asked_at = -math.inf
        self._own: Alerts | None = None
        """None while the monitor answers."""
        self._shown: list[Alert] = []

    def observe(self, view: PipelineView, at: float) -> list[Alert]:
        """What to show beside this look: what is wrong, then what is over. `at` is the monotonic clock, seconds."""
        if at - self._asked_at >= ASK_S:
            self._asked_at = at
            self._hear(self._ask())
        if self._own is not None:
            self._own.observe(view, at)
            self._shown = self._own.listed()
        wrong = [alert for alert in self._shown if not alert.recovered]
        return wrong + [alert for alert in self._shown if alert.recovered][:SHOWN_OVER]

    def _hear(self, said: list[Alert] | None) -> None:
        if said is not None:
            self._own, self._shown = None, said
        elif self._own is None:
            self._own = Alerts(self._after_s, goes_on_from(self._shown))


def goes_on_from(told: Sequence[Alert]) -> AlertsState:
    """The state of whoever told this: trouble goes on, and what had not lasted begins anew."""
    raised = [KeyState(alert.follower, alert.source, alert.kind, alert) for alert in told if not alert.recovered]
    return AlertsState(raised, [alert for alert in told if alert.recovered])
