"""Which way lag goes, how fast, and when it will be over.

1. Slope: Theil and Sen's, the median of the slopes between all pairs of looks. A batch that jumps, a look that came late or
   a burst pull a least-squares line about; this one bears up to 29 % of such looks. Cost is the square of the looks, so at
   most `POINTS` of them, evenly spaced, are taken. Source: P. K. Sen, Estimates of the Regression Coefficient Based on
   Kendall's Tau, JASA 63 (1968); P. J. Rousseeuw, A. M. Leroy, Robust Regression and Outlier Detection (1987), p. 67.
2. What counts is lag beyond the delay that was asked for.
3. Rates are means over the window. A count that falls began anew at 0, as Prometheus's `increase` takes it.
4. Time to catch up: none when no more than `FLOOR_S` waits; nobody can tell when seconds do not shrink by more than
   `STEADY`; else what waits divided by how fast it shrinks. Seconds of lag jump over hours in which nothing was written,
   bytes do not, but know nothing of a delay: of both, without a delay, the surer one is taken, bytes when they are equal.
   Of a first copy: what is left of it, divided by how fast it goes.
5. How sure that is: (1 - half the distance between the quartiles of the pairs' slopes / their median), not below 0, times
   the part of `WINDOW_S` that has been looked at, not above 1. Exact looks on a line over a whole window: 1; slopes that
   scatter as much as they amount to: 0. Nothing waits: 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from stretto_schemas.lag.samples import FLOOR_S, WINDOW_S, Sample

POINTS: Final = 24
"""276 pairs, 40 microseconds: 200 followers cost about a hundredth of a core at a look a second."""

STEADY: Final = 0.05
"""Seconds a second. Batches of a second or two make lags scatter by half a second; over a window that is a slope of about
0.01, and up to 0.04 with larger batches."""


@dataclass(frozen=True, slots=True)
class Trend:
    """Of one follower over its window; None where too little is known."""

    slope: float | None
    """Seconds of lag gained in a second; below 0: lost."""
    rows_per_s: float | None
    """Rows applied."""
    bytes_per_s: float | None
    """WAL that its position has passed."""
    catch_up_s: float | None
    """Until nothing waits, at the present pace; None: never, or nobody can tell."""
    sure: float
    """0 to 1, see rule 5; 0 when `catch_up_s` is None."""


UNKNOWN: Final = Trend(None, None, None, None, 0.0)


@dataclass(frozen=True, slots=True)
class Slope:
    """A median of pairs' slopes and how far they scatter."""

    median: float
    sure: float
    """Rule 5."""


def theil_sen(points: Sequence[tuple[float, float]]) -> Slope | None:
    """Slope of values over times in seconds, which must grow; None of fewer than two points."""
    if len(points) < 2:
        return None
    points = _thinned(points)
    slopes = sorted(
        (value - before) / (time - earlier)
        for index, (earlier, before) in enumerate(points)
        for time, value in points[index + 1 :]
    )
    middle = len(slopes) // 2
    median = slopes[middle] if len(slopes) % 2 else (slopes[middle - 1] + slopes[middle]) / 2
    scatter = (slopes[len(slopes) * 3 // 4] - slopes[len(slopes) // 4]) / 2
    known = min(1.0, (points[-1][0] - points[0][0]) / WINDOW_S)
    return Slope(median, max(0.0, 1 - scatter / abs(median)) * known if median else known * (scatter == 0))


def trend(samples: Sequence[Sample]) -> Trend:
    """Of one follower's looks, oldest first."""
    if not samples:
        return UNKNOWN
    slope = _slope(samples, lambda sample: sample.beyond_s)
    catch_up_s, sure = _catch_up(samples, slope)
    seconds = samples[-1].at - samples[0].at
    return Trend(
        slope=slope.median if slope is not None else None,
        rows_per_s=_gained([sample.rows for sample in samples]) / seconds if seconds > 0 else None,
        bytes_per_s=_gained([sample.end_lsn for sample in samples], anew=False) / seconds if seconds > 0 else None,
        catch_up_s=catch_up_s,
        sure=sure,
    )


def growth_per_s(points: Sequence[tuple[float, int]]) -> float | None:
    """Mean rate of a count that only grows, over points of time in seconds and count; None of fewer than two."""
    if len(points) < 2 or points[-1][0] <= points[0][0]:
        return None
    return _gained([count for _, count in points], anew=False) / (points[-1][0] - points[0][0])


def _catch_up(samples: Sequence[Sample], slope: Slope | None) -> tuple[float | None, float]:
    """Rule 4."""
    newest = samples[-1]
    if newest.state == "copying":
        copied = [sample for sample in samples if sample.copied is not None]
        copying = _slope(copied, lambda sample: sample.copied or 0.0)
        if newest.copied is None or copying is None or copying.median <= 0:
            return None, 0.0
        return (1 - newest.copied) / copying.median, copying.sure
    if newest.beyond_s <= FLOOR_S:
        return 0.0, 1.0
    if slope is None or slope.median >= -STEADY:
        return None, 0.0
    by_seconds = newest.beyond_s / -slope.median, slope.sure
    by_bytes = _slope(samples, lambda sample: sample.bytes) if newest.delay_s == 0 and newest.bytes > 0 else None
    if by_bytes is not None and by_bytes.median < 0 and by_bytes.sure >= slope.sure:
        return newest.bytes / -by_bytes.median, by_bytes.sure
    return by_seconds


def _slope(samples: Sequence[Sample], value: Callable[[Sample], float]) -> Slope | None:
    return theil_sen([(sample.at, value(sample)) for sample in samples])


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """At most `POINTS`, evenly spaced, the first and the last among them."""
    if len(points) <= POINTS:
        return points
    step = (len(points) - 1) / (POINTS - 1)
    return [points[round(index * step)] for index in range(POINTS)]


def _gained(counts: Sequence[int], *, anew: bool = True) -> int:
    """Rule 3; of a place, not `anew`: one that went back has gained nothing by that."""
    return sum(after - before if after >= before else (after if anew else 0) for before, after in pairwise(counts))
