"""What the monitor exports to Prometheus: its verdict on each follower, computed from the newest view when it is asked for.

By follower, never by table: eight samples a follower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily

from stretto_schemas import metrics
from stretto_schemas.lag.verdict import STATUSES
from stretto_schemas.lag.view import FollowerView, PipelineView

Sample = tuple[tuple[str, ...], float]


class VerdictCollector:
    """Registered once for each monitor; `close` takes it away."""

    def __init__(self, view: Callable[[], PipelineView | None]) -> None:
        self._view = view
        REGISTRY.register(self)

    def close(self) -> None:
        """Export nothing from here on."""
        REGISTRY.unregister(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Called by prometheus-client."""
        view = self._view()
        followers = view.followers if view is not None else []
        for name, samples in (
            (metrics.MONITOR_STATUS, _status),
            (metrics.MONITOR_SLOPE, _slope),
            (metrics.MONITOR_CATCH_UP, _catch_up),
        ):
            family = GaugeMetricFamily(name.name, name.help, labels=name.labels)
            for follower in followers:
                for labels, value in samples(follower):
                    family.add_metric((follower.source, follower.name, *labels), value)
            yield family

    def describe(self) -> list[GaugeMetricFamily]:
        """No collection at registration."""
        return []


def _status(follower: FollowerView) -> Iterable[Sample]:
    return [((status,), float(status == follower.status)) for status in STATUSES]


def _slope(follower: FollowerView) -> Iterable[Sample]:
    return [((), follower.slope)] if follower.slope is not None else []


def _catch_up(follower: FollowerView) -> Iterable[Sample]:
    return [((), follower.catch_up_s)] if follower.catch_up_s is not None else []
