"""The lag of all followers over the last day, for charts: the last hour look by look, what is older more coarsely.

1. Fine: at most one point a second of the last hour. Coarse: of each half minute of the last day the point with most lag,
   for a chart must not lose a peak.
2. Points are kept by the observer's monotonic clock and dated when they are asked for, by the clock that dates its looks (the
   broker's for the lag monitor, else the machine's own) as of the newest look: when that was set, what was before is where
   it belongs, and nothing is lost or doubled.
3. A point is 32 bytes: 200 followers over a day take about 45 MB, whatever the number of looks.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from typing import Final

from stretto_schemas.lag.stages import STAGES
from stretto_schemas.lag.view import Point

FINE_S: Final = 3600.0
FINE_EVERY_S: Final = 0.9
"""A look a second comes a little early at times."""

COARSE_S: Final = 86_400.0
COARSE_EVERY_S: Final = 30.0

MOST_POINTS: Final = 50_000
"""Answered at once: about 8 MB of JSON."""


class History:
    """Bounded in time and number. One thread adds and asks."""

    def __init__(self) -> None:
        self._at = self._at_us = 0.0
        self._series: dict[tuple[str, str], tuple[_Series, _Series]] = {}

    def add(self, at: float, at_us: int, points: list[Point]) -> None:
        """Points of a look at `at` (monotonic, seconds), which the clock of rule 2 called `at_us`."""
        self._at, self._at_us = at, at_us
        for point in points:
            key = (point.follower, point.source)
            if key not in self._series:
                self._series[key] = _Series(FINE_S, FINE_EVERY_S), _Series(COARSE_S, COARSE_EVERY_S)
            for series in self._series[key]:
                series.add(at, point)
        for key in [key for key, (_, coarse) in self._series.items() if coarse.last_at < at - COARSE_S]:
            del self._series[key]

    def since(self, us: int, most: int = MOST_POINTS, *, only: tuple[str, str] | None = None) -> list[Point]:
        """Points since this time (microseconds since 1970, by the clock of rule 2), oldest first.

        Of more than `most` only the one with most lag of every few. `only`: of this follower and source.
        """
        after = self._at - (self._at_us - us) / 1e6
        series = self._series.items() if only is None else [(only, self._series[only])] if only in self._series else []
        found = [(key, rows) for key, (fine, coarse) in series if (rows := _joined(fine, coarse, after))]
        every = max(1, math.ceil(sum(len(rows) for _, rows in found) / max(1, most)))
        points = [self._point(key, row) for key, rows in found for row in _peaks(rows, every)]
        return sorted(points, key=lambda point: point.at_us)

    def _point(self, key: tuple[str, str], row: _Row) -> Point:
        """Rule 2."""
        at, values = row
        seconds = {
            stage: round(value, 6) for stage, value in zip(STAGES, values, strict=False) if not math.isnan(value)
        }
        return Point(
            at_us=round(self._at_us - (self._at - at) * 1e6),
            follower=key[0],
            source=key[1],
            seconds=seconds,
            rows_per_s=round(values[-1], 3),
        )


_Row = tuple[float, tuple[float, ...]]
"""When, and the seconds of all stages, then rows a second."""

_WIDTH: Final = len(STAGES) + 1
_TOTAL: Final = STAGES.index("total")


class _Series:
    """Of each `every_s` the row with most total lag, for `keep_s`."""

    def __init__(self, keep_s: float, every_s: float) -> None:
        self._keep_s = keep_s
        self._every_s = every_s
        self._at = array("d")
        self._values = array("f")
        self._begun = -math.inf

    @property
    def last_at(self) -> float:
        return self._at[-1]

    def add(self, at: float, point: Point) -> None:
        values = [point.seconds.get(stage, math.nan) for stage in STAGES]
        row = array("f", [*values, point.rows_per_s])
        if at - self._begun >= self._every_s:
            self._begun = at
            self._at.append(at)
            self._values.extend(row)
        elif not self._values[_TOTAL - _WIDTH] >= row[_TOTAL]:
            self._at[-1] = at
            self._values[-_WIDTH:] = row
        old = len(self._at) // 8
        if old and self._at[old] < at - self._keep_s:  # an eighth at a time, for what is behind moves up
            del self._at[:old]
            del self._values[: old * _WIDTH]

    def rows(self, after: float) -> Iterator[_Row]:
        for index, at in enumerate(self._at):
            if at >= after:
                yield at, tuple(self._values[index * _WIDTH : (index + 1) * _WIDTH])


def _joined(fine: _Series, coarse: _Series, after: float) -> list[_Row]:
    """Coarse rows up to where the fine ones begin."""
    exact = list(fine.rows(after))
    begin = exact[0][0] if exact else math.inf
    return [*(row for row in coarse.rows(after) if row[0] < begin), *exact]


def _peaks(rows: list[_Row], every: int) -> Iterator[_Row]:
    """Of every so many rows the one with most total lag."""
    for first in range(0, len(rows), every):
        yield max(rows[first : first + every], key=lambda row: -1.0 if math.isnan(row[1][_TOTAL]) else row[1][_TOTAL])
