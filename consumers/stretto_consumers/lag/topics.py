"""Topics of one partition each, read from some place on, at a broker that may be slow or may say nothing.

1. A broker does not answer when nothing comes from it for `PATIENCE_S`, be it a record, or a part of an answer to anything
   that its client asks by itself: the client's statistics have that.
2. One that said something is waited for: `SLOW_S` for what is asked of it next.
3. A topic is caught up with where its end was when it was begun. One that is written to all the time is never told to be at
   its end, and of one that ends with a commit marker the last record is not the last offset: either of the two will do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, TypeVar

import confluent_kafka
import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stretto_connectors.kafka.client import explain, no_answer
from stretto_connectors.kafka.reader import consumer_options
from stretto_consumers.lag.asking import PATIENCE_S
from stretto_schemas.errors import StrettoError, Unreachable
from stretto_schemas.settings import KafkaSettings

T = TypeVar("T")

SLOW_S: Final = 20.0
"""A broker that is a second away takes half of this. One that has not answered then waits itself, for a partition's leader."""

STATISTICS_MS: Final = 500
"""How often the client tells when brokers last said something: often enough to know it when patience ends."""

READ_AT_ONCE: Final = 2000

NOT_THERE: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE)
"""Errors of a topic that is not made yet."""


class _Broker(msgspec.Struct):
    rxidle: int = -1
    """Microseconds since bytes came from it; below 0: none have."""


class _Statistics(msgspec.Struct):
    """What matters here of librdkafka's statistics: https://github.com/confluentinc/librdkafka/blob/master/STATISTICS.md"""

    age: int
    """Microseconds since the client was made."""
    brokers: dict[str, _Broker]


_decode_statistics = msgspec.json.Decoder(_Statistics).decode


class Topics:
    """One thread reads and asks. Nothing is committed to a group. Everything raises Unreachable or SettingsError."""

    def __init__(
        self,
        kafka: KafkaSettings,
        take: Callable[[str, confluent_kafka.Message], None],
        lose: Callable[[str], None],
    ) -> None:
        """`take` gets each record of a topic. `lose` is told of a topic that is no longer read: it is gone, or its head was
        cut beyond our place.
        """
        self._kafka = kafka
        self._give = take
        self._lose = lose
        self._made_at = time.monotonic()
        self._consumer = confluent_kafka.Consumer(
            {
                **consumer_options(kafka, "stretto-lag"),
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
                "statistics.interval.ms": STATISTICS_MS,
                "stats_cb": self._hear,
            }
        )
        self._ends: dict[str, int] = {}
        """Topics that are read, and where each ended when it was begun."""
        self._caught_up: set[str] = set()
        self._heard_at = -math.inf
        """When anything last came from the broker."""
        self._asked_at = self._made_at
        """Since then somebody waits."""

    def wait_anew(self) -> None:
        """From now on somebody waits: what was heard long before does not count."""
        self._asked_at = time.monotonic()

    def reads(self, topic: str) -> bool:
        """Whether it was begun and not lost."""
        return topic in self._ends

    def caught_up(self, topic: str) -> bool:
        """Whether its end was seen: what comes now is new."""
        return topic in self._caught_up

    def exists(self, topic: str, deadline: float) -> bool:
        """Raises also where there is no right to the topic: reading it would give nothing, and no error."""

        def found(timeout_s: float) -> bool:
            error = self._consumer.list_topics(topic, timeout=timeout_s).topics[topic].error
            if error is not None and error.code() not in NOT_THERE:
                raise KafkaException(error)
            return error is None

        return self._ask(found, f"asking for topic {topic}", deadline)

    def ends(self, topic: str, deadline: float) -> tuple[int, int]:
        """First offset and end offset. Better asked before anything is read: what a consumer asks for all the time holds up
        other answers of a broker that is far away.
        """

        def found(timeout_s: float) -> tuple[int, int]:
            ends = self._consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=timeout_s)
            if ends is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            return ends

        return self._ask(found, f"asking for the end of {topic}", deadline)

    def begin(self, topic: str, start: int, end: int) -> None:
        """Read from `start` on. `end` is where it ends now."""
        self._consumer.incremental_assign([TopicPartition(topic, 0, start)])
        self._ends[topic] = end
        self._caught_up.discard(topic)  # a record that was still on its way may have told so

    def catch_up(self, deadline: float) -> None:
        """Read all topics up to their ends, which are those of rule 3, then what has come since and is here."""
        began = time.monotonic()
        while waits_for := self._ends.keys() - self._caught_up:
            self.poll(0.05)
            now = time.monotonic()
            if now - max(began, self._heard_at) > (SLOW_S if self._lives else PATIENCE_S):
                raise no_answer(self._kafka, f"reading {min(waits_for)}")
            if now > deadline:
                raise self._too_slow(waits_for)
        while self.poll(0) == READ_AT_ONCE and time.monotonic() < deadline:  # also of no topic: statistics pile up
            pass

    def poll(self, timeout_s: float) -> int:
        """Take what comes within this time, some at a time; return how many."""
        messages = self._consumer.consume(READ_AT_ONCE, timeout_s)
        for message in messages:
            self._take(message)
        return len(messages)

    def ask_if_silent(self, deadline: float) -> None:
        """A consumer that gets nothing is not told why: ask."""
        if self._ends and time.monotonic() - self._heard_at > PATIENCE_S:
            topic = min(self._ends)
            try:
                self.ends(topic, deadline)
            except StrettoError:  # whatever it says: a client that lost its brokers forgets topics, too
                raise no_answer(self._kafka, f"reading {topic}") from None

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _ask(self, question: Callable[[float], T], doing: str, deadline: float) -> T:
        """Rules 1 and 2."""
        for within_s in (SLOW_S,) if self._lives else (PATIENCE_S, SLOW_S):
            try:
                answer = question(max(0.1, min(within_s, deadline - time.monotonic())))
            except KafkaException as error:
                self.poll(0)  # which gives statistics and the client's own errors, too
                if within_s == SLOW_S or not self._lives:
                    raise explain(error, self._kafka, doing) from None
            else:
                self._heard_at = time.monotonic()
                return answer
        raise AssertionError("the last question is answered or raises")

    @property
    def _lives(self) -> bool:
        """Something came from the broker since somebody waits, or just before."""
        return self._heard_at > self._asked_at - PATIENCE_S

    def _too_slow(self, unread: set[str]) -> Unreachable:
        return Unreachable(
            f"Kafka at {self._kafka.bootstrap} is too slow: the end of {' and '.join(sorted(unread))} was not reached in time",
            fix="see the broker's load and the network to it; this goes on at the next look",
        )

    def _hear(self, statistics: str) -> None:
        said = _decode_statistics(statistics)
        for broker in said.brokers.values():
            if broker.rxidle >= 0:
                self._heard_at = max(self._heard_at, self._made_at + (said.age - broker.rxidle) / 1e6)

    def _take(self, message: confluent_kafka.Message) -> None:
        topic, error = message.topic() or "", message.error()
        if topic not in self._ends:
            return  # it was lost, and this was still on its way
        if error is None:
            self._heard_at = time.monotonic()
            self._give(topic, message)
            if (message.offset() or 0) + 1 >= self._ends[topic]:
                self._caught_up.add(topic)
        elif error.code() == KafkaError._PARTITION_EOF:
            self._caught_up.add(topic)
        elif error.code() in _LOST:
            self._consumer.incremental_unassign([TopicPartition(topic, 0)])
            del self._ends[topic]
            self._caught_up.discard(topic)
            self._lose(topic)
        elif error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise explain(KafkaException(error), self._kafka, f"reading {topic}")


_LOST: Final = (
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_TOPIC,
)
