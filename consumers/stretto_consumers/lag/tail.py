"""The newest of two topics, kept by reading on: what followers say, and what frontiers count.

A reader that has just begun reads all of `<prefix>.followers`, which is compacted, and the transactions topic from the
place of the follower that is furthest behind, or from near its end.

A broker does not answer when nothing comes from it for `PATIENCE_S`, be it a record, or a part of an answer to anything that
its client asks by itself: the client's statistics have that. One that is slow and says something is waited for.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import confluent_kafka
import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stretto_connectors.kafka.client import explain, no_answer
from stretto_connectors.kafka.reader import consumer_options
from stretto_consumers.lag.asking import PATIENCE_S
from stretto_schemas import names
from stretto_schemas.errors import StrettoError, Unreachable
from stretto_schemas.follower_state import FollowerState, decode_state
from stretto_schemas.frontier import Frontier, decode_record
from stretto_schemas.lag.facts import LogFacts
from stretto_schemas.lag.skew import OneWayOffset
from stretto_schemas.settings import Settings

T = TypeVar("T")

NOT_THERE = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.LEADER_NOT_AVAILABLE)
"""Errors of a topic that is not made yet."""

READ_AT_ONCE = 2000
SLOW_S = 20.0
"""A broker that said something may be far away, and is waited for so long. One that has not answered then waits itself, for a
partition's leader."""
STATISTICS_MS = 500
"""How often the client says what brokers have answered: often enough to know it when patience ends."""
FURTHEST = 100_000
"""Offsets of the transactions topic, some ten days at rest: who is further behind is told by its own word only."""
NEAR = 64
"""Where nobody told a place, this near to the end."""
MOST_FRONTIERS = 20_000
"""Kept at most; of more, neighbours are put together: counts stay right, times become those of the older one."""


@dataclass(slots=True)
class Heard:
    """A follower's newest record, and when it was made."""

    state: FollowerState
    at: float | None
    """When it came, in monotonic seconds; None: it was there before us."""
    appended_us: int
    """When the broker took it, by its clock; 0: the topic does not tell."""


@dataclass(slots=True)
class Counted:
    """What a frontier counts."""

    end_lsn: int
    oldest_us: int
    """Commit time of its first transaction."""
    records: int


class _Broker(msgspec.Struct):
    rxidle: int = -1
    """Microseconds since bytes came from it; below 0: none have."""


class _Statistics(msgspec.Struct):
    """What matters here of librdkafka's statistics: https://github.com/confluentinc/librdkafka/blob/master/STATISTICS.md"""

    age: int
    """Microseconds since the client was made."""
    brokers: dict[str, _Broker]


_decode_statistics = msgspec.json.Decoder(_Statistics).decode


class Tail:
    """Both topics. One thread. Nothing is committed to a group."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._source = settings.source.name
        self._followers_topic = names.followers_topic(settings.prefix)
        self._topic = names.transactions_topic(settings.prefix, self._source)
        self._messages = names.message_topic(settings.prefix, self._source)
        self._made_at = time.monotonic()
        self._consumer = confluent_kafka.Consumer(
            {
                **consumer_options(settings.kafka, "stretto-lag"),
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 100,
                "statistics.interval.ms": STATISTICS_MS,
                "stats_cb": self._hear,
            }
        )
        self._read: set[str] = set()
        """Topics that are read."""
        self._at_end: set[str] = set()
        """Those of them whose end was seen."""
        self._ends: dict[str, int] = {}
        """Where each ended when it was begun. A topic that is written to all the time is never told to be at its end."""
        self.followers: dict[str, Heard] = {}
        self.log: LogFacts | None = None
        self.unreadable: dict[str, int] = {}
        """Records that were none, by topic: counted and passed over."""
        self._frontiers: list[Counted] = []
        self._source_clock = OneWayOffset()
        """The source's clock minus the broker's."""
        self._epoch = -1
        self._heard_at = -math.inf
        """When anything last came from the broker."""
        self._began = self._made_at
        """When this read did."""
        self._from_lsn = 0
        """What was committed up to here is not among them."""

    @property
    def was_at_end(self) -> bool:
        """What was there when it was begun is read."""
        return {self._topic, self._followers_topic} <= self._at_end

    def read(self, timeout_s: float) -> None:
        """Read what is there by now, for up to `timeout_s` while the broker answers.

        Topics that do not exist yet are no error. Raises Unreachable or SettingsError; after either the next call goes on
        where this one ended.
        """
        self._began = time.monotonic()
        deadline = self._began + timeout_s
        topics = self._followers_topic, self._topic
        new = [topic for topic in topics if topic not in self._read and self._exists(topic, deadline)]
        # Asked before anything is read: what a consumer asks for all the time holds up other answers of a broker far away.
        ends = {topic: self._ask_ends(topic, deadline) for topic in new}
        if self._followers_topic in ends:
            low, high = ends[self._followers_topic]
            self._begin(self._followers_topic, low, high)
        self._catch_up(deadline)
        if self._topic in ends:
            low, high = ends[self._topic]
            self._begin(self._topic, self._start(low, high), high)
            self._catch_up(deadline)
        self._ask_if_silent(deadline)

    def read_until(self, end_lsn: int, timeout_s: float) -> None:
        """Read until the log's newest frontier is that far, or the time is up. Raises as `read`."""
        deadline = time.monotonic() + timeout_s
        while self.log is None or self.log.end_lsn < end_lsn:
            if time.monotonic() > deadline or self._topic not in self._read:
                return
            for message in self._consumer.consume(READ_AT_ONCE, 0.02):
                self._take(message)

    def behind(self, follower: FollowerState) -> tuple[int, int] | None:
        """Commit time of the first transaction that it does not show (0 when it shows all), and how many records it does not show.

        A frontier that it shows in part counts whole. None: it is further back than is known.
        """
        if follower.end_lsn < self._from_lsn:
            return None
        first = bisect_right(self._frontiers, follower.end_lsn, key=lambda each: each.end_lsn)
        lacking = self._frontiers[first:]
        return lacking[0].oldest_us if lacking else 0, sum(each.records for each in lacking)

    def heard_s(self, name: str, source_us: int | None) -> float:
        """How long ago a follower's newest record was made. `source_us`: the source's clock now, if it is known.

        Of a record that was there before us: by the broker's clock, which the source's is compared with in each frontier, so
        our own may be off. Where that is not known it is as much older than the newest of all as the broker took it earlier.
        """
        heard = self.followers[name]
        if heard.at is not None:
            return time.monotonic() - heard.at
        if source_us is not None and self._source_clock.us is not None and heard.appended_us:
            return max(0.0, (source_us - self._source_clock.us - heard.appended_us) / 1e6)
        newest_us = max(each.appended_us for each in self.followers.values())
        return (newest_us - heard.appended_us) / 1e6 if heard.appended_us else 0.0

    def close(self) -> None:
        """Leave."""
        self._consumer.close()

    def _exists(self, topic: str, deadline: float) -> bool:
        """Raises as `read`, also where there is no right to the topic: reading it would give nothing, and no error."""

        def found(timeout_s: float) -> bool:
            error = self._consumer.list_topics(topic, timeout=timeout_s).topics[topic].error
            if error is not None and error.code() not in NOT_THERE:
                raise KafkaException(error)
            return error is None

        return self._ask(found, f"asking for topic {topic}", deadline)

    def _ask_ends(self, topic: str, deadline: float) -> tuple[int, int]:
        """First offset and end offset. Raises as `read`."""

        def found(timeout_s: float) -> tuple[int, int]:
            ends = self._consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=timeout_s)
            if ends is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            return ends

        return self._ask(found, f"asking for the end of {topic}", deadline)

    def _ask(self, question: Callable[[float], T], doing: str, deadline: float) -> T:
        """Ask for `PATIENCE_S`, and for `SLOW_S` where the broker says anything. Raises as `read`."""
        for within_s in (SLOW_S,) if self._lives else (PATIENCE_S, SLOW_S):
            try:
                answer = question(max(0.1, min(within_s, deadline - time.monotonic())))
            except KafkaException as error:
                for message in self._consumer.consume(READ_AT_ONCE, 0):  # which gives statistics and errors, too
                    self._take(message)
                if within_s == SLOW_S or not self._lives:
                    raise explain(error, self._settings.kafka, doing) from None
            else:
                self._heard_at = time.monotonic()
                return answer
        raise AssertionError("the last question is answered or raises")

    @property
    def _lives(self) -> bool:
        """Something came from the broker since this read began, or just before."""
        return self._heard_at > self._began - PATIENCE_S

    def _begin(self, topic: str, start: int, end: int) -> None:
        self._consumer.incremental_assign([TopicPartition(topic, 0, start)])
        self._read.add(topic)
        self._at_end.discard(topic)  # a record that was still on its way may have told so
        self._ends[topic] = end

    def _start(self, low: int, high: int) -> int:
        """Where the frontiers begin that matter."""
        told = [heard.state for heard in self.followers.values() if heard.state.frontier_offset >= 0]
        furthest = min(told, key=lambda state: state.frontier_offset, default=None)
        if furthest is not None and max(low, high - FURTHEST) <= furthest.frontier_offset:
            self._from_lsn, self._epoch = furthest.end_lsn, furthest.epoch
            return max(low, min(furthest.frontier_offset, high - NEAR))  # the newest frontier may be one that it has
        return max(low, high - NEAR)

    def _ask_if_silent(self, deadline: float) -> None:
        """A consumer that gets nothing is not told why: ask. Raises as `read`."""
        if self._read and time.monotonic() - self._heard_at > PATIENCE_S:
            topic = next(iter(self._read))
            try:
                self._ask_ends(topic, deadline)
            except StrettoError:  # whatever it says: a client that lost its brokers forgets topics, too
                raise no_answer(self._settings.kafka, f"reading {topic}") from None

    def _catch_up(self, deadline: float) -> None:
        """Read each topic that is read up to where its end was when it was begun, then what has come since."""
        began = time.monotonic()
        while not self._read <= self._at_end:
            for message in self._consumer.consume(READ_AT_ONCE, 0.05):
                self._take(message)
            now = time.monotonic()
            if now - max(began, self._heard_at) > (SLOW_S if self._lives else PATIENCE_S):
                raise no_answer(self._settings.kafka, f"reading {self._topic}")
            if now > deadline:
                raise self._too_slow()
        full = bool(self._read)
        while full and time.monotonic() < deadline:
            messages = self._consumer.consume(READ_AT_ONCE, 0)
            for message in messages:
                self._take(message)
            full = len(messages) == READ_AT_ONCE
        if len(self._frontiers) > MOST_FRONTIERS:
            self._thin()

    def _too_slow(self) -> Unreachable:
        unread = " and ".join(sorted(self._read - self._at_end))
        return Unreachable(
            f"Kafka at {self._settings.kafka.bootstrap} is too slow: the end of {unread} was not reached in time",
            fix="see the broker's load and the network to it; this goes on at the next look",
        )

    def _hear(self, statistics: str) -> None:
        said = _decode_statistics(statistics)
        for broker in said.brokers.values():
            if broker.rxidle >= 0:
                self._heard_at = max(self._heard_at, self._made_at + (said.age - broker.rxidle) / 1e6)

    def _take(self, message: confluent_kafka.Message) -> None:
        topic, error = message.topic() or "", message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._at_end.add(topic)
            elif error.code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):
                self._begin_again(topic)
            elif error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
                self._forget(topic)
            elif error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise explain(KafkaException(error), self._settings.kafka, f"reading {topic}")
            return
        self._heard_at = time.monotonic()
        if topic == self._topic:
            self._frontier(message)
        else:
            self._follower(message)
        if (message.offset() or 0) + 1 >= self._ends[topic]:
            self._at_end.add(topic)

    def _begin_again(self, topic: str) -> None:
        """Its head was cut beyond our place: on from what is left, whose beginning nobody knows."""
        self._forget(topic)
        self._epoch = -1

    def _forget(self, topic: str) -> None:
        if topic in self._read:
            self._consumer.incremental_unassign([TopicPartition(topic, 0)])
            self._read.discard(topic)
            self._at_end.discard(topic)
            if topic == self._topic:
                self._frontiers.clear()
            else:
                self.followers.clear()

    def _follower(self, message: confluent_kafka.Message) -> None:
        key = (message.key() or b"").decode(errors="replace")
        name, _, source = key.partition("/")
        if source != self._source:
            return
        value = message.value()
        if value is None:
            self.followers.pop(name, None)  # removed
            return
        try:
            state = decode_state(value)
        except (msgspec.DecodeError, msgspec.ValidationError):
            self._unreadable(self._followers_topic)
            return
        kind, at_ms = message.timestamp()
        appended_us = at_ms * 1000 if kind == confluent_kafka.TIMESTAMP_LOG_APPEND_TIME else 0
        live = self._followers_topic in self._at_end
        self.followers[name] = Heard(state, time.monotonic() if live else None, appended_us)

    def _frontier(self, message: confluent_kafka.Message) -> None:
        try:
            record = decode_record(message.value() or b"")
        except (msgspec.DecodeError, msgspec.ValidationError):
            self._unreadable(self._topic)
            return
        if not isinstance(record, Frontier):
            return
        kind, at_ms = message.timestamp()
        if record.clock_us and kind == confluent_kafka.TIMESTAMP_LOG_APPEND_TIME:
            self._source_clock.message(record.clock_us, at_ms * 1000 + 500)
        if record.epoch != self._epoch:
            self._frontiers.clear()
            self._epoch = record.epoch
            self._from_lsn = record.transactions[0].commit_lsn if record.transactions else record.end_lsn
        before = self.log or LogFacts(0, 0, 0, 0, 0)
        own = sum(c for (topic, _), c in zip(record.partitions, record.counts, strict=True) if topic != self._messages)
        self.log = LogFacts(
            end_lsn=record.end_lsn,
            sequence=record.sequence,
            epoch=record.epoch,
            commit_ts_us=record.commit_ts_us,
            heartbeat_us=record.heartbeat_us or before.heartbeat_us,
            records=before.records + own,
            transactions=before.transactions + len(record.transactions),
        )
        if record.transactions:
            self._frontiers.append(Counted(record.end_lsn, record.transactions[0].commit_ts_us, own))

    def _unreadable(self, topic: str) -> None:
        self.unreadable[topic] = self.unreadable.get(topic, 0) + 1

    def _thin(self) -> None:
        """Forget what every follower shows, then put neighbours together."""
        shown = min((heard.state.end_lsn for heard in self.followers.values()), default=self._frontiers[-1].end_lsn)
        kept = [each for each in self._frontiers if each.end_lsn > shown]
        if len(kept) > MOST_FRONTIERS // 2:
            pairs = zip(kept[::2], kept[1::2], strict=False)
            odd = kept[len(kept) // 2 * 2 :]
            kept = [Counted(b.end_lsn, a.oldest_us, a.records + b.records) for a, b in pairs] + odd
        self._from_lsn = max(self._from_lsn, shown)
        self._frontiers = kept
