"""Series under the names that Datadog's own integrations use, so that dashboards and monitors made for those find them.

Sources of the names: metadata.csv of `postgres` and `kafka_consumer` in DataDog/integrations-core;
`kafka.consumer_lag_seconds` as `kafka_consumer` has called it since it began to tell seconds. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from stretto.process.statsd.reading import Reading, dotted
from stretto_schemas import metrics, names
from stretto_schemas.metrics import MetricName
from stretto_schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name for a metric of ours."""

    name: str
    of: MetricName
    stages: tuple[str, ...] = ()
    """Of a metric by stage: those whose sum it is; the label goes."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Our labels, by their names there."""
    tags: tuple[str, ...] = ()
    """More tags: `group` (consumer_group), `slot` (slot_name, slot_type)."""


ALIASES: Final = (
    Alias("postgresql.replication_delay", metrics.LAG_SECONDS, ("total",)),
    Alias("postgresql.replication_delay_bytes", metrics.LAG_BYTES, ("total",)),
    Alias("postgresql.replication_slot.restart_delay_bytes", metrics.SLOT_RETAINED, tags=("slot",)),
    Alias("kafka.consumer_lag_seconds", metrics.LAG_SECONDS, ("log", "apply"), tags=("group",)),
    Alias("kafka.consumer_lag", metrics.CONSUMERGROUP_LAG, renamed={"consumergroup": "consumer_group"}),
    Alias("kafka.consumer_offset", metrics.CONSUMERGROUP_OFFSET, renamed={"consumergroup": "consumer_group"}),
    Alias("kafka.broker_offset", metrics.PARTITION_OFFSET),
)


def aliases(now: Iterable[Reading], settings: Settings) -> Iterator[Reading]:
    """The readings that have another name, under it."""
    by_name: dict[str, list[Reading]] = {}
    for each in now:
        by_name.setdefault(each.name, []).append(each)
    more = {
        "group": {
            "consumer_group": names.consumer_group(settings.prefix, settings.source.name, settings.follower.name)
        },
        "slot": {"slot_name": settings.source.slot_name, "slot_type": "logical"},
    }
    for alias in ALIASES:
        tags = {key: value for kind in alias.tags for key, value in more[kind].items()}
        for labels, value in _summed(alias, by_name.get(dotted(alias.of.name), [])):
            yield Reading(alias.name, labels | tags, value)


def _summed(alias: Alias, found: list[Reading]) -> Iterator[tuple[dict[str, str], float]]:
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for each in found:
        if alias.stages and each.labels.get("stage") not in alias.stages:
            continue
        left = {alias.renamed.get(label, label): value for label, value in each.labels.items() if label != "stage"}
        key = tuple(left.items())
        sums[key] = sums.get(key, 0.0) + each.value
    for key, value in sums.items():
        yield dict(key), value
