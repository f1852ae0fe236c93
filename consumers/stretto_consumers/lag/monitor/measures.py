"""What the monitor exports to Prometheus: its verdict on each follower, computed from the newest view when it is asked for.

By follower and by source, never by table: some fifteen samples a follower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily

from stretto_connectors.prometheus import gauges
from stretto_schemas import metrics
from stretto_schemas.lag.verdict import STATUSES
from stretto_schemas.lag.view import FollowerView, PipelineView


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
        sources = view.sources if view is not None else []
        names = {(each.source, each.name): each for each in followers}
        verdicts = (
            ((*labels, status), float(status == each.status)) for labels, each in names.items() for status in STATUSES
        )
        yield gauges(metrics.MONITOR_STATUS, verdicts)
        stages = (
            ((*labels, stage), lag.seconds)
            for labels, each in names.items()
            for stage, lag in each.lag.items()
            if lag is not None
        )
        yield gauges(metrics.MONITOR_STAGES, stages)
        for name, values in (
            (metrics.MONITOR_SLOPE, {labels: each.slope for labels, each in names.items()}),
            (metrics.MONITOR_CATCH_UP, {labels: each.catch_up_s for labels, each in names.items()}),
            (metrics.COPY_RATIO, {labels: _copied(each) for labels, each in names.items()}),
            (metrics.APPLY_DELAY, {labels: each.delay_s for labels, each in names.items()}),
            (metrics.LAG_BUDGET, {labels: each.budget_s for labels, each in names.items()}),
            (metrics.SLOT_RETAINED, {(each.name,): each.slot.retained_bytes for each in sources if each.slot}),
            (metrics.RETAINED_LIMIT, {(each.name,): each.safe_wal_bytes for each in sources}),
        ):
            yield gauges(name, ((labels, value) for labels, value in values.items() if value is not None))

    def describe(self) -> list[GaugeMetricFamily]:
        """No collection at registration."""
        return []


def _copied(follower: FollowerView) -> float | None:
    """A follower that has a place in the log has its copy."""
    if follower.copied is not None:
        return follower.copied
    return 1.0 if follower.end_lsn else None
