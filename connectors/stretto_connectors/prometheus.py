"""Metrics as prometheus-client has them: made from their declarations, lag and a follower's state read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily

from stretto_schemas import metrics
from stretto_schemas.follower_state import FollowerState
from stretto_schemas.lag.stages import StageLag
from stretto_schemas.metrics import MetricName


def counter(name: MetricName) -> Counter:
    """A counter in the default registry."""
    assert name.kind == "counter"
    return Counter(name.name, name.help, name.labels, unit=name.unit)


def gauge(name: MetricName) -> Gauge:
    """A gauge in the default registry."""
    assert name.kind == "gauge"
    return Gauge(name.name, name.help, name.labels, unit=name.unit)


def histogram(name: MetricName, buckets: Sequence[float]) -> Histogram:
    """A histogram in the default registry; `buckets` are upper bounds in the metric's unit."""
    assert name.kind == "histogram"
    return Histogram(name.name, name.help, name.labels, unit=name.unit, buckets=buckets)


def gauges(name: MetricName, samples: Iterable[tuple[tuple[str, ...], float]]) -> GaugeMetricFamily:
    """A family for a collector: each sample's label values, in the order of the declaration, and its value."""
    family = GaugeMetricFamily(name.name, name.help, labels=name.labels, unit=name.unit)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


RESTARTS = counter(metrics.RESTARTS)
ACTIVE = gauge(metrics.ACTIVE)


class LagCollector:
    """Exports stages as Prometheus gauges, computed when they are asked for."""

    def __init__(self, source: str, follower: str, lag: Callable[[], Mapping[str, StageLag]]) -> None:
        self._source = source
        self._follower = follower
        self._lag = lag

    @classmethod
    def register(cls, source: str, follower: str, lag: Callable[[], Mapping[str, StageLag]]) -> None:
        """Add the three gauges to the default registry."""
        REGISTRY.register(cls(source, follower, lag))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Called by prometheus-client."""
        stages = {(self._source, self._follower, stage): lag for stage, lag in self._lag().items()}
        yield gauges(metrics.LAG_SECONDS, ((labels, lag.seconds) for labels, lag in stages.items()))
        yield gauges(metrics.LAG_BYTES, ((labels, lag.bytes) for labels, lag in stages.items()))
        counted = ((labels, lag.records) for labels, lag in stages.items() if lag.counted)
        yield gauges(metrics.LAG_RECORDS, counted)  # of the others no sample rather than a wrong one

    def describe(self) -> list[GaugeMetricFamily]:
        """No collection at registration."""
        return []


class SourceCollector:
    """Exports what capture knows of its source beside lag; no sample of what is not known."""

    def __init__(
        self, source: str, safe_wal_bytes: Callable[[], int | None], skew_s: Callable[[], float | None]
    ) -> None:
        self._source = source
        self._safe_wal_bytes = safe_wal_bytes
        self._skew_s = skew_s

    @classmethod
    def register(
        cls, source: str, safe_wal_bytes: Callable[[], int | None], skew_s: Callable[[], float | None]
    ) -> None:
        """Add the gauges to the default registry."""
        REGISTRY.register(cls(source, safe_wal_bytes, skew_s))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Called by prometheus-client."""
        safe, skew = self._safe_wal_bytes(), self._skew_s()
        yield gauges(metrics.RETAINED_LIMIT, [] if safe is None else [((self._source,), safe)])
        yield gauges(metrics.CLOCK_SKEW, [] if skew is None else [(("capture", self._source, ""), skew)])

    def describe(self) -> list[GaugeMetricFamily]:
        """No collection at registration."""
        return []


class FollowerCollector:
    """Exports what a follower says of itself, read when it is asked for."""

    def __init__(self, state: Callable[[], FollowerState | None]) -> None:
        """`state` gives None while the process does not apply: then there are no samples."""
        self._state = state

    @classmethod
    def register(cls, state: Callable[[], FollowerState | None]) -> None:
        """Add the gauges to the default registry."""
        REGISTRY.register(cls(state))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Called by prometheus-client."""
        state = self._state()
        yield gauges(metrics.VISIBLE_QUANTILE, _quantiles(state))
        yield gauges(metrics.CLOCK_SKEW, _skew(state))
        of: tuple[tuple[MetricName, Callable[[FollowerState], float]], ...] = (
            (metrics.WAITING_TRANSACTIONS, lambda state: state.waiting_transactions),
            (metrics.STAGED_ROWS, lambda state: state.staged_rows),
            (metrics.APPLY_DELAY, lambda state: state.delay_s),
            (metrics.LAG_BUDGET, lambda state: state.budget_s),
            (metrics.PAUSED, lambda state: state.state == "paused"),
        )
        for name, value in of:
            yield gauges(name, [] if state is None else [((state.source, state.follower), float(value(state)))])

    def describe(self) -> list[GaugeMetricFamily]:
        """No collection at registration."""
        return []


def _quantiles(state: FollowerState | None) -> Iterator[tuple[tuple[str, ...], float]]:
    if state is None:
        return
    for window, seen in state.visible.items():
        if seen.count:  # of an empty window nothing can be told
            for quantile, seconds in (("0.5", seen.p50), ("0.95", seen.p95), ("0.99", seen.p99), ("1", seen.max)):
                yield (state.source, state.follower, window, quantile), seconds


def _skew(state: FollowerState | None) -> Iterator[tuple[tuple[str, ...], float]]:
    if state is not None and state.skew_us is not None:
        yield ("follower", state.source, state.follower), state.skew_us / 1e6
