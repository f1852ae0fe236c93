"""From points to what is drawn, the same in a terminal and in a file. Pure."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from stretto_schemas.lag.stages import MEANING, STAGES
from stretto_schemas.lag.view import Point
from stretto_schemas.lag.words import duration, number

MOST_LINES: Final = 8
"""More cannot be told apart."""

GAP_S: Final = 150.0
"""The coarsest points are a minute apart. Where none is for longer nobody looked, and nothing is drawn."""

ROUNDED: Final = 1e-9
"""0.1 / 0.02 is no more than 5."""

STEPS_S: Final = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400)


@dataclass(frozen=True, slots=True)
class Line:
    """Seconds of lag over time (seconds since 1970), oldest first."""

    name: str
    points: list[tuple[float, float]]

    @property
    def most(self) -> float:
        """Its highest value."""
        return max(value for _, value in self.points)

    @property
    def last(self) -> float:
        """Its newest value."""
        return self.points[-1][1]

    def parts(self) -> Iterator[list[tuple[float, float]]]:
        """Cut where nobody looked."""
        part: list[tuple[float, float]] = []
        for at, value in self.points:
            if part and at - part[-1][0] > GAP_S:
                yield part
                part = []
            part.append((at, value))
        yield part


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines with most lag first, and the times that the picture spans."""

    title: str
    begin_s: float
    end_s: float
    lines: list[Line]
    note: str = ""
    """What is left out."""
    ticks: list[tuple[float, str]] = field(default_factory=list)
    """Times with their words, in the time zone of whoever looks."""

    @property
    def most(self) -> float:
        """The highest value of all lines."""
        return max((line.most for line in self.lines), default=0.0)


def chart(points: Sequence[Point], since_s: float, now_s: float, follower: str | None, stage: str | None) -> Chart:
    """Of one follower all stages, of all followers the total; `stage`: only that. At least one point."""
    stages = (stage,) if stage is not None else STAGES if follower is not None else ("total",)
    series: dict[str, list[tuple[float, float]]] = {}
    sources = {point.source for point in points}
    for point in points:
        whose = point.follower if len(sources) == 1 else f"{point.follower}/{point.source}"
        for each in stages:
            if each in point.seconds:
                series.setdefault(each if follower is not None else whose, []).append(
                    (point.at_us / 1e6, max(0.0, point.seconds[each]))
                )
    lines = [Line(name, found) for name, found in series.items()]
    if follower is None:
        lines.sort(key=lambda line: (-line.most, line.name))
    left = len(lines) - MOST_LINES
    return Chart(
        title=_title(since_s, follower, stage),
        begin_s=now_s - since_s,
        end_s=now_s,
        lines=lines[:MOST_LINES],
        note=f"{number(left, 'follower')} more with less lag: name one with --follower" if left > 0 else "",
        ticks=ticks(now_s - since_s, now_s),
    )


def _title(since_s: float, follower: str | None, stage: str | None) -> str:
    whose = f"follower {follower}" if follower is not None else "all followers"
    what = f"{stage} ({MEANING[stage]})" if stage is not None else "all stages" if follower is not None else "total"
    return f"lag in seconds, {whose}, {what}, last {duration(since_s)}"


def ticks(begin_s: float, end_s: float) -> list[tuple[float, str]]:
    """At most seven round times between the two."""
    step_s = next((step for step in STEPS_S if (end_s - begin_s) / step <= 7), STEPS_S[-1])
    offset_s = _local(end_s).utcoffset()
    shift_s = offset_s.total_seconds() if offset_s is not None else 0.0
    first = math.ceil((begin_s + shift_s) / step_s) * step_s - shift_s
    words = "%H:%M:%S" if step_s < 60 else "%H:%M"
    count = int((end_s - first) // step_s) + 1
    return [(at, f"{_local(at):{words}}") for at in (first + index * step_s for index in range(count))]


def _local(at_s: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(at_s, dt.UTC).astimezone()


def heights(most: float) -> list[float]:
    """Round values from 0 to beyond the highest, at most six."""
    if most <= 0:
        return [0.0, 1.0]
    step = 10.0**-3
    while True:
        for factor in (1, 2, 5):
            if most / (step * factor) <= 5 + ROUNDED:
                count = math.ceil(most / (step * factor) - ROUNDED)
                return [round(index * step * factor, 6) for index in range(max(1, count) + 1)]
        step *= 10
