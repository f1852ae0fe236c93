"""What the Prometheus registry holds, as numbers with names: nothing is counted a second time for StatsD. Pure.

Of the registry only what `stretto_schemas.metrics` declares is taken. A histogram becomes two counters, its count and its
sum, as Datadog's own reader of Prometheus metrics has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import Metric

from stretto_schemas import metrics

_DECLARED = {name.family: name for name in metrics.ALL}
_OF_HISTOGRAM = {"_count": ".count", "_sum": ".sum"}


@dataclass(frozen=True, slots=True)
class Reading:
    """One number of one metric at one moment."""

    name: str
    """Dotted: `stretto.replication_lag_seconds`."""
    labels: Mapping[str, str]
    value: float
    counter: bool = False
    """The value only grows while the process lives."""

    @property
    def key(self) -> tuple[str, ...]:
        """The same for every reading of the same series."""
        return (self.name, *(f"{label}={value}" for label, value in sorted(self.labels.items())))


def dotted(name: str) -> str:
    """A metric's name as StatsD has it: `stretto_apply_records_total` is `stretto.apply_records`."""
    return name.removesuffix("_total").replace("_", ".", 1)


def readings(families: Iterable[Metric]) -> Iterator[Reading]:
    """All that can be sent of what a registry collected. Values that are no number are left out."""
    for family in families:
        declared = _DECLARED.get(family.name)
        if declared is None:
            continue
        name = dotted(declared.name)
        for sample in family.samples:
            if sample.value != sample.value or abs(sample.value) == float("inf"):
                continue
            ending = sample.name.removeprefix(family.name)
            if declared.kind == "gauge" and ending == "":
                yield Reading(name, sample.labels, sample.value)
            elif declared.kind == "counter" and ending == "_total":
                yield Reading(name, sample.labels, sample.value, counter=True)
            elif declared.kind == "histogram" and ending in _OF_HISTOGRAM:
                yield Reading(name + _OF_HISTOGRAM[ending], sample.labels, sample.value, counter=True)


class Deltas:
    """How much each counter grew since it was last sent."""

    def __init__(self) -> None:
        self._sent: dict[tuple[str, ...], float] = {}

    def of(self, now: Iterable[Reading]) -> list[Reading]:
        """The same readings, counters as what they grew by since `sent`. The first time that is all they have."""
        return [
            Reading(each.name, each.labels, each.value - self._sent.get(each.key, 0.0), counter=True)
            if each.counter
            else each
            for each in now
        ]

    def sent(self, now: Iterable[Reading]) -> None:
        """These readings, as the registry had them, went out."""
        self._sent = {each.key: each.value for each in now if each.counter}
