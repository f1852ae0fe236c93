"""pgoutput, PostgreSQL's own logical replication protocol, versions 1 to 4: bytes to messages. No I/O.

`decode` reads any message, `decode_tuple` only a row; `frame` and `status_update` are the stream around them.
"""

from __future__ import annotations

from stretto_connectors.postgres.pgoutput.decode import POSTGRES_EPOCH_US, decode
from stretto_connectors.postgres.pgoutput.framing import (
    PAYLOAD,
    Keepalive,
    XLogData,
    frame,
    keepalive,
    status_update,
    xlog_data,
)
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
from stretto_connectors.postgres.pgoutput.row import UNCHANGED, Unchanged, Value, decode_tuple

__all__ = [
    "PAYLOAD",
    "POSTGRES_EPOCH_US",
    "UNCHANGED",
    "Begin",
    "BeginPrepare",
    "Commit",
    "CommitPrepared",
    "Delete",
    "Insert",
    "Keepalive",
    "LogicalMessage",
    "Malformed",
    "Message",
    "Origin",
    "Prepare",
    "Relation",
    "RelationColumn",
    "RollbackPrepared",
    "StreamAbort",
    "StreamCommit",
    "StreamPrepare",
    "StreamStart",
    "StreamStop",
    "Truncate",
    "Type",
    "Unchanged",
    "Update",
    "Value",
    "XLogData",
    "decode",
    "decode_tuple",
    "frame",
    "keepalive",
    "status_update",
    "xlog_data",
]
