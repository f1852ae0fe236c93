"""What the lag monitor remembers, for a screen that begins later."""

from __future__ import annotations

import http.client
import logging
from dataclasses import dataclass, field

from stretto_consumers.lag.history import History
from stretto_consumers.lag.processes import get, place
from stretto_schemas.lag.view import Point, decode_points
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Past:
    """Points, oldest first; none where no monitor answers."""

    points: list[Point] = field(default_factory=list)

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
        return Past(decode_points(get(host, port, f"/history?since={since_s:g}")))
    except (OSError, ValueError, http.client.HTTPException) as error:  # msgspec's errors are ValueErrors
        log.info("no lag monitor answers on %s:%d (%s): what was before is not known", host, port, error)
        return Past()
