"""Cutting the head of the transactions topic, which has no retention of its own: what retention took from the tables' topics
needs no frontier any more.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping

from confluent_kafka.admin import AdminClient

from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.reader import decode, end_offsets, read_range, watermarks
from stretto_connectors.kafka.topics import delete_before, partition_counts
from stretto_schemas.errors import StrettoError
from stretto_schemas.frontier import Frontier
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

Partition = tuple[str, int]


def is_past(full: Frontier, starts: Mapping[Partition, int]) -> bool:
    """True when every row before this full frontier's offsets is gone. `starts`: first offset still there, by partition."""
    return all(starts[place.topic, place.partition] >= place.offset for place in full.offsets or ())


def trim_point(aged: Iterable[tuple[Frontier, int]], starts: Mapping[Partition, int]) -> int | None:
    """Offset of the frontier that is to become the first of the topic; None when nothing can go.

    `aged`: the full frontiers that are older than the rows' retention, with their offsets, oldest first. The last but one
    of those whose rows are gone stays: the position of a follower that runs may name the frontier just before the last.
    """
    past: list[int] = []
    for full, offset in aged:
        if not is_past(full, starts):
            break
        past = [*past[-1:], offset]
    return past[0] if len(past) == 2 else None


class Trimmer:
    """Looks every `trim_s` what can go, in a thread of its own. What fails is logged and tried again the next time."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self._kafka = settings.kafka
        self._topic = topic
        self._every_s = settings.capture.trim_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trimmer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; a look that is under way may go on for a moment."""
        self._stop.set()

    def _run(self) -> None:
        client = admin(self._kafka, "stretto-trim")
        while not self._stop.wait(self._every_s):
            try:
                self._trim(client)
            except StrettoError as error:
                log.warning("the head of topic %s stays for now: %s", self._topic, error)

    def _trim(self, client: AdminClient) -> None:
        low, high = watermarks(self._kafka, self._topic)
        starts: dict[Partition, int] = {}
        point = trim_point(self._aged(client, low, high, starts), starts)
        if point is not None and point > low:
            delete_before(client, self._kafka, self._topic, 0, point)
            log.info(
                "topic %s begins at offset %s now: no row is left that the frontiers before it count",
                self._topic,
                point,
            )

    def _aged(
        self, client: AdminClient, low: int, high: int, starts: dict[Partition, int]
    ) -> Iterator[tuple[Frontier, int]]:
        """Full frontiers older than the retention, oldest first; where the partitions they name begin is in `starts` by then.

        The rows of a topic that was deleted are gone too.
        """
        there = partition_counts(client, self._kafka)
        youngest_ms = time.time() * 1000 - self._kafka.retention_hours * 3_600_000
        for message in read_range(self._kafka, self._topic, 0, low, high):
            if message.timestamp()[1] > youngest_ms or self._stop.is_set():
                return
            offset = message.offset() or 0
            record = decode(message.value(), self._topic, offset)
            if isinstance(record, Frontier) and record.offsets is not None:
                new = {(place.topic, place.partition) for place in record.offsets} - starts.keys()
                starts |= dict.fromkeys(new, sys.maxsize)
                left = [place for place in new if place[0] in there]
                starts |= end_offsets(client, self._kafka, left, earliest=True)
                yield record, offset
