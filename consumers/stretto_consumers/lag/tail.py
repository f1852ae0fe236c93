"""The newest of two topics, kept by reading on: what followers say, and what frontiers count.

A reader that has just begun reads all of `<prefix>.followers`, which is compacted, and the transactions topic from the
place of the follower that is furthest behind, or from near its end.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from dataclasses import dataclass

import confluent_kafka
import msgspec

from stretto_consumers.lag.topics import Topics
from stretto_schemas import names
from stretto_schemas.follower_state import FollowerState, decode_state
from stretto_schemas.frontier import Frontier, decode_record
from stretto_schemas.lag.facts import LogFacts
from stretto_schemas.lag.skew import OneWayOffset
from stretto_schemas.settings import Settings

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


class Tail:
    """Both topics. One thread. Nothing is committed to a group."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._source = settings.source.name
        self._followers_topic = names.followers_topic(settings.prefix)
        self._topic = names.transactions_topic(settings.prefix, self._source)
        self._messages = names.message_topic(settings.prefix, self._source)
        self._topics = Topics(settings.kafka, self._take, self._lose)
        self.followers: dict[str, Heard] = {}
        self.log: LogFacts | None = None
        self.unreadable: dict[str, int] = {}
        """Records that were none, by topic: counted and passed over."""
        self._frontiers: list[Counted] = []
        self._source_clock = OneWayOffset()
        """The source's clock minus the broker's."""
        self._epoch = -1
        self._from_lsn = 0
        """What was committed up to here is not among them."""

    @property
    def was_at_end(self) -> bool:
        """What was there when it was begun is read."""
        return self._topics.caught_up(self._topic) and self._topics.caught_up(self._followers_topic)

    def read(self, timeout_s: float) -> None:
        """Read what is there by now, for up to `timeout_s` while the broker answers.

        Topics that do not exist yet are no error. Raises Unreachable or SettingsError; after either the next call goes on
        where this one ended.
        """
        topics, deadline = self._topics, time.monotonic() + timeout_s
        topics.wait_anew()
        both = self._followers_topic, self._topic
        new = [topic for topic in both if not topics.reads(topic) and topics.exists(topic, deadline)]
        ends = {topic: topics.ends(topic, deadline) for topic in new}
        if self._followers_topic in ends:
            low, high = ends[self._followers_topic]
            topics.begin(self._followers_topic, low, high)
        topics.catch_up(deadline)
        if self._topic in ends:
            low, high = ends[self._topic]
            topics.begin(self._topic, self._start(low, high), high)
            topics.catch_up(deadline)
        if len(self._frontiers) > MOST_FRONTIERS:
            self._thin()
        topics.ask_if_silent(deadline)

    def read_until(self, end_lsn: int, timeout_s: float) -> None:
        """Read until the log's newest frontier is that far, or the time is up. Raises as `read`."""
        deadline = time.monotonic() + timeout_s
        while self.log is None or self.log.end_lsn < end_lsn:
            if time.monotonic() > deadline or not self._topics.reads(self._topic):
                return
            self._topics.poll(0.02)

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
        self._topics.close()

    def _start(self, low: int, high: int) -> int:
        """Where the frontiers begin that matter."""
        told = [heard.state for heard in self.followers.values() if heard.state.frontier_offset >= 0]
        furthest = min(told, key=lambda state: state.frontier_offset, default=None)
        if furthest is not None and max(low, high - FURTHEST) <= furthest.frontier_offset:
            self._from_lsn, self._epoch = furthest.end_lsn, furthest.epoch
            return max(low, min(furthest.frontier_offset, high - NEAR))  # the newest frontier may be one that it has
        return max(low, high - NEAR)

    def _take(self, topic: str, message: confluent_kafka.Message) -> None:
        if topic == self._topic:
            self._frontier(message)
        else:
            self._follower(message)

    def _lose(self, topic: str) -> None:
        """It is read again from what is left, whose beginning nobody knows."""
        if topic == self._topic:
            self._frontiers.clear()
            self._epoch = -1
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
        live = self._topics.caught_up(self._followers_topic)
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
