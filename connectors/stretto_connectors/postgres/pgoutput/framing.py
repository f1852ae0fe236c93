"""The replication stream around pgoutput's messages: what a walsender sends in CopyData and what it is answered.

Source: PostgreSQL documentation, "Streaming Replication Protocol".
"""

from __future__ import annotations

import struct
from typing import Final

import msgspec

from stretto_connectors.postgres.pgoutput.decode import POSTGRES_EPOCH_US
from stretto_connectors.postgres.pgoutput.malformed import Malformed

PAYLOAD: Final = 25
"""Where the output plugin's message begins in an XLogData frame."""

_HEADER = struct.Struct(">BQQq").unpack_from
_KEEPALIVE = struct.Struct(">BQqB").unpack_from
_STATUS = struct.Struct(">BQQQqB").pack


class XLogData(msgspec.Struct, gc=False):
    """Frame 'w'. Its message begins at byte `PAYLOAD`. `start_lsn` is 0 where a message has no place of its own."""

    start_lsn: int
    end_lsn: int
    send_ts_us: int


class Keepalive(msgspec.Struct, gc=False):
    """Frame 'k': the server has decoded WAL up to `end_lsn`. `reply_requested`: answer at once or be disconnected."""

    end_lsn: int
    send_ts_us: int
    reply_requested: bool


def frame(buf: bytes) -> XLogData | Keepalive:
    """Read the head of a frame of either kind. Raises Malformed."""
    if buf[:1] == b"k":
        return keepalive(buf)
    return xlog_data(buf)


def xlog_data(buf: bytes) -> XLogData:
    """Read the head of frame 'w'. Raises Malformed."""
    _expect(buf, 0x77, "w, XLogData")
    if len(buf) < PAYLOAD:
        raise Malformed.ended(0x77, len(buf))
    _, start_lsn, end_lsn, ts = _HEADER(buf)
    return XLogData(start_lsn, end_lsn, ts + POSTGRES_EPOCH_US)


def keepalive(buf: bytes) -> Keepalive:
    """Read frame 'k'. Raises Malformed."""
    _expect(buf, 0x6B, "k, a keepalive")
    if len(buf) < 18:
        raise Malformed.ended(0x6B, len(buf))
    if len(buf) > 18:
        raise Malformed.trailing(0x6B, 18, len(buf))
    _, end_lsn, ts, reply = _KEEPALIVE(buf)
    return Keepalive(end_lsn, ts + POSTGRES_EPOCH_US, reply != 0)


def _expect(buf: bytes, kind: int, what: str) -> None:
    if not buf:
        raise Malformed.ended("(none)", 0)
    if buf[0] != kind:
        raise Malformed("is not the frame that was expected", buf[0], 0, len(buf), expected=what)


def status_update(write: int, flush: int, apply: int, now_us: int, reply: bool = False) -> bytes:
    """Frame 'r', to be sent to the server: LSNs written, flushed and applied here, our clock, and whether to answer.

    `flush` is what the slot may forget. 0 means unknown, and moves nothing.
    """
    return _STATUS(0x72, write, flush, apply, now_us - POSTGRES_EPOCH_US, reply)
