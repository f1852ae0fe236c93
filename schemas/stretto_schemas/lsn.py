"""Log sequence numbers: places in PostgreSQL's WAL, as plain integers with PostgreSQL's notation at the edges."""

from __future__ import annotations

import re
from typing import NewType

from stretto_schemas.errors import UsageError

Lsn = NewType("Lsn", int)
"""A byte position in the WAL, 0 to 2**64-1. `Lsn(0)` is PostgreSQL's InvalidXLogRecPtr: no place at all."""

_NOTATION = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


def parse_lsn(text: str) -> Lsn:
    """Read PostgreSQL's notation, `16/B374D848`."""
    match = _NOTATION.fullmatch(text)
    if match is None:
        raise UsageError(f"{text!r} is no LSN", expected="two hexadecimal numbers of up to 8 digits, as in 16/B374D848")
    return Lsn(int(match[1], 16) << 32 | int(match[2], 16))


def format_lsn(lsn: int) -> str:
    """Write PostgreSQL's notation, `16/B374D848`."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
