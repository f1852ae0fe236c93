"""The Faust application: three streams into the tables.

The source's frontiers and the followers' words count what went through; the looks of the monitor that is active, its
points, are the lag. Records are taken in batches, so that a busy follower costs no more than a quiet one, and folded so
that one that comes twice counts once. One that cannot be read is counted and passed over.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
from faust import App, Stream
from faust.types import EventT, StreamT

from stretto_connectors.prometheus import counter
from stretto_consumers.lag.monitor.committed import CommittedTransport
from stretto_consumers.lag.monitor.credentials import broker_url, credentials
from stretto_consumers.lag.monitor.folds import (
    FlowWindow,
    LagWindow,
    Mark,
    fold_flow,
    fold_lag,
    follower_mark,
    frontier_mark,
)
from stretto_consumers.lag.monitor.places import Places
from stretto_consumers.lag.monitor.tables import OnePartition, Span, Tables
from stretto_schemas import metrics
from stretto_schemas.follower_state import decode_state
from stretto_schemas.frontier import Frontier, decode_record
from stretto_schemas.lag.view import Point, decode_points
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

Event = EventT[Any]

UNREADABLE = counter(metrics.MONITOR_UNREADABLE)

BATCH = 5_000
WITHIN_S = 1.0
"""A batch is folded at so many records, or after so long: windows are that much behind, which their minute hides."""
SWEEP_S = 60.0
COMMIT_S = 5.0
"""What a restart reads again at most."""
SAID_EVERY_S = 30.0
"""Of a topic full of what cannot be read, one record is named so often."""
SESSION_S = 10.0
"""Kafka gives a dead monitor's place to another after this long."""


def application(settings: Settings, found: Places, data_dir: Path) -> App:
    """The application without its streams. Raises SettingsError."""
    app = App(
        found.group,
        broker=broker_url(settings.kafka),
        broker_credentials=credentials(settings.kafka),
        broker_client_id=f"stretto-{settings.lag.name}",
        broker_commit_interval=COMMIT_S,
        broker_session_timeout=SESSION_S,
        broker_heartbeat_interval=SESSION_S / 5,
        broker_request_timeout=SESSION_S * 2,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=settings.kafka.max_message_bytes,
        producer_max_request_size=settings.kafka.max_message_bytes,
        datadir=str(data_dir),
        store="memory://",
        table_standby_replicas=1,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=1,
        topic_replication_factor=settings.kafka.replication_factor,
        stream_wait_empty=False,
        web_enabled=False,
        web_tables_enabled=False,
        Table=OnePartition,
    )
    app.transport = CommittedTransport(app.conf.broker_consumer, app)
    return app


class Streams:
    """The streams of one application, and how many of their records could not be read."""

    def __init__(self, app: App, found: Places, source: str) -> None:
        self.tables = Tables(app)
        self.unreadable = 0
        self.failure: Exception | None = None
        """What no record may cause; the session ends with it."""
        self._source = source
        self._unread: dict[str, int] = {}
        """By topic: offset of the newest record that could not be read."""
        self._said_until: dict[str, float] = {}
        for topic, take in (
            (found.transactions, self._frontiers),
            (found.followers, self._followers),
            (found.points, self._points),
        ):
            UNREADABLE.labels(topic)  # shown as 0 from the start
            channel = app.topic(
                topic, key_type=bytes, key_serializer="raw", value_type=bytes, value_serializer="raw", allow_empty=True
            )
            app.agent(channel, name=take.__name__.strip("_"))(self._agent(take))
        app.timer(SWEEP_S)(self._sweep)

    def _frontiers(self, events: Iterable[Event]) -> None:
        before = mark = self.tables.marks.get(self._source)
        folded: dict[tuple[int, Span], FlowWindow] = {}
        for event in events:
            record = self._read(event, decode_record)
            if not isinstance(record, Frontier) or record.source != self._source:
                continue
            previous, mark = mark, frontier_mark(mark, record, event.message.offset, _at_us(event))
            if mark is previous:
                continue
            self._flow(folded, self._source, mark, previous)
        self._put(self._source, folded, mark if mark is not before else None)

    def _followers(self, events: Iterable[Event]) -> None:
        told: dict[bytes, tuple[Event, Event]] = {}
        for event in events:
            key = event.message.key or b""
            if event.message.value is not None:
                told[key] = told.get(key, (event, event))[0], event
            else:  # removed
                told.pop(key, None)
                self.tables.marks.drop(key.decode(errors="replace"))
        for first, newest in told.values():
            self._follower(first, newest)

    def _follower(self, first: Event, newest: Event) -> None:
        """Between the first and the newest record of a batch nothing is lost: they count by themselves."""
        state = self._read(newest, decode_state)
        if state is None or state.source != self._source:
            return
        key = f"{state.follower}/{state.source}"
        before = self.tables.marks.get(key)
        mark = follower_mark(state, newest.message.offset, _at_us(newest))
        if before is None and first is not newest and (began := self._read(first, decode_state)) is not None:
            before = follower_mark(began, first.message.offset, _at_us(first))
        elif before is not None and mark.epoch == before.epoch and mark.offset <= before.offset:
            return
        folded: dict[tuple[int, Span], FlowWindow] = {}
        self._flow(folded, key, mark, before)
        self._put(key, folded, mark)

    def _points(self, events: Iterable[Event]) -> None:
        folded: dict[tuple[int, str, Span], LagWindow] = {}
        for event in events:
            looks: dict[str, list[Point]] = {}
            for point in self._read(event, decode_points) or ():
                looks.setdefault(f"{point.follower}/{point.source}", []).append(point)
            for key, points in looks.items():
                for number, windows in enumerate(self.tables.lag):
                    for span in windows.spans(_at_us(event)):
                        window = folded.get((number, key, span)) or windows.get((key, span))
                        more = fold_lag(window, points, event.message.offset)
                        if more is not None and more is not window:
                            folded[number, key, span] = more
        for (number, key, span), window in folded.items():
            self.tables.lag[number].put((key, span), window)

    def _flow(self, folded: dict[tuple[int, Span], FlowWindow], key: str, mark: Mark, before: Mark | None) -> None:
        for number, windows in enumerate(self.tables.flow):
            for span in windows.spans(mark.at_us):
                window = folded.get((number, span)) or windows.get((key, span))
                folded[number, span] = fold_flow(window, mark, before)

    def _put(self, key: str, folded: dict[tuple[int, Span], FlowWindow], mark: Mark | None) -> None:
        """Windows first: with the mark alone a record that comes again would be counted in none."""
        for (number, span), window in folded.items():
            self.tables.flow[number].put((key, span), window)
        if mark is not None:
            self.tables.marks.put(key, mark)

    def _read(self, event: Event, decode: Callable[[bytes], Any]) -> Any:
        message = event.message
        try:
            return decode(message.value or b"")
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            if message.offset <= self._unread.get(message.topic, -1):
                return None  # it comes again
            self._unread[message.topic] = message.offset
            self.unreadable += 1
            UNREADABLE.labels(message.topic).inc()
            if time.monotonic() >= self._said_until.get(message.topic, 0.0):
                log.warning("record %d of %s cannot be read: %s; passed over", message.offset, message.topic, error)
                self._said_until[message.topic] = time.monotonic() + SAID_EVERY_S
            return None

    def _agent(self, take: Callable[[Iterable[Event]], None]) -> Callable[[StreamT[bytes]], Any]:
        async def fold(stream: StreamT[bytes]) -> None:
            assert isinstance(stream, Stream), "the interface leaves out how records are taken in batches"
            async for events in stream.take_events(BATCH, within=WITHIN_S):
                try:
                    take(events)
                except Exception as error:
                    # Faust would log it, pass over the batch and go on.
                    self.failure = error
                    raise

        return fold

    async def _sweep(self) -> None:
        began = time.monotonic()
        swept = self.tables.sweep()
        log.debug("forgot %d windows in %.3f s", swept, time.monotonic() - began)


def _at_us(event: Event) -> int:
    """When the broker took the record. One clock for all windows: those of processes and databases may be off."""
    return int(event.message.timestamp * 1e6)
