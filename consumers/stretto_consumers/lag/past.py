"""What the lag monitor remembers, for a screen that begins later."""

from __future__ import annotations

import http.client
import logging
from dataclasses import dataclass, field

import msgspec

from stretto_consumers.lag.alerts import AlertsState, KeyState
from stretto_consumers.lag.history import History
from stretto_consumers.lag.processes import TIMEOUT_S, place
from stretto_schemas.lag.view import Alert, Point, decode_points
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

_decode_alerts = msgspec.json.Decoder(list[Alert]).decode


@dataclass(frozen=True, slots=True)
class Past:
    """Points, oldest first, and alerts; both empty where no monitor answers."""

    points: list[Point] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)

    def alerts_state(self) -> AlertsState:
        """What is told already, for `Alerts` to go on from."""
        newest: dict[tuple[str, str, str], Alert] = {}
        for alert in sorted(self.alerts, key=lambda alert: alert.at_us):
            newest[alert.follower, alert.source, alert.kind] = alert
        raised = [alert for alert in newest.values() if not alert.recovered]
        keys = [KeyState(alert.follower, alert.source, alert.kind, alert) for alert in raised]
        return AlertsState(keys, [alert for alert in self.alerts if alert.recovered])

    def fill(self, history: History, at: float, at_us: int) -> None:
        """Add the points to an empty history. `at` and `at_us` are now, by the monotonic and the wall clock."""
        moments: dict[int, list[Point]] = {}
        for point in self.points:
            if point.at_us < at_us:
                moments.setdefault(point.at_us, []).append(point)
        for moment_us, points in sorted(moments.items()):
            history.add(at - (at_us - moment_us) / 1e6, moment_us, points)


def remembered(settings: Settings, since_s: float) -> Past:
    """Ask the monitor that the settings name; blocks some seconds at most and never raises."""
    found = place(settings, "lag")
    if found is None:
        return Past()
    host, port = found
    try:
        return Past(
            decode_points(_get(host, port, f"/history?since={since_s:g}")), _decode_alerts(_get(host, port, "/alerts"))
        )
    except (OSError, ValueError, http.client.HTTPException) as error:  # msgspec's errors are ValueErrors
        log.info("no lag monitor answers on %s:%d (%s): what was before is not known", host, port, error)
        return Past()


def _get(host: str, port: int, page: str) -> bytes:
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", page)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise ValueError(f"HTTP {answer.status} to {page}")
    return body
