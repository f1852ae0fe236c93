"""Records as both captures wrote them: read from the broker, parsed without losing a digit, and put into pairs."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition

_READ_S = 20.0


class Number(str):
    """A JSON number in the digits that were written."""

    __slots__ = ()


class _Missing:
    def __repr__(self) -> str:
        return "(not there)"


MISSING = _Missing()
"""Stands for a field that one of two records lacks."""


def parse(text: bytes | str | None) -> Any:
    """Parsed JSON in which 1, 1.0 and "1" differ. A record without value is None."""
    if text is None:
        return None
    return json.loads(text, parse_int=Number, parse_float=Number, parse_constant=Number)


@dataclass(frozen=True)
class Record:
    """One record. `envelope` is that of a tombstone's delete, which Debezium's tombstones do not tell by themselves."""

    topic: str
    """Without the prefix, which each capture has its own of."""
    key: Any
    value: Any
    headers: Mapping[str, str]
    envelope: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """The envelope's `op`; `tombstone` where there is none."""
        return "tombstone" if self.value is None else str(self.value["op"])

    @property
    def table(self) -> tuple[str, str]:
        """Schema and name of the table; empty for a message."""
        source = self.envelope["source"]
        return source["schema"], source["table"]

    @property
    def place(self) -> tuple[int, str, str, str]:
        """What tells which change a record is of: LSN, table, kind. Rows of one COPY or multi-insert share it."""
        return int(self.envelope["source"]["lsn"]), *self.table, self.kind

    def __str__(self) -> str:
        lsn, schema, table, kind = self.place
        return f"{kind} of {schema}.{table} at {lsn}"


def read(bootstrap: str, prefix: str, *, without: Iterable[str] = ()) -> list[Record]:
    """Every committed record of the topics that begin with a prefix, each partition in its order."""
    with _consumer(bootstrap) as client:
        leave_out = {prefix + name for name in without}
        known = client.list_topics(timeout=_READ_S).topics
        wanted = [
            TopicPartition(name, partition, 0)
            for name in sorted(known)
            if name.startswith(prefix) and name not in leave_out
            for partition in known[name].partitions
        ]
        return list(_read(client, wanted, prefix))


def wait_for_first(bootstrap: str, topic: str, check: Callable[[], None], deadline_s: float) -> None:
    """Wait until a topic is there and has a committed record; `check` fails when it never will."""
    end = time.monotonic() + deadline_s
    assigned = False
    with _consumer(bootstrap) as client:
        while True:
            check()
            assert time.monotonic() < end, f"nothing in {topic} within {deadline_s:.0f} s"
            if not assigned:
                partitions = client.list_topics(timeout=_READ_S).topics
                if assigned := topic in partitions:
                    client.assign([TopicPartition(topic, p, 0) for p in partitions[topic].partitions])
            message = client.poll(0.2) if assigned else None
            if message is not None and not message.error():
                return
            if not assigned:
                time.sleep(0.2)


@contextmanager
def _consumer(bootstrap: str) -> Iterator[Consumer]:
    client = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "none",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "allow.auto.create.topics": False,
        }
    )
    try:
        yield client
    finally:
        client.close()


def _read(client: Consumer, places: list[TopicPartition], prefix: str) -> Iterator[Record]:
    client.assign(places)
    unread = {(place.topic, place.partition) for place in places}
    envelopes: dict[tuple[str, int], Mapping[str, Any]] = {}
    while unread:
        message = client.poll(_READ_S)
        assert message is not None, f"not read to the end: {sorted(unread)}"
        topic, partition = message.topic(), message.partition()
        assert topic is not None
        assert partition is not None
        if message.error():
            unread.discard((topic, partition))
            continue
        value = parse(message.value())
        if value is not None:
            envelopes[topic, partition] = value
        pairs: Any = message.headers() or []
        headers = {name: (content or b"").decode() for name, content in pairs}
        yield Record(topic.removeprefix(prefix), parse(message.key()), value, headers, envelopes[topic, partition])


def pairs(theirs: Iterable[Record], ours: Iterable[Record]) -> Iterator[tuple[Record | None, Record | None]]:
    """Records of the same change side by side: Debezium's first, None where one of them has none."""
    left, right = _by_place(theirs), _by_place(ours)
    for place in sorted({*left, *right}):
        yield left.get(place), right.get(place)


def _by_place(records: Iterable[Record]) -> dict[tuple[Any, ...], Record]:
    seen: Counter[tuple[Any, ...]] = Counter()
    placed = {}
    for record in records:
        seen[record.place] += 1
        placed[*record.place, seen[record.place]] = record
    return placed


@dataclass(frozen=True)
class Difference:
    """One field that differs. `path` begins with topic, key, value or headers; `type` is the column's, if it is one."""

    path: tuple[str, ...]
    theirs: Any
    ours: Any
    type: str
    their_record: Record | None
    our_record: Record | None

    def __str__(self) -> str:
        of = self.their_record or self.our_record
        kind = f" ({self.type})" if self.type else ""
        return f"{'.'.join(self.path)}{kind} in {of}: Debezium {self.theirs!r}, Stretto {self.ours!r}"


_NESTED = {("value",), ("value", "before"), ("value", "after"), ("value", "source"), ("value", "transaction")}
_NESTED |= {
    ("value", "message"),
    ("key",),
    ("headers",),
    ("headers", "__debezium.newkey"),
    ("headers", "__debezium.oldkey"),
}
_COLUMNS = {("value", "before"), ("value", "after"), ("key",)}
_COLUMNS |= {("headers", "__debezium.newkey"), ("headers", "__debezium.oldkey")}


def differences(
    theirs: Record | None, ours: Record | None, types: Mapping[tuple[str, str, str], str]
) -> Iterator[Difference]:
    """Every field in which two records of one change differ; the order of fields counts as one."""
    if theirs is None or ours is None:
        left = MISSING if theirs is None else theirs.kind
        right = MISSING if ours is None else ours.kind
        yield Difference(("record",), left, right, "", theirs, ours)
        return

    def compare(path: tuple[str, ...], left: Any, right: Any) -> Iterator[Difference]:
        if path[:1] == ("headers",) and path in _NESTED and len(path) == 2:
            left, right = (parse(x) if isinstance(x, str) else x for x in (left, right))
        if path in _NESTED and isinstance(left, Mapping) and isinstance(right, Mapping):
            for name in {**left, **right}:
                yield from compare((*path, name), left.get(name, MISSING), right.get(name, MISSING))
            common = [[name for name in side if name in other] for side, other in ((left, right), (right, left))]
            if common[0] != common[1] and path != ("headers",):
                yield Difference((*path, "(order)"), common[0], common[1], "", theirs, ours)
        elif type(left) is not type(right) or left != right:
            column = path[-1] if path[:-1] in _COLUMNS else ""
            yield Difference(path, left, right, types.get((*theirs.table, column), ""), theirs, ours)

    for part in ("topic", "key", "value", "headers"):
        yield from compare((part,), getattr(theirs, part), getattr(ours, part))


def clock_reading(text: Any) -> bool:
    """Whether a value is a time since 1970 in milli-, micro- or nanoseconds."""
    return isinstance(text, Number) and re.fullmatch(r"\d{13}(\d{3}(\d{3})?)?", text) is not None
