"""What pgoutput says, one class a message.

LSNs are integers (0 is none). Times are microseconds since 1970-01-01 UTC. `xid` of a row, relation, type, truncate or
logical message is that of the (sub)transaction inside of a streamed block and 0 outside, where Begin has it.

msgspec structs without tracking by the garbage collector: they hold no cycles, and cost 0.06 microseconds to make
where a class with __slots__ costs 0.14.
Source: PostgreSQL documentation, "Logical Replication Message Formats".
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from stretto_connectors.postgres.pgoutput.row import Value


class Begin(msgspec.Struct, gc=False):
    """A transaction begins. `final_lsn` is its commit's LSN."""

    final_lsn: int
    commit_ts_us: int
    xid: int


class Commit(msgspec.Struct, gc=False):
    """A transaction ends. `flags` is 0."""

    flags: int
    commit_lsn: int
    end_lsn: int
    commit_ts_us: int


class Origin(msgspec.Struct, gc=False):
    """The transaction came from elsewhere. `commit_lsn` is its commit's LSN there."""

    commit_lsn: int
    name: str


class RelationColumn(msgspec.Struct, gc=False):
    """A column of a relation. `is_key`: part of the replica identity. `type_modifier` is -1 for none."""

    name: str
    type_oid: int
    type_modifier: int
    is_key: bool


class Relation(msgspec.Struct, gc=False):
    """A relation's shape, sent before its first row and again after it may have changed."""

    relid: int
    schema: str
    name: str
    replica_identity: Literal["d", "n", "f", "i"]
    columns: tuple[RelationColumn, ...]
    xid: int = 0


class Type(msgspec.Struct, gc=False):
    """A type that is not built in; for a domain, `schema` and `name` are those of its base type."""

    oid: int
    schema: str
    name: str
    xid: int = 0


class Insert(msgspec.Struct, gc=False):
    """A new row."""

    relid: int
    new: list[Value]
    xid: int = 0


class Update(msgspec.Struct, gc=False):
    """A changed row. `old` is the old key ('K': it changed, other columns null), the whole old row ('O') or absent."""

    relid: int
    old_kind: Literal["K", "O"] | None
    old: list[Value] | None
    new: list[Value]
    xid: int = 0


class Delete(msgspec.Struct, gc=False):
    """A row that is gone: its key ('K', other columns null) or the whole row ('O')."""

    relid: int
    old_kind: Literal["K", "O"]
    old: list[Value]
    xid: int = 0


class Truncate(msgspec.Struct, gc=False):
    """All tables of one TRUNCATE."""

    relids: tuple[int, ...]
    cascade: bool
    restart_identity: bool
    xid: int = 0


class LogicalMessage(msgspec.Struct, gc=False):
    """What pg_logical_emit_message wrote. Not transactional: it stands by itself, whatever its transaction did."""

    transactional: bool
    lsn: int
    prefix: str
    content: bytes
    xid: int = 0


class StreamStart(msgspec.Struct, gc=False):
    """A block of a transaction still open. Until StreamStop, messages carry the xid: decode with `in_stream`."""

    xid: int
    first_segment: bool


class StreamStop(msgspec.Struct, gc=False):
    """The block ends."""


class StreamCommit(msgspec.Struct, gc=False):
    """A streamed transaction ends. `flags` is 0."""

    xid: int
    flags: int
    commit_lsn: int
    end_lsn: int
    commit_ts_us: int


class StreamAbort(msgspec.Struct, gc=False):
    """A streamed (sub)transaction was rolled back; `subxid` equals `xid` when it is the whole one.

    Where and when is known only with protocol 4 and streaming 'parallel', else None.
    """

    xid: int
    subxid: int
    abort_lsn: int | None
    abort_ts_us: int | None


class BeginPrepare(msgspec.Struct, gc=False):
    """A transaction begins that will be prepared."""

    prepare_lsn: int
    end_lsn: int
    prepare_ts_us: int
    xid: int
    gid: str


class Prepare(msgspec.Struct, gc=False):
    """PREPARE TRANSACTION: the changes since BeginPrepare are whole and undecided. `flags` is 0."""

    flags: int
    prepare_lsn: int
    end_lsn: int
    prepare_ts_us: int
    xid: int
    gid: str


class CommitPrepared(msgspec.Struct, gc=False):
    """COMMIT PREPARED. `flags` is 0."""

    flags: int
    commit_lsn: int
    end_lsn: int
    commit_ts_us: int
    xid: int
    gid: str


class RollbackPrepared(msgspec.Struct, gc=False):
    """ROLLBACK PREPARED. `flags` is 0; `end_lsn` is that of the rollback."""

    flags: int
    prepare_end_lsn: int
    end_lsn: int
    prepare_ts_us: int
    rollback_ts_us: int
    xid: int
    gid: str


class StreamPrepare(msgspec.Struct, gc=False):
    """PREPARE TRANSACTION of a streamed transaction. `flags` is 0."""

    flags: int
    prepare_lsn: int
    end_lsn: int
    prepare_ts_us: int
    xid: int
    gid: str


Message: TypeAlias = (
    Begin
    | Commit
    | Origin
    | Relation
    | Type
    | Insert
    | Update
    | Delete
    | Truncate
    | LogicalMessage
    | StreamStart
    | StreamStop
    | StreamCommit
    | StreamAbort
    | BeginPrepare
    | Prepare
    | CommitPrepared
    | RollbackPrepared
    | StreamPrepare
)
