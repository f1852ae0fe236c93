"""From where a group reads: not from before what its windows keep, by the broker's clock.

The transactions topic goes back as far as rows do, days, and a monitor that starts for the first time, or after a long
time, would read all of it for windows that are over. What another monitor of the group has read is left alone.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported, but not by name

from stretto_connectors.kafka.client import explain, outcome
from stretto_consumers.lag.monitor.places import Places
from stretto_consumers.lag.monitor.tables import KEPT_S
from stretto_schemas.settings import KafkaSettings

TIMEOUT_S = 15.0


def skip_what_is_over(client: AdminClient, kafka: KafkaSettings, found: Places, now_us: int) -> None:
    """Move the group's places up to records of `KEPT_S` ago. Raises Unreachable or SettingsError (no right to the group).

    `now_us` is what the broker's clock shows.
    """
    since_ms = now_us // 1000 - KEPT_S * 1000
    wanted = {}
    for topic in found.watched:
        offset = _offset(client, kafka, topic, OffsetSpec.for_timestamp(since_ms))
        if offset < 0:  # nothing is younger
            offset = _offset(client, kafka, topic, OffsetSpec.latest())  # type: ignore[no-untyped-call]
        wanted[topic] = offset
    group = ConsumerGroupTopicPartitions(found.group, [TopicPartition(topic, 0) for topic in wanted])
    [answer] = client.list_consumer_group_offsets([group], request_timeout=TIMEOUT_S).values()
    read = {place.topic: place.offset for place in _ask(answer, kafka, "asking where the monitor is").topic_partitions}
    behind = [TopicPartition(topic, 0, offset) for topic, offset in wanted.items() if read.get(topic, -1) < offset]
    if not behind:
        return
    moved = ConsumerGroupTopicPartitions(found.group, behind)
    [answer] = client.alter_consumer_group_offsets([moved], request_timeout=TIMEOUT_S).values()
    try:
        answer.result(2 * TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() not in _IN_USE:
            raise explain(error, kafka, "moving the monitor's place", client) from None


_IN_USE = (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP)
"""Another monitor is at work: it has read on."""


def _offset(client: AdminClient, kafka: KafkaSettings, topic: str, spec: OffsetSpec) -> int:
    [answer] = client.list_offsets({TopicPartition(topic, 0): spec}, request_timeout=TIMEOUT_S).values()
    return int(_ask(answer, kafka, f"asking for places in {topic}").offset)


def _ask(answer: Future[Any], kafka: KafkaSettings, doing: str) -> Any:
    try:
        return outcome(answer, kafka, doing, TIMEOUT_S)
    except KafkaException as error:
        raise explain(error, kafka, doing) from None
