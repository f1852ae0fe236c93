"""From the bytes of one message to its class: pgoutput protocol 1 to 4. Pure.

Source: PostgreSQL documentation, "Logical Replication Message Formats". Strings are UTF-8: the connection's
client_encoding must say so. What the page does not know (kinds, flags, more bytes) is refused, never passed over.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, Literal, cast

from stretto_connectors.postgres.pgoutput.malformed import Malformed
from stretto_connectors.postgres.pgoutput.messages import (
    Begin,
    BeginPrepare,
    Commit,
    CommitPrepared,
    Delete,
    Insert,
    LogicalMessage,
    Message,
    Origin,
    Prepare,
    Relation,
    RelationColumn,
    RollbackPrepared,
    StreamAbort,
    StreamCommit,
    StreamPrepare,
    StreamStart,
    StreamStop,
    Truncate,
    Type,
    Update,
)
from stretto_connectors.postgres.pgoutput.row import decode_tuple

POSTGRES_EPOCH_US: Final = 946_684_800_000_000
"""2000-01-01 00:00 UTC, where PostgreSQL's clock begins, in microseconds since 1970."""

_INT32 = struct.Struct(">I").unpack_from
_INT64 = struct.Struct(">Q").unpack_from
_RELID_TAG = struct.Struct(">IB").unpack_from
_TYPE = struct.Struct(">Ii").unpack_from
_TRUNCATE = struct.Struct(">IB").unpack_from
_MESSAGE = struct.Struct(">BQ").unpack_from
_BEGIN = struct.Struct(">QqI").unpack_from
_COMMIT = struct.Struct(">BQQq").unpack_from
_STREAM_START = struct.Struct(">IB").unpack_from
_STREAM_COMMIT = struct.Struct(">IBQQq").unpack_from
_STREAM_ABORT = struct.Struct(">II").unpack_from
_STREAM_ABORT_PLACE = struct.Struct(">Qq").unpack_from
_BEGIN_PREPARE = struct.Struct(">QQqI").unpack_from
_PREPARED = struct.Struct(">BQQqI").unpack_from
_ROLLED_BACK = struct.Struct(">BQQqqI").unpack_from


def decode(buf: bytes, in_stream: bool = False) -> Message:
    """Read one whole message. `in_stream`: it came between StreamStart and StreamStop.

    Raises Malformed if the kind is unknown, or the message is cut, too long or otherwise not as the protocol has it.
    """
    if not buf:
        raise Malformed.ended("(none)", 0)
    kind = buf[0]
    pos = 1
    xid = 0
    message: Message
    try:
        if in_stream and kind in _WITH_XID:
            (xid,) = _INT32(buf, 1)
            pos = 5
        if kind == 0x49:  # I
            relid, tag = _RELID_TAG(buf, pos)
            if tag != 0x4E:  # N
                raise Malformed("has no new row", kind, pos + 4, len(buf))
            new, pos = decode_tuple(buf, pos + 5, kind)
            message = Insert(relid, new, xid)
        elif (read := _READERS.get(kind)) is not None:
            message, pos = read(buf, pos, xid)
        else:
            raise Malformed("is unknown", kind, 0, len(buf))
    except (IndexError, struct.error):
        raise Malformed.ended(kind, len(buf)) from None
    if pos != len(buf):
        raise Malformed.trailing(kind, pos, len(buf))
    return message


def _string(buf: bytes, pos: int) -> tuple[str, int]:
    """The string at `pos`, ended by a zero byte."""
    end = buf.find(0, pos)
    if end < 0:
        raise Malformed.ended(buf[0], len(buf))
    try:
        return buf[pos:end].decode(), end + 1
    except UnicodeDecodeError:
        raise Malformed(
            "has a name that is not UTF-8", buf[0], pos, len(buf), fix="connect with client_encoding=UTF8"
        ) from None


def _schema(buf: bytes, pos: int) -> tuple[str, int]:
    """A schema's name; the server sends pg_catalog as the empty string."""
    name, pos = _string(buf, pos)
    return name or "pg_catalog", pos


def _known(flags: int, mask: int, buf: bytes, pos: int) -> int:
    """`flags`, of which only the bits of `mask` are defined: another one may change what the message means."""
    if flags & ~mask:
        raise Malformed(f"has unknown flags 0x{flags:02x}", buf[0], pos, len(buf))
    return flags


def _begin(buf: bytes, pos: int, _xid: int) -> tuple[Message, int]:
    final_lsn, ts, xid = _BEGIN(buf, pos)
    return Begin(final_lsn, ts + POSTGRES_EPOCH_US, xid), pos + 20


def _commit(buf: bytes, pos: int, _xid: int) -> tuple[Message, int]:
    flags, commit_lsn, end_lsn, ts = _COMMIT(buf, pos)
    return Commit(_known(flags, 0, buf, pos), commit_lsn, end_lsn, ts + POSTGRES_EPOCH_US), pos + 25


def _origin(buf: bytes, pos: int, _xid: int) -> tuple[Message, int]:
    (commit_lsn,) = _INT64(buf, pos)
    name, pos = _string(buf, pos + 8)
    return Origin(commit_lsn, name), pos


def _relation(buf: bytes, pos: int, xid: int) -> tuple[Message, int]:
    (relid,) = _INT32(buf, pos)
    schema, pos = _schema(buf, pos + 4)
    name, pos = _string(buf, pos)
    identity = chr(buf[pos])
    if identity not in "dnfi":
        raise Malformed("has an unknown replica identity", buf[0], pos, len(buf))
    count = buf[pos + 1] << 8 | buf[pos + 2]
    pos += 3
    columns = []
    for _ in range(count):
        flags = _known(buf[pos], 1, buf, pos)
        column, pos = _string(buf, pos + 1)
        type_oid, type_modifier = _TYPE(buf, pos)
        pos += 8
        columns.append(RelationColumn(column, type_oid, type_modifier, flags == 1))
    return Relation(relid, schema, name, cast('Literal["d", "n", "f", "i"]', identity), tuple(columns), xid), pos


def _type(buf: bytes, pos: int, xid: int) -> tuple[Message, int]:
    (oid,) = _INT32(buf, pos)
    schema, pos = _schema(buf, pos + 4)
    name, pos = _string(buf, pos)
    return Type(oid, schema, name, xid), pos


def _old_kind(tag: int, buf: bytes, pos: int) -> Literal["K", "O"]:
    if tag == 0x4B:
        return "K"
    if tag == 0x4F:
        return "O"
    raise Malformed("has no row where one must be", buf[0], pos, len(buf))


def _update(buf: bytes, pos: int, xid: int) -> tuple[Message, int]:
    relid, tag = _RELID_TAG(buf, pos)
    pos += 5
    if tag == 0x4E:  # N: the key did not change
        new, pos = decode_tuple(buf, pos, 0x55)
        return Update(relid, None, None, new, xid), pos
    old_kind = _old_kind(tag, buf, pos - 1)
    old, pos = decode_tuple(buf, pos, 0x55)
    if buf[pos] != 0x4E:
        raise Malformed("has no new row", buf[0], pos, len(buf))
    new, pos = decode_tuple(buf, pos + 1, 0x55)
    return Update(relid, old_kind, old, new, xid), pos


def _delete(buf: bytes, pos: int, xid: int) -> tuple[Message, int]:
    relid, tag = _RELID_TAG(buf, pos)
    old_kind = _old_kind(tag, buf, pos + 4)
    old, pos = decode_tuple(buf, pos + 5, 0x44)
    return Delete(relid, old_kind, old, xid), pos


def _truncate(buf: bytes, pos: int, xid: int) -> tuple[Message, int]:
    count, flags = _TRUNCATE(buf, pos)
    _known(flags, 3, buf, pos + 4)
    pos += 5
    end = pos + 4 * count
    if end > len(buf):  # before a format for `count` integers is built: a broken count may be four thousand million
        raise Malformed.ended(buf[0], len(buf))
    relids: tuple[int, ...] = struct.unpack_from(f">{count}I", buf, pos)
    return Truncate(relids, bool(flags & 1), bool(flags & 2), xid), end


def _logical_message(buf: bytes, pos: int, xid: int) -> tuple[Message, int]:
    flags, lsn = _MESSAGE(buf, pos)
    _known(flags, 1, buf, pos)
    prefix, pos = _string(buf, pos + 9)
    (size,) = _INT32(buf, pos)
    pos += 4
    end = pos + size
    if end > len(buf):
        raise Malformed.ended(buf[0], len(buf))
    return LogicalMessage(flags == 1, lsn, prefix, buf[pos:end], xid), end


def _stream_start(buf: bytes, pos: int, _xid: int) -> tuple[Message, int]:
    xid, first = _STREAM_START(buf, pos)
    return StreamStart(xid, _known(first, 1, buf, pos + 4) == 1), pos + 5


def _stream_stop(_buf: bytes, pos: int, _xid: int) -> tuple[Message, int]:
    return StreamStop(), pos


def _stream_commit(buf: bytes, pos: int, _xid: int) -> tuple[Message, int]:
    xid, flags, commit_lsn, end_lsn, ts = _STREAM_COMMIT(buf, pos)
    _known(flags, 0, buf, pos + 4)
    return StreamCommit(xid, flags, commit_lsn, end_lsn, ts + POSTGRES_EPOCH_US), pos + 29


def _stream_abort(buf: bytes, pos: int, _xid: int) -> tuple[Message, int]:
    xid, subxid = _STREAM_ABORT(buf, pos)
    pos += 8
    if pos == len(buf):  # place and time are sent only with protocol 4 and streaming 'parallel'; the length tells
        return StreamAbort(xid, subxid, None, None), pos
    abort_lsn, ts = _STREAM_ABORT_PLACE(buf, pos)
    return StreamAbort(xid, subxid, abort_lsn, ts + POSTGRES_EPOCH_US), pos + 16


def _begin_prepare(buf: bytes, pos: int, _xid: int) -> tuple[Message, int]:
    prepare_lsn, end_lsn, ts, xid = _BEGIN_PREPARE(buf, pos)
    gid, pos = _string(buf, pos + 28)
    return BeginPrepare(prepare_lsn, end_lsn, ts + POSTGRES_EPOCH_US, xid, gid), pos


def _prepared(
    make: type[Prepare] | type[CommitPrepared] | type[StreamPrepare],
) -> Callable[[bytes, int, int], tuple[Message, int]]:
    """A reader for the three messages that have the same fields."""

    def read(buf: bytes, pos: int, _xid: int) -> tuple[Message, int]:
        flags, lsn, end_lsn, ts, xid = _PREPARED(buf, pos)
        _known(flags, 0, buf, pos)
        gid, pos = _string(buf, pos + 29)
        return make(flags, lsn, end_lsn, ts + POSTGRES_EPOCH_US, xid, gid), pos

    return read


def _rollback_prepared(buf: bytes, pos: int, _xid: int) -> tuple[Message, int]:
    flags, prepare_end_lsn, end_lsn, prepare_ts, ts, xid = _ROLLED_BACK(buf, pos)
    _known(flags, 0, buf, pos)
    gid, pos = _string(buf, pos + 37)
    prepare_us, rollback_us = prepare_ts + POSTGRES_EPOCH_US, ts + POSTGRES_EPOCH_US
    return RollbackPrepared(flags, prepare_end_lsn, end_lsn, prepare_us, rollback_us, xid, gid), pos


_WITH_XID: Final = frozenset(b"RYIUDTM")
"""Kinds that carry a transaction's id after the kind byte inside of a streamed block."""

_READERS: Final[dict[int, Callable[[bytes, int, int], tuple[Message, int]]]] = {
    ord("B"): _begin,
    ord("C"): _commit,
    ord("O"): _origin,
    ord("R"): _relation,
    ord("Y"): _type,
    ord("U"): _update,
    ord("D"): _delete,
    ord("T"): _truncate,
    ord("M"): _logical_message,
    ord("S"): _stream_start,
    ord("E"): _stream_stop,
    ord("c"): _stream_commit,
    ord("A"): _stream_abort,
    ord("b"): _begin_prepare,
    ord("P"): _prepared(Prepare),
    ord("K"): _prepared(CommitPrepared),
    ord("r"): _rollback_prepared,
    ord("p"): _prepared(StreamPrepare),
}
"""One reader a kind, but for Insert, which `decode` reads itself; each returns the message and the place after it."""
