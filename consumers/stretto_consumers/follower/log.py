"""Reading the log for a follower: one consumer over the transactions topic and every partition of rows."""

from __future__ import annotations

import logging
import time
from itertools import islice

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stretto_connectors.kafka.client import admin, explain, no_answer
from stretto_connectors.kafka.reader import (
    consumer_options,
    decode,
    end_offsets,
    missing_topic,
    read_range,
    require_topic,
)
from stretto_consumers.follower.accounting import Accounting, Batch, Partition
from stretto_consumers.follower.gate import Gate
from stretto_consumers.follower.start_position import position_after_cut
from stretto_consumers.follower.waiting import Budget, Waiting
from stretto_schemas import names
from stretto_schemas.errors import BrokerRefused, Gap, StrettoError, Unreachable
from stretto_schemas.frontier import Frontier
from stretto_schemas.lag.skew import OneWayOffset
from stretto_schemas.position import Position
from stretto_schemas.repairs import COPY_AGAIN
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

AT_ONCE = 4000
"""Messages taken from librdkafka at once; it holds more, fetched in the background."""

STALLED_AFTER_S = 10.0
"""When the records that a frontier counts do not come for this long, the broker is asked whether it still has them."""

METADATA_S = 10.0
ASK_S = 5.0

SILENT_AFTER_S = 10.0
"""When nothing at all was read for this long, not even the frontiers that heartbeats cause, the broker is asked why."""

FRONTIERS_AHEAD = 16
"""Frontiers that wait for their rows before reading more of them is put off."""

HOLD_AT, RELEASE_AT = 0.4, 0.2
"""Parts of `buffer_bytes`. Far apart, for what a partition has fetched is fetched again after a pause."""

GROUP_COMMIT_S = 5.0

SHORTEST_S = 0.001
"""A transaction that waits for its delay is late by less than this; a shorter sleep would cost more than it gains."""


class LogReader:
    """Turns the log from a position on into batches. One thread; `close()` from any."""

    def __init__(
        self,
        settings: Settings,
        position: Position,
        careful_until: int = 0,
        gate: Gate | None = None,
        source_clock: OneWayOffset | None = None,
    ) -> None:
        """`gate` says what may be shown: the rest is read as far as the buffer allows, and waits. None: all may.

        `source_clock` learns from each frontier how far the source's clock and the broker's are apart.
        """
        self._gate = gate if gate is not None else Gate()
        self._source_clock = source_clock
        self._settings = settings
        self._kafka = settings.kafka
        self._careful_until = careful_until
        self._bounds = (settings.follower.batch_rows, settings.follower.batch_bytes)
        self._topic = names.transactions_topic(settings.prefix, settings.source.name)
        group = names.consumer_group(settings.prefix, settings.source.name, settings.follower.name)
        self._consumer = confluent_kafka.Consumer(
            {
                **consumer_options(settings.kafka, group),
                "queued.min.messages": 20_000,
                "queued.max.messages.kbytes": 32 * 1024,
                "fetch.wait.max.ms": 100,
            }
        )
        self._group = group
        self._group_refused = False
        self._held = False
        self._paused: set[Partition] = set()
        self._had = -1
        self._waiting_since = time.monotonic()
        self._silent_s = SILENT_AFTER_S  # the first time asks at once
        self._away = ""
        self._committed_at = time.monotonic()
        self.budget = Budget(settings.follower.buffer_bytes, settings.follower.spill_dir)
        ignored = frozenset({names.message_topic(settings.prefix, settings.source.name)})
        self._from = position.frontier_offset
        self._new: list[TopicPartition] = [TopicPartition(self._topic, 0, self._from)]
        self.accounting = Accounting(position, self.budget, ignored, self._subscribe)

    def _subscribe(self, place: tuple[str, int], offset: int) -> None:
        self._new.append(TopicPartition(place[0], place[1], offset))

    def poll(self, timeout_s: float) -> Batch | None:
        """The next batch, or None when none is whole yet. Blocks up to `timeout_s` for the log's next record.

        Raises Gap, Divergence or Halted when the log cannot be followed, Unreachable when no broker answers.
        """
        batch = self._whole_batch()
        if batch is not None:
            return batch
        self._assign()
        self._hold_frontiers()
        self._hold_rows()
        timeout_s = self._until_due(timeout_s)
        first = self._consumer.poll(timeout_s)
        if first is None:
            self._hear_nothing(timeout_s)
            self._look_for_gap()
            return None
        if first.error() is None:
            self._silent_s = 0.0
        self._take([first, *self._consumer.consume(AT_ONCE, 0)])
        self._assign()
        batch = self._whole_batch()
        if batch is None:
            self._look_for_gap()
        return batch

    def _hear_nothing(self, for_s: float) -> None:
        """A consumer that is not let in, or has lost every broker, just gets nothing: ask what the matter is, if there is one.

        That nobody answers ends no session: librdkafka finds the brokers again, and what was read so far is not read twice.
        """
        self._silent_s += for_s
        if self._silent_s < SILENT_AFTER_S:
            return
        self._silent_s = 0.0
        try:
            require_topic(self._consumer, self._kafka, self._topic, ASK_S)
        except BrokerRefused:
            raise
        except Unreachable as error:
            if error.found != self._away:
                log.warning("%s; reading goes on as soon as it does", error.found)
            self._away = error.found
        else:
            self._away = ""

    def _whole_batch(self) -> Batch | None:
        """What has come is a batch: from now on the next one is waited for."""
        if self._gate.paused:
            return None
        batch = self.accounting.next_batch(*self._bounds, self._careful_until, self._gate.until_us)
        self._gate.holding = self.accounting.held_us != 0
        if batch is not None:
            self._waiting_since = time.monotonic()
        return batch

    def _until_due(self, timeout_s: float) -> float:
        """The time-out, or less when what is held back for its delay may be shown before."""
        until_us, held_us = self._gate.until_us, self.accounting.held_us
        if self._gate.paused or until_us is None or not held_us:
            return timeout_s
        return min(timeout_s, max(SHORTEST_S, (held_us - until_us) / 1e6))

    def _assign(self) -> None:
        if self._new:
            fresh, self._new = self._new, []
            self._consumer.incremental_assign(fresh)

    def _take(self, messages: list[confluent_kafka.Message]) -> None:
        """Hand messages to their queues, a run of one partition at a time."""
        place: tuple[str | None, int | None] = (None, None)
        run: list[Waiting] = []
        for message in messages:
            here = (message.topic(), message.partition())
            if here != place or message.error() is not None:
                self._end_run(place, run)
                place, run = here, []
                error = message.error()
                if error is not None:
                    place = (None, None)
                    if self._failed(error, message):
                        return
                    continue
            if here[0] == self._topic:
                self._frontier(message)
                continue
            # Ours all have a key; somebody else's may not, and are found out later.
            run.append((message.offset(), message.key() or b"", message.value(), message.headers()))  # type: ignore[arg-type]
        self._end_run(place, run)

    def _end_run(self, place: tuple[str | None, int | None], run: list[Waiting]) -> None:
        if run:
            self.accounting.queues[place].extend(run)  # type: ignore[index]  # a message always has both

    def _hold_frontiers(self) -> None:
        """Frontiers are small and come far ahead of their rows: some thousand of them would fill the memory."""
        ahead = self.accounting.frontiers_ahead
        if ahead > FRONTIERS_AHEAD and not self._held:
            self._consumer.pause([TopicPartition(self._topic, 0)])
            self._held = True
        elif self._held and ahead < FRONTIERS_AHEAD // 2:
            self._consumer.resume([TopicPartition(self._topic, 0)])
            self._held = False

    def _hold_rows(self) -> None:
        """Partitions that come ahead of the others would fill the memory and go to disk: they wait in Kafka instead.

        What the first frontier lacks is never held back, so it becomes whole, is taken, and makes room.
        """
        waits, limit = self.budget.used + self.budget.spilled, self.budget.limit
        if not self._paused and waits <= limit * HOLD_AT:
            return
        lacking = set(self.accounting.missing())
        self._resume(self._paused if waits <= limit * RELEASE_AT else self._paused & lacking)
        if waits > limit * HOLD_AT:
            ahead = {place for place, queue in self.accounting.queues.items() if queue} - lacking - self._paused
            if ahead:
                self._consumer.pause([TopicPartition(*place) for place in ahead])
                self._paused |= ahead

    def _resume(self, places: set[Partition]) -> None:
        if places:
            self._consumer.resume([TopicPartition(*place) for place in places])
            self._paused -= places

    def _frontier(self, message: confluent_kafka.Message) -> None:
        offset = message.offset() or 0
        record = decode(message.value(), self._topic, offset)
        if not isinstance(record, Frontier):
            return
        self.accounting.add_frontier(record, offset)
        kind, appended_ms = message.timestamp()
        if self._source_clock is not None and record.clock_us and kind == confluent_kafka.TIMESTAMP_LOG_APPEND_TIME:
            self._source_clock.message(record.clock_us, appended_ms * 1000 + 500)

    def _failed(self, error: KafkaError, message: confluent_kafka.Message) -> bool:
        """Raise what ends the session. True when reading begins elsewhere: what else was read is not wanted any more."""
        code, topic, partition = error.code(), message.topic() or "", message.partition() or 0
        if code in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            return self._out_of_range(topic, partition)
        if code in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION):
            raise missing_topic(topic)
        if code == KafkaError.GROUP_AUTHORIZATION_FAILED and not self._group_refused:
            self._group_refused = True
            why = explain(KafkaException(error), self._kafka, f"committing offsets of group {self._group}")
            log.warning("other people's lag tools are not told where this follower stands: %s", why)
        if error.fatal() or code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._ALL_BROKERS_DOWN):
            raise explain(KafkaException(error), self._kafka, f"reading {topic or 'the log'}")
        return False

    def _out_of_range(self, topic: str, partition: int) -> bool:
        """Retention removes commit markers too, so a head beyond our place is a gap only if counted records are gone."""
        low, high = self._watermarks(topic, partition)
        if topic == self._topic and low > self._from:
            if self.accounting.newest is not None:
                # Cut while it was read: a session that begins anew asks whether anything that went is lacking.
                raise Unreachable(
                    f"the head of {topic} was cut to offset {low} while it was read", fix="the follower begins there"
                )
            if self._moved(low, high):
                return True
        wanted = self._from if topic == self._topic else self.accounting.next_offset.get((topic, partition), 0)
        if topic == self._topic or wanted > high:
            raise self._gap(topic, partition, f"offset {wanted} is not there: the partition has {low} to {high}")
        self._consumer.incremental_unassign([TopicPartition(topic, partition)])
        self._new.append(TopicPartition(topic, partition, low))
        return False

    def _moved(self, low: int, high: int) -> bool:
        """Begin where the cut log begins now, if nothing that went is lacking."""
        moved = position_after_cut(self._settings, self.accounting.position, low, high)
        if moved is None:
            return False
        self._consumer.incremental_unassign(self._consumer.assignment())
        self._paused.clear()  # what is assigned anew is read
        self._from = moved.frontier_offset
        self._new = [TopicPartition(self._topic, 0, self._from)]
        self.accounting.begin(moved)
        return True

    def _watermarks(self, topic: str, partition: int) -> tuple[int, int]:
        """The partition's first offset and the one after its last. Raises Unreachable while nobody leads it."""
        doing = f"asking for the offsets of partition {partition} of {topic}"
        try:
            answer = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=METADATA_S)
        except KafkaException as error:
            raise explain(error, self._kafka, doing) from None
        if answer is None:
            raise no_answer(self._kafka, doing)
        return answer

    def _look_for_gap(self) -> None:
        """Halt when the records that the first frontier counts have stopped coming, and why can be told."""
        lacking = self.accounting.missing()
        have = sum(len(self.accounting.queues[place]) for place in lacking)
        now = time.monotonic()
        if not lacking or have != self._had:
            self._had, self._waiting_since = have, now
            return
        if now - self._waiting_since <= STALLED_AFTER_S:
            return
        self._waiting_since = now
        for topic in {topic for topic, _ in lacking}:
            require_topic(self._consumer, self._kafka, topic, ASK_S)
        for topic, partition in lacking:
            low, high = self._watermarks(topic, partition)
            wanted = self.accounting.next_offset.get((topic, partition), 0)
            if high < wanted or (low > wanted and self._too_few((topic, partition), low, lacking[topic, partition])):
                raise self._gap(
                    topic,
                    partition,
                    f"records that a frontier counts are gone: next is {wanted}, the partition has {low} to {high}",
                )

    def _too_few(self, place: Partition, low: int, count: int) -> bool:
        """True when the partition has fewer than `count` records that we have not read, committed or not.

        That it begins behind our place does not say so: of a table at rest retention takes the markers of commits as well.
        """
        [reached] = self._consumer.position([TopicPartition(*place)])
        start = max(low, reached.offset)  # a place that was never read from is below 0
        end = end_offsets(admin(self._kafka), self._kafka, [place])[place]
        there = read_range(self._kafka, *place, start, end, uncommitted=True)
        return len(list(islice(there, count))) < count

    def _gap(self, topic: str, partition: int, what: str) -> StrettoError:
        return Gap(
            f"partition {partition} of {topic}: {what}",
            expected="the log from the follower's position on",
            fix=f"the outage was longer than the topic's retention: {COPY_AGAIN}",
        )

    def commit_group(self) -> None:
        """Tell Kafka's group how far we are, for the ecosystem's lag tools only: never read back."""
        if time.monotonic() - self._committed_at < GROUP_COMMIT_S:
            return
        self._committed_at = time.monotonic()
        places = [TopicPartition(t, p, offset) for (t, p), offset in self.accounting.next_offset.items()]
        if places:
            self._consumer.commit(offsets=places, asynchronous=True)

    def close(self) -> None:
        """Leave the log and give the disk space back."""
        for queue in self.accounting.queues.values():
            queue.close()
        self._consumer.close()
