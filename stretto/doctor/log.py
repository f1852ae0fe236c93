"""Checks of the broker and the topics."""

from __future__ import annotations

from collections.abc import Iterator

from stretto.doctor.check import Check, each, fail, ok, warn
from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import Cluster, broker_config, read_cluster, topic_configs
from stretto_connectors.kafka.reader import find_frontier
from stretto_connectors.kafka.topics import partition_counts
from stretto_connectors.kafka.writer import LOADING_S, LogWriter
from stretto_connectors.postgres.slot import Slot
from stretto_producers.source.state import SourceTopics, captured_topics, source_topics
from stretto_schemas import names
from stretto_schemas.errors import SettingsError
from stretto_schemas.lsn import format_lsn
from stretto_schemas.settings import Settings

LOG = "log"

REACH_S = 8.0

SINCE_3_7 = "group.coordinator.rebalance.protocols"
"""A broker setting that came with Kafka 3.7; no request of the protocol tells a broker's version."""

THROWAWAY_S = 10.0
"""Transaction timeout of a transaction that is never begun; whether the broker allows capture's is a check of its own."""

THROWAWAY = "doctor"
"""A source cannot be called so and be checked at once: the id `<prefix>.doctor.check` is nobody's."""


class LogChecks:
    """Checks of one broker. Raises Unreachable at construction when it does not answer."""

    def __init__(self, settings: Settings, slot: Slot | None, published: tuple[tuple[str, str], ...]) -> None:
        self._settings = settings
        self._kafka = settings.kafka
        self._slot = slot
        self._client = admin(settings.kafka, "stretto-doctor")
        self._cluster: Cluster = read_cluster(self._client, settings.kafka, REACH_S)
        self._partitions = partition_counts(self._client, settings.kafka, settings.prefix + ".")
        self._topics: SourceTopics = source_topics(settings, self._partitions, published)
        self._captured = captured_topics(settings, self._topics, self._partitions)

    def run(self) -> Iterator[Check]:
        """All of them."""
        return each(
            LOG,
            (
                ("broker", self._reach),
                ("broker settings", self._broker),
                ("transactions", self._transactional),
                ("topics", self._there),
                ("topic settings", self._configs),
                ("frontier", self._frontier),
            ),
        )

    def _reach(self) -> Iterator[Check]:
        yield ok(LOG, "broker", f"{self._kafka.bootstrap} answers, {self._cluster.brokers} broker(s)")
        if self._kafka.replication_factor > self._cluster.brokers:
            yield fail(
                LOG,
                "replicas",
                f"replication_factor is {self._kafka.replication_factor}, there are {self._cluster.brokers} brokers",
                "lower `replication_factor` in section [kafka], or add brokers",
            )
        elif self._cluster.brokers > 1 and self._kafka.replication_factor == 1:
            said = "replication_factor is 1 in a cluster of several: a lost broker takes its rows along"
            yield warn(LOG, "replicas", said, "set `replication_factor` to 3 before `stretto init`")

    def _broker(self) -> Iterator[Check]:
        try:
            config = broker_config(self._client, self._kafka)
        except SettingsError as error:
            yield warn(LOG, "broker settings", error.found, "grant DescribeConfigs on the cluster to have them checked")
            return
        if SINCE_3_7 in config:
            yield ok(LOG, "version", "Kafka 3.7 or newer, by its settings")
        else:
            yield warn(
                LOG,
                "version",
                "its settings do not show Kafka 3.7 or newer",
                "if it is older, upgrade it: nothing older is tried",
            )
        largest = int(config.get("socket.request.max.bytes") or 104_857_600)
        if largest <= self._kafka.max_message_bytes:
            yield fail(
                LOG,
                "message size",
                f"the broker takes requests of {largest} bytes, max_message_bytes is {self._kafka.max_message_bytes}",
                "raise socket.request.max.bytes of the brokers, or lower `max_message_bytes` in section [kafka]",
            )
        else:
            yield ok(LOG, "message size", f"requests of up to {largest} bytes, above max_message_bytes")
        longest_s = int(config.get("transaction.max.timeout.ms") or 900_000) / 1000
        if longest_s < self._settings.capture.transaction_timeout_s:
            yield fail(
                LOG,
                "transaction timeout",
                f"the broker allows {longest_s:.0f} s, transaction_timeout_s is {self._settings.capture.transaction_timeout_s}",
                "raise transaction.max.timeout.ms of the brokers, or lower `transaction_timeout_s` in section [capture]",
            )
        if config.get("auto.create.topics.enable") == "true":
            yield warn(
                LOG,
                "auto-create",
                "the broker makes topics by itself: one whose name is merely mentioned gets settings that do not last",
                "set auto.create.topics.enable=false on the brokers",
            )

    def _transactional(self) -> Iterator[Check]:
        transactional_id = names.transactional_id(self._settings.prefix, f"{THROWAWAY}.check")
        writer = LogWriter(self._kafka, transactional_id, THROWAWAY_S)
        try:
            writer.init(REACH_S, loading_s=LOADING_S)
        finally:
            writer.close()
        own = names.transactional_id(self._settings.prefix, self._settings.source.name)
        said = f"a transactional producer may start as {transactional_id}; {own} is not tried, for that would fence capture"
        yield ok(LOG, "transactions", said)

    def _there(self) -> Iterator[Check]:
        wanted = (self._topics.transactions, self._topics.schema, self._topics.followers, *sorted(self._captured))
        missing = [topic for topic in wanted if topic not in self._partitions]
        if not missing:
            yield ok(LOG, "topics", f"all {len(wanted)} are there")
        elif self._topics.transactions in missing and self._slot is None:
            yield warn(LOG, "topics", f"{missing[0]} does not exist yet", "run `stretto init`")
        else:
            fix = "a deleted topic took its records along: `stretto destroy --yes` and start over"
            yield fail(LOG, "topics", f"{', '.join(missing)} missing", fix)
        for topic in (self._topics.transactions, self._topics.schema, self._topics.followers):
            if self._partitions.get(topic, 1) != 1:
                said = f"{topic} has {self._partitions[topic]} partitions, its records are one order"
                yield fail(LOG, "topics", said, "`stretto destroy --yes` and start over; never add partitions to it")

    def _configs(self) -> Iterator[Check]:
        there = [t for t in (self._topics.transactions, *self._topics.rows) if t in self._partitions]
        for topic, config in topic_configs(self._client, self._kafka, there).items():
            if "compact" in config.get("cleanup.policy", ""):
                said = f"{topic} is compacted, which takes records out of frontiers"
                yield fail(LOG, "topic settings", said, f"set cleanup.policy=delete on {topic} at once")
            retention = int(config.get("retention.ms", "-1"))
            if topic == self._topics.transactions and retention != -1:
                said = f"{topic} has retention.ms={retention}: its oldest frontiers vanish by time"
                yield fail(LOG, "topic settings", said, f"set retention.ms=-1 on {topic}")
            elif topic != self._topics.transactions and 0 <= retention < self._kafka.retention_hours * 3_600_000:
                said = f"{topic} keeps rows for {retention / 3_600_000:.1f} h, the settings say {self._kafka.retention_hours}"
                yield warn(LOG, "topic settings", said, f"set retention.ms on {topic} to longer than any outage")
            largest = int(config.get("max.message.bytes", "0"))
            if largest < self._kafka.max_message_bytes:
                said = f"{topic} takes records of {largest} bytes, max_message_bytes is {self._kafka.max_message_bytes}"
                yield warn(
                    LOG, "topic settings", said, f"set max.message.bytes={self._kafka.max_message_bytes} on {topic}"
                )
            if int(config.get("min.insync.replicas", "1")) > max(1, self._cluster.brokers):
                said = f"{topic} wants {config['min.insync.replicas']} replicas in sync, there are {self._cluster.brokers} brokers"
                yield fail(
                    LOG, "topic settings", said, f"lower min.insync.replicas of {topic}, or start the other brokers"
                )
        policy = topic_configs(self._client, self._kafka, [t for t in (self._topics.schema,) if t in self._partitions])
        for topic, config in policy.items():
            if config.get("cleanup.policy") != "compact":
                said = f"{topic} has cleanup.policy={config.get('cleanup.policy')}: shapes of tables vanish by time"
                yield fail(LOG, "topic settings", said, f"set cleanup.policy=compact on {topic}")

    def _frontier(self) -> Iterator[Check]:
        if self._topics.transactions not in self._partitions:
            return
        found = find_frontier(self._kafka, self._topics.transactions)
        repair = "`stretto destroy --yes`, `stretto init`, and `stretto follower add --replace` for each follower"
        if found is None:
            if self._slot is not None:
                yield fail(LOG, "frontier", "the slot exists, but the log holds no frontier", repair)
            else:
                yield warn(LOG, "frontier", "the log holds no frontier yet", "run `stretto init`")
            return
        frontier = found[0]
        end = format_lsn(frontier.end_lsn)
        if self._slot is None:
            yield fail(LOG, "frontier", f"the log goes on from {end}, but the slot does not exist", repair)
        elif self._slot.confirmed_flush_lsn > frontier.end_lsn:
            confirmed = format_lsn(self._slot.confirmed_flush_lsn)
            yield fail(LOG, "frontier", f"the slot stands at {confirmed}, past the last frontier at {end}", repair)
        else:
            yield ok(LOG, "frontier", f"number {frontier.sequence} at {end}")
