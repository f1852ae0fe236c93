"""The opposite of the decoder, for tests: pgoutput messages to bytes, by the protocol page."""

from __future__ import annotations

import struct
from typing import Any

from stretto_connectors.postgres import pgoutput as pg

EPOCH = 946_684_800_000_000
"""2000-01-01 00:00 UTC in microseconds since 1970."""


def encode_row(row: list[pg.Value]) -> bytes:
    cells = (b"n" if v is None else b"u" if v is pg.UNCHANGED else struct.pack(">cI", b"t", len(v)) + v for v in row)
    return struct.pack(">H", len(row)) + b"".join(cells)


def encode(message: pg.Message, in_stream: bool) -> bytes:
    def pack(kind: str, layout: str, *fields: Any) -> bytes:
        fields = tuple(f.encode() + b"\0" if isinstance(f, str) else f for f in fields)
        out = kind.encode()
        if in_stream and kind in "RYIUDTM":
            out += struct.pack(">I", getattr(message, "xid"))  # noqa: B009 a kind that has one, by the line before
        for code, field in zip(layout, fields, strict=True):
            out += field if code == "s" else struct.pack(f">{code}", field - EPOCH if code == "q" else field)
        return out

    def schema(name: str) -> str:
        return "" if name == "pg_catalog" else name

    match message:
        case pg.Relation(relid, namespace, name, identity, parts):
            wire = b"".join(
                struct.pack(">B", c.is_key) + c.name.encode() + b"\0" + struct.pack(">Ii", c.type_oid, c.type_modifier)
                for c in parts
            )
            return pack("R", "IsscHs", relid, schema(namespace), name, identity.encode(), len(parts), wire)
        case pg.Type(oid, namespace, name):
            return pack("Y", "Iss", oid, schema(namespace), name)
        case pg.Insert(relid, new):
            return pack("I", "Ics", relid, b"N", encode_row(new))
        case pg.Update(relid, old_kind, old, new):
            before = b"" if old is None else str(old_kind).encode() + encode_row(old)
            return pack("U", "Iscs", relid, before, b"N", encode_row(new))
        case pg.Delete(relid, old_kind, old):
            return pack("D", "Ics", relid, old_kind.encode(), encode_row(old))
        case pg.Truncate(relids, cascade, restart):
            return pack("T", "IB" + "I" * len(relids), len(relids), cascade | restart << 1, *relids)
        case pg.LogicalMessage(transactional, at, prefix, content):
            return pack("M", "BQsIs", transactional, at, prefix, len(content), content)
        case pg.Begin(final_lsn, ts, xid):
            return pack("B", "QqI", final_lsn, ts, xid)
        case pg.Commit(flags, commit_lsn, end_lsn, ts):
            return pack("C", "BQQq", flags, commit_lsn, end_lsn, ts)
        case pg.Origin(at, name):
            return pack("O", "Qs", at, name)
        case pg.StreamStart(xid, first):
            return pack("S", "IB", xid, first)
        case pg.StreamStop():
            return pack("E", "")
        case pg.StreamCommit(xid, flags, commit_lsn, end_lsn, ts):
            return pack("c", "IBQQq", xid, flags, commit_lsn, end_lsn, ts)
        case pg.StreamAbort(xid, subxid, None, None):
            return pack("A", "II", xid, subxid)
        case pg.StreamAbort(xid, subxid, at, ts):
            return pack("A", "IIQq", xid, subxid, at, ts)
        case pg.BeginPrepare(at, end_lsn, ts, xid, gid):
            return pack("b", "QQqIs", at, end_lsn, ts, xid, gid)
        case pg.RollbackPrepared(flags, at, end_lsn, prepare_ts, ts, xid, gid):
            return pack("r", "BQQqqIs", flags, at, end_lsn, prepare_ts, ts, xid, gid)
        case pg.Prepare() | pg.CommitPrepared() | pg.StreamPrepare():
            kind = {pg.Prepare: "P", pg.CommitPrepared: "K", pg.StreamPrepare: "p"}[type(message)]
            return pack(kind, "BQQqIs", *(getattr(message, name) for name in message.__struct_fields__))
