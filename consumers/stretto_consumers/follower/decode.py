"""From records of a table's topic to changes: one typed decoder per layout of columns.

The layout is read off the first record of a table and then demanded of all others; a record with other columns gets a
new one. Values stay what the record says: numbers, booleans, strings; `copy_text` of the collapse writes them out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from stretto_consumers.follower.waiting import Waiting
from stretto_schemas.envelope import (
    NEW_KEY,
    OLD_KEY,
    TOTAL_ORDER,
    TRANSACTION_ID,
    UNCHANGED,
    Envelope,
    TransactionBlock,
)
from stretto_schemas.errors import Halted
from stretto_schemas.repairs import COPY_AGAIN

_Value = int | float | bool | str | None
_generic = msgspec.json.Decoder(Envelope).decode
_names = msgspec.json.Decoder(list[str]).decode
_key = msgspec.json.Decoder(dict[str, _Value]).decode
_tuple = msgspec.structs.astuple

_UNTYPED = re.compile(r'["\\\\\x00-\x1f]')
"""Characters that msgspec refuses in the name of a struct's field."""

Row = tuple[Any, ...]


def _values(image: dict[str, Any]) -> Row:
    return tuple(image.values())


class Unchanged:
    """Stands in a row for a value that the source did not send."""

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED_VALUE = Unchanged()


class Change(NamedTuple):
    """One change of one row, with its columns in the order of `layout`."""

    transaction: str
    total_order: int
    op: str
    key: bytes
    after: Row | None
    before: Row | None
    new_key: bytes | None = None
    old_key: bytes | None = None
    partial: bool = False


class Layout:
    """The columns of a table's rows, and a decoder that takes only rows with exactly these."""

    def __init__(self, columns: tuple[str, ...], *, with_before: bool) -> None:
        self.columns = columns
        self._with_before = with_before
        self.cells: Callable[[Any], Row] = _tuple
        """From `after` or `before` of a decoded envelope to its values."""
        if any(_UNTYPED.search(name) for name in columns):
            self.decode: Callable[[bytes], Any] = self._decode_untyped
            self.cells = _values
            return
        fields = [(f"c{i}", _Value) for i in range(len(columns))]
        row = msgspec.defstruct(
            "Row",
            fields,
            rename={f"c{i}": name for i, name in enumerate(columns)},
            gc=False,
            forbid_unknown_fields=True,
        )
        wanted: list[Any] = [("op", str), ("transaction", TransactionBlock), ("after", row | None, None)]
        if with_before:
            wanted.append(("before", row | None, None))
        self.decode = msgspec.json.Decoder(msgspec.defstruct("TypedEnvelope", wanted, gc=False)).decode

    def _decode_untyped(self, value: bytes) -> Envelope:
        """For columns whose names msgspec takes for no field of a struct. Raises as the typed decoder does."""
        envelope = _generic(value)
        for image in (envelope.after, envelope.before if self._with_before else None):
            if image is not None and tuple(image) != self.columns:
                raise msgspec.ValidationError("other columns")
        return envelope

    def change(self, row: Waiting) -> Change | None:
        """The change of a record; None for a tombstone. Raises msgspec.ValidationError for another layout."""
        _, key, value, headers = row
        if value is None:
            return None
        envelope = self.decode(value)
        block = envelope.transaction
        after = envelope.after
        before = self.cells(envelope.before) if self._with_before and envelope.before is not None else None
        if after is not None:
            after = self.cells(after)
        if headers is None:
            return Change(block.id, block.total_order, envelope.op, key, after, before)
        return self._with_headers(Change(block.id, block.total_order, envelope.op, key, after, before), headers)

    def _with_headers(self, change: Change, headers: list[tuple[str, bytes]]) -> Change:
        for name, value in headers:
            if name == NEW_KEY:
                change = change._replace(new_key=value)
            elif name == OLD_KEY:
                change = change._replace(old_key=value)
            elif name == UNCHANGED and change.after is not None:
                unsent = set(_names(value))
                after = tuple(
                    UNCHANGED_VALUE if column in unsent else cell
                    for column, cell in zip(self.columns, change.after, strict=True)
                )
                change = change._replace(after=after, partial=True)
        return change


def transaction_of_tombstone(row: Waiting) -> tuple[str, int] | None:
    """Which source transaction a tombstone says it belongs to."""
    found = dict(row[3] or ())
    if TRANSACTION_ID not in found or TOTAL_ORDER not in found:
        return None
    return found[TRANSACTION_ID].decode(), int(found[TOTAL_ORDER])


def layout_of(row: Waiting, topic: str, partition: int, *, with_before: bool) -> Layout:
    """The layout of one record's columns. Raises Halted, naming the place, when it is no envelope."""
    try:
        envelope = _generic(row[2] or b"")
        image = envelope.after if envelope.after is not None else envelope.before
        if image is None:
            raise msgspec.ValidationError("neither `before` nor `after`")
    except msgspec.MsgspecError as error:
        raise no_envelope(row, topic, partition, str(error)) from None
    return Layout(tuple(image), with_before=with_before)


def key_columns(key: bytes, topic: str) -> dict[str, _Value]:
    """Names and values of a record's key."""
    try:
        return _key(key)
    except msgspec.MsgspecError as error:
        raise Halted(f"a key in {topic} is no JSON object of scalars: {error}", fix=_ONLY_CAPTURE) from None


def no_envelope(row: Waiting, topic: str, partition: int, why: str) -> Halted:
    """A record that is not one of capture's."""
    return Halted(
        f"record {row[0]} of partition {partition} of {topic} is no envelope: {why}",
        expected="records written by capture only",
        fix=_ONLY_CAPTURE,
    )


_ONLY_CAPTURE = f"give only capture's principal the right to write this topic, then {COPY_AGAIN}"
