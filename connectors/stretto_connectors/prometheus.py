"""What every process exports: stages of lag as gauges, restarts, whether it is the active one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import GaugeMetricFamily

from stretto_schemas import metrics
from stretto_schemas.lag.stages import StageLag

RESTARTS = Counter(*metrics.RESTARTS)
ACTIVE = Gauge(*metrics.ACTIVE)


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
        stages = self._lag()
        for name, value in (
            (metrics.LAG_SECONDS, lambda lag: lag.seconds),
            (metrics.LAG_BYTES, lambda lag: lag.bytes),
            (metrics.LAG_RECORDS, lambda lag: lag.records),
        ):
            family = GaugeMetricFamily(name.name, name.help, labels=name.labels)
            for stage, lag in stages.items():
                if name is metrics.LAG_RECORDS and not lag.counted:
                    continue  # no sample rather than a wrong one
                family.add_metric((self._source, self._follower, stage), value(lag))  # type: ignore[no-untyped-call]
            yield family

    def describe(self) -> list[GaugeMetricFamily]:
        """No collection at registration."""
        return []
