"""Kafka's own idea of lag, offsets of a group, under the names that kafka_exporter (danielqsj/kafka_exporter) gave them.

One series a partition, so a pipeline of 2,000 tables has 24,000 of them: the reason why `metrics.consumergroup_lag` is off.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily

from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.reader import end_offsets
from stretto_connectors.prometheus import gauges
from stretto_schemas import metrics
from stretto_schemas.errors import StrettoError
from stretto_schemas.settings import KafkaSettings

log = logging.getLogger(__name__)

Place = tuple[str, int]
"""A topic and the number of a partition."""

ASK_AGAIN_S = 5.0
"""What the broker said, or that it said nothing, holds so long, however many ask."""

ASK_S = 3.0
"""A scrape does not wait longer for a broker that is away."""


class GroupLagCollector:
    """Offsets of one group: where it stands, where its partitions end, and what lies between. Any thread may collect.

    The ends are asked of the broker by a client of its own, when they are asked for. The reader's client knows them too,
    but only from its last fetch: while the follower is paused or holds a partition back they would stand still, and the lag
    with them; and it must not be called by another thread while it is closed.
    """

    def __init__(
        self,
        group: str,
        applied: Callable[[], Mapping[Place, int] | None],
        ends: Callable[[Iterable[Place]], Mapping[Place, int]],
    ) -> None:
        """`applied`: by partition the offset of the next record to apply; None while the process does not apply.

        `ends`: what `end_offsets` says; may raise StrettoError.
        """
        self._group = group
        self._applied = applied
        self._ask = ends
        self._lock = threading.Lock()
        self._ends: Mapping[Place, int] = {}
        self._asked_at = -ASK_AGAIN_S
        self._trouble = ""

    @classmethod
    def register(cls, kafka: KafkaSettings, group: str, applied: Callable[[], Mapping[Place, int] | None]) -> None:
        """Add the gauges to the default registry."""
        client = admin(kafka)
        REGISTRY.register(cls(group, applied, lambda places: end_offsets(client, kafka, places, timeout_s=ASK_S)))

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Called by prometheus-client."""
        applied = self._applied() or {}
        ends = self._known_ends(applied)
        lag = {place: max(0, end - applied[place]) for place, end in ends.items() if place in applied}
        yield gauges(metrics.CONSUMERGROUP_LAG, self._labelled(lag))
        yield gauges(metrics.CONSUMERGROUP_OFFSET, self._labelled(applied))
        yield gauges(metrics.PARTITION_OFFSET, (((t, str(n)), end) for (t, n), end in ends.items()))

    def describe(self) -> list[GaugeMetricFamily]:
        """No collection at registration."""
        return []

    def _labelled(self, offsets: Mapping[Place, int]) -> Iterator[tuple[tuple[str, ...], float]]:
        for (topic, number), offset in offsets.items():
            yield (self._group, topic, str(number)), offset

    def _known_ends(self, applied: Mapping[Place, int]) -> Mapping[Place, int]:
        """Empty while the broker does not say."""
        with self._lock:
            if not applied or time.monotonic() - self._asked_at < ASK_AGAIN_S:
                return self._ends if applied else {}
            try:
                self._ends = self._ask(applied)
            except StrettoError as error:
                self._ends = {}
                if not self._trouble:
                    log.warning("kafka_consumergroup_lag has no samples for now: %s", error.found)
                self._trouble = error.found
            else:
                self._trouble = ""
            self._asked_at = time.monotonic()
            return self._ends
