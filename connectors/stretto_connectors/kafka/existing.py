"""Topics that are there: how they were made, and taking them away again."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, but not by name
    AdminClient,
    ConfigResource,
    ResourceType,
)

from stretto_connectors.kafka.client import explain, outcome
from stretto_connectors.kafka.topics import partition_counts, topic_metadata
from stretto_schemas.errors import BrokerRefused, Unreachable
from stretto_schemas.settings import KafkaSettings

TIMEOUT_S = 15.0
FIRST_WAIT_S = 1.0
BELIEVED_AFTER_S = 2.0
SETTLED_WITHIN_S = 30.0
"""Brokers make and delete topics after they answered: until then the topic cannot be used, or made again."""
SETTLE_PAUSE_S = 0.1
"""Between two looks: a broker needs tens of milliseconds a topic."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Who answers behind the bootstrap address."""

    brokers: int
    cluster_id: str


def read_cluster(client: AdminClient, kafka: KafkaSettings, timeout_s: float = TIMEOUT_S) -> Cluster:
    """Ask for the cluster. Raises Unreachable after `timeout_s`, BrokerRefused when the broker lets this client not in.

    A client that is not let in is told nothing: it asks anew, each time for longer, whether that is the matter. A broker that
    restarts refuses everybody for a moment, so it is believed only after a while.
    """
    began = time.monotonic()
    wait_s = FIRST_WAIT_S
    while True:
        left = began + timeout_s - time.monotonic()
        try:
            metadata = client.list_topics(timeout=max(0.1, min(wait_s, left)))
            return Cluster(brokers=len(metadata.brokers), cluster_id=str(metadata.cluster_id))
        except KafkaException as error:
            failure = explain(error, kafka, "asking for the cluster", client)
            believed = isinstance(failure, BrokerRefused) and time.monotonic() - began > BELIEVED_AFTER_S
            if believed or not failure.retryable or left <= wait_s:
                raise failure from None
        wait_s *= 2


def topic_ids(client: AdminClient, kafka: KafkaSettings, topics: Collection[str], timeout_s: float) -> dict[str, str]:
    """The id of each of these topics that is there, by name: one that was made anew has another. One request for all.

    Brokers before 2.8 give all the same. Raises Unreachable or SettingsError (no right to see one of them).
    """
    found = {}
    for topic, future in client.describe_topics(TopicCollection(list(topics)), request_timeout=timeout_s).items():
        doing = f"asking for topic {topic}"
        try:
            found[topic] = str(outcome(future, kafka, doing, timeout_s).topic_id)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise explain(error, kafka, doing, client) from None
    return found


def topic_configs(client: AdminClient, kafka: KafkaSettings, topics: Collection[str]) -> dict[str, dict[str, str]]:
    """The settings of each topic by name. Raises Unreachable or SettingsError (no right to describe)."""
    wanted = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
    answers = client.describe_configs(wanted, request_timeout=TIMEOUT_S) if topics else {}
    found = {}
    for resource, future in answers.items():
        doing = f"reading the settings of topic {resource.name}"
        try:
            entries = outcome(future, kafka, doing, TIMEOUT_S)
        except KafkaException as error:
            raise explain(error, kafka, doing, client) from None
        found[resource.name] = {name: entry.value or "" for name, entry in entries.items()}
    return found


def broker_config(client: AdminClient, kafka: KafkaSettings) -> dict[str, str]:
    """The settings of one broker. Raises Unreachable or SettingsError (no right to describe)."""
    doing = "reading the broker's settings"
    try:
        brokers = sorted(client.list_topics(timeout=TIMEOUT_S).brokers)
        wanted = [ConfigResource(ResourceType.BROKER, str(brokers[0]))]
        [future] = client.describe_configs(wanted, request_timeout=TIMEOUT_S).values()
        entries = outcome(future, kafka, doing, TIMEOUT_S)
    except KafkaException as error:
        raise explain(error, kafka, doing, client) from None
    return {name: entry.value or "" for name, entry in entries.items()}


def await_leaders(client: AdminClient, kafka: KafkaSettings, topics: Collection[str]) -> None:
    """Return once every partition of fresh topics has a leader. Raises Unreachable after a time."""
    deadline = time.monotonic() + SETTLED_WITHIN_S
    for topic in topics:
        while not _led(client, kafka, topic):
            if time.monotonic() > deadline:
                raise Unreachable(
                    f"topic {topic} has no leader after {SETTLED_WITHIN_S:.0f} s", fix="see the broker's log"
                )
            time.sleep(SETTLE_PAUSE_S)


def _led(client: AdminClient, kafka: KafkaSettings, topic: str) -> bool:
    found = topic_metadata(client, kafka, topic, TIMEOUT_S)
    return found.error is None and bool(found.partitions) and all(p.leader >= 0 for p in found.partitions.values())


def delete_topics(client: AdminClient, kafka: KafkaSettings, topics: Collection[str]) -> list[str]:
    """Delete those of `topics` that are there; return them once they are gone. Raises Unreachable or SettingsError."""
    deleted = []
    times = {"operation_timeout": TIMEOUT_S, "request_timeout": TIMEOUT_S}
    for topic, future in client.delete_topics(list(topics), **times).items() if topics else ():
        doing = f"deleting topic {topic}"
        try:
            outcome(future, kafka, doing, TIMEOUT_S)
            deleted.append(topic)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise explain(error, kafka, doing, client) from None
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while left := set(deleted) & set(partition_counts(client, kafka)):
        if time.monotonic() > deadline:
            raise Unreachable(
                f"Kafka at {kafka.bootstrap} still lists {len(left)} deleted topics after {SETTLED_WITHIN_S:.0f} s, "
                f"{min(left)} among them",
                fix="see the broker's log; run this again",
            )
        time.sleep(SETTLE_PAUSE_S)
    return deleted
