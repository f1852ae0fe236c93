"""TupleData, the part of a message that holds a row: the hottest loop of decoding.

Source: PostgreSQL documentation, "Logical Replication Message Formats", TupleData.
"""

from __future__ import annotations

import enum
import struct
from typing import Final, TypeAlias

from stretto_connectors.postgres.pgoutput.malformed import Malformed, kind_name


class Unchanged(enum.Enum):
    """The type of `UNCHANGED`: an enum, so that `value is UNCHANGED` narrows the type and copies stay the same."""

    UNCHANGED = "unchanged TOAST"


UNCHANGED: Final = Unchanged.UNCHANGED
"""Stands for a TOAST value that an update did not touch: the server did not send it."""

Value: TypeAlias = bytes | Unchanged | None
"""One column: the text that PostgreSQL printed, null, or `UNCHANGED`."""

_INT16 = struct.Struct(">H").unpack_from
_INT32 = struct.Struct(">I").unpack_from


def decode_tuple(buf: bytes, pos: int, kind: int | str = "row") -> tuple[list[Value], int]:
    """Read the row that begins at `pos` with its number of columns; return its values and the place after it.

    `kind` only serves the error. Raises Malformed if the row is not whole or a column comes in binary format.
    """
    # Nothing is called per column but unpack_from, and append by the list's own name, which CPython makes one
    # instruction (a bound `append` is a tenth slower). A slice past the end does not raise: one check covers them all.
    values: list[Value] = []
    try:
        (columns,) = _INT16(buf, pos)
        pos += 2
        for _ in range(columns):
            column = buf[pos]
            if column == 0x74:  # t
                (size,) = _INT32(buf, pos + 1)
                pos += 5
                values.append(buf[pos : (pos := pos + size)])
            elif column == 0x6E:  # n
                values.append(None)
                pos += 1
            elif column == 0x75:  # u
                values.append(UNCHANGED)
                pos += 1
            else:
                raise _unknown_format(column, kind, len(values), pos, len(buf))
    except (IndexError, struct.error):
        raise Malformed.ended(kind, len(buf)) from None
    if pos > len(buf):
        raise Malformed.ended(kind, len(buf))
    return values, pos


def _unknown_format(column: int, kind: int | str, index: int, offset: int, length: int) -> Malformed:
    if column == 0x62:  # b
        return Malformed(
            f"has column {index + 1} in binary format",
            kind,
            offset,
            length,
            expected="columns in text format",
            fix="start replication without the option binary",
        )
    return Malformed(f"has column {index + 1} in the unknown format {kind_name(column)}", kind, offset, length)
