"""Whether a process is ready, as a metric: what /readyz answers, asked when metrics are."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily

from stretto.process.service import Service
from stretto_connectors.prometheus import gauges
from stretto_schemas import metrics


class ReadyCollector:
    """One sample of one service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Called by prometheus-client."""
        ready, _ = self._service.ready()
        yield gauges(metrics.READY, [((self._service.name,), float(ready))])

    def describe(self) -> list[GaugeMetricFamily]:
        """No collection at registration."""
        return []
