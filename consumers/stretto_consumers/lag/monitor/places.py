"""The monitor's topics: which there are, how they are made, and from where a first start reads."""

from __future__ import annotations

from dataclasses import dataclass

from confluent_kafka.admin import AdminClient

from stretto_connectors.kafka.existing import await_leaders
from stretto_connectors.kafka.topics import (
    BROKERS_CLOCK,
    compacted_config,
    ensure_topics,
    rows_config,
)
from stretto_consumers.lag.monitor.tables import KEPT_S
from stretto_schemas import names
from stretto_schemas.settings import Settings

ALERTS_KEPT_DAYS = 7
"""Every alert stays this long; of older ones the newest of each key, from which a monitor knows what was wrong."""

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Places:
    """Names of all topics that the monitor reads or writes."""

    group: str
    transactions: str
    followers: str
    alerts: str
    points: str
    changelogs: dict[str, str]
    """By table."""

    @property
    def watched(self) -> tuple[str, str]:
        """What others write: without them there is nothing to monitor yet."""
        return self.transactions, self.followers

    @property
    def all(self) -> tuple[str, ...]:
        """What it reads or writes."""
        return *self.watched, self.alerts, self.points, *self.changelogs.values()


def places(settings: Settings) -> Places:
    """Where things are, by the settings."""
    prefix, monitor = settings.prefix, settings.lag.name
    return Places(
        group=names.monitor_group(prefix, monitor),
        transactions=names.transactions_topic(prefix, settings.source.name),
        followers=names.followers_topic(prefix),
        alerts=names.alerts_topic(prefix),
        points=names.points_topic(prefix, monitor),
        changelogs={table: names.changelog_topic(prefix, monitor, table) for table in names.MONITOR_TABLES},
    )


def ensure_own(client: AdminClient, settings: Settings) -> None:
    """Make the monitor's topics that are missing. Raises Unreachable or SettingsError (no right to)."""
    found, kafka = places(settings), settings.kafka
    windows = [topic for table, topic in found.changelogs.items() if table != names.MARKS_TABLE]
    compacted = compacted_config(kafka)
    # A window that is over is never written again: compaction alone would keep it for ever.
    passing = {"retention.ms": str(2 * KEPT_S * 1000), "segment.ms": str(KEPT_S * 1000)}
    made: list[str] = []
    for topics, config in (
        ([found.alerts], compacted | BROKERS_CLOCK | {"min.compaction.lag.ms": str(ALERTS_KEPT_DAYS * DAY_MS)}),
        ([found.points], rows_config(kafka) | BROKERS_CLOCK | passing),
        (windows, compacted | {"cleanup.policy": "compact,delete"} | passing),
        ([found.changelogs[names.MARKS_TABLE]], compacted),
    ):
        made += ensure_topics(client, kafka, topics, partitions=1, config=config)
    await_leaders(client, kafka, made)
