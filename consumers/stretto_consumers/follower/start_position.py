"""Where in the log a fresh copy goes on: nothing after its snapshot may be missed, what is in it is read and dropped.

And where a follower goes on that was away while the head of the transactions topic was cut.
"""

from __future__ import annotations

import time
from typing import Final

import msgspec

from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.reader import decode, end_offsets, find_frontier, read_range, watermarks
from stretto_schemas import names
from stretto_schemas.errors import Gap, Halted
from stretto_schemas.frontier import Frontier
from stretto_schemas.lsn import format_lsn
from stretto_schemas.position import Offsets, Position
from stretto_schemas.settings import Settings

WAIT_S: Final = 30.0
"""A full frontier is written every few seconds (`full_frontier_s`) while capture runs."""


def check_log(settings: Settings, system_id: str | None = None) -> None:
    """Raise Halted when the source has no log yet, and Gap when it is another server's."""
    topic = names.transactions_topic(settings.prefix, settings.source.name)
    found = find_frontier(settings.kafka, topic)
    if found is None:
        raise Halted(
            f"topic {topic} holds no frontier",
            expected="the one that `stretto init` writes",
            fix="run `stretto init` first",
        )
    frontier = found[0]
    if system_id is not None and frontier.system_id != system_id:
        raise Gap(
            f"the log is that of system {frontier.system_id}, the source is system {system_id}",
            expected="the server that `stretto init` saw",
            fix="correct `dsn` of section [source], or the `prefix` and `name` of the log",
        )


def start_position(settings: Settings, consistent_point: int, read_at_us: int, wait_s: float = WAIT_S) -> Position:
    """The position of a copy whose snapshot has every transaction with commit_lsn < `consistent_point`.

    `read_at_us`: the source's clock (microseconds since 1970) at a moment before the snapshot: everything committed by
    then is in it. Blocks up to `wait_s` for a full frontier whose offsets hold as of a place not after the snapshot.
    Raises Gap when there is none, or when the log has lost rows that lie behind it.
    """
    topic = names.transactions_topic(settings.prefix, settings.source.name)
    deadline = time.monotonic() + wait_s
    while True:
        found = find_frontier(
            settings.kafka,
            topic,
            lambda frontier: frontier.offsets is not None and frontier.offsets_lsn <= consistent_point,
        )
        if found is not None:
            break
        if time.monotonic() > deadline:
            raise Gap(
                f"the log has no full frontier at or before {format_lsn(consistent_point)}, where the copy was taken",
                expected="a log that begins before the copy",
                fix="`stretto init` was run after the copy began: run `stretto follower add` again",
            )
        time.sleep(0.5)
    frontier, offset = found
    offsets = frontier.next_offsets
    _check_still_there(settings, found, offsets)
    return Position(
        source=settings.source.name,
        epoch=frontier.epoch,
        end_lsn=consistent_point,
        commit_ts_us=read_at_us,
        offsets_lsn=frontier.offsets_lsn,
        frontier_offset=offset,
        sequence=-1,
        offsets=offsets,
        heartbeat_us=read_at_us,
    )


def position_after_cut(settings: Settings, position: Position, low: int, high: int) -> Position | None:
    """The same place in the log as `position`, named by what is left of the transactions topic, whose head was cut beyond it.

    `low` and `high`: the topic's first offset and the one after its last. None when transactions that the position has not
    lie between, or may: the first frontier left must name the newest one before it.
    """
    topic = names.transactions_topic(settings.prefix, settings.source.name)
    for message in read_range(settings.kafka, topic, 0, low, high):
        offset = message.offset() or 0
        first = decode(message.value(), topic, offset)
        if isinstance(first, Frontier):
            before = first.commit_lsn_before
            if first.epoch != position.epoch or before is None or before >= position.end_lsn:
                return None
            return msgspec.structs.replace(
                position,
                frontier_offset=offset,
                sequence=first.sequence - 1,
                offsets=first.next_offsets,
                offsets_lsn=first.offsets_lsn,
            )
    return None


def _check_still_there(settings: Settings, found: tuple[Frontier, int], offsets: Offsets) -> None:
    """Raise Gap when retention took rows that the frontier or a later one counts.

    That a partition begins behind its offset does not say so: retention takes the markers of commits too, and of a table
    at rest nothing but them lies behind its last row.
    """
    frontier, offset = found
    earliest = end_offsets(admin(settings.kafka), settings.kafka, offsets, earliest=True)
    begun_behind = {place for place, start in offsets.items() if earliest[place] > start}
    if not begun_behind:
        return
    topic = names.transactions_topic(settings.prefix, settings.source.name)
    counted: set[tuple[str, int]] = set()
    for message in read_range(settings.kafka, topic, 0, offset, watermarks(settings.kafka, topic)[1]):
        record = decode(message.value(), topic, message.offset() or 0)
        if isinstance(record, Frontier):
            counted.update(place for place, count in zip(record.partitions, record.counts, strict=True) if count)
    lost = sorted(begun_behind & counted)
    if lost:
        topic, partition = lost[0]
        raise Gap(
            f"partition {partition} of {topic} begins at {earliest[topic, partition]}: retention took rows away that came"
            f" after {format_lsn(frontier.offsets_lsn)}, while the copy went on",
            expected="retention_hours longer than a copy takes",
            fix="raise `retention_hours` in section [kafka] and the topics' retention.ms, then run `stretto follower add` again",
        )
