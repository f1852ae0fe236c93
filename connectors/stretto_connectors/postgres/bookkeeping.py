"""Schema `stretto` on a follower: its position, which changes in the same transaction as the rows."""

from __future__ import annotations

import datetime as dt
import time
import zlib

from psycopg import sql

from stretto_connectors.postgres.connection import Connection
from stretto_schemas.errors import Fenced, UsageError
from stretto_schemas.lsn import format_lsn
from stretto_schemas.names import origin_name
from stretto_schemas.position import Position, offsets_from_json, offsets_to_json

LOCK_PAUSE_S = 0.1
"""Between two tries: a server notices an ended session within milliseconds, or after a second."""

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

_POSITION = """
create schema if not exists stretto;
create table if not exists stretto.position (
    source text primary key,
    follower text not null,
    epoch bigint not null,
    end_lsn pg_lsn not null,
    commit_ts timestamptz not null,
    offsets jsonb not null,
    offsets_lsn pg_lsn not null,
    frontier_offset bigint not null,
    sequence bigint not null,
    term bigint not null default 0,
    transactions bigint not null default 0,
    rows bigint not null default 0,
    heartbeat_ts timestamptz not null,
    updated_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
comment on table stretto.position is
    'What this database has applied, one row a source; written by the follower process in the transaction of the rows';
"""

_CONTROL = """
create table if not exists stretto.control (
    source text primary key,
    paused boolean not null default false,
    reason text not null default '',
    since timestamptz,
    apply_delay interval,
    changed_at timestamptz not null default clock_timestamp()
);
comment on table stretto.control is
    'What is wanted of the follower process, one row a source; written by stretto follower pause, resume and delay';
"""


def ensure_schema(conn: Connection) -> None:
    """Make schema `stretto` with its tables where they are missing; an older version made fewer."""
    with conn.transaction():
        conn.execute("select pg_advisory_xact_lock(%s)", (lock_key("schema"),))
        for table, statements in (("stretto.position", _POSITION), ("stretto.control", _CONTROL)):
            if conn.execute("select to_regclass(%s)", (table,)).fetchone() == (None,):
                conn.execute(statements)


def lock_key(source: str) -> int:
    """The advisory lock of the one active applier of a source, as a signed 64-bit key."""
    return (0x53545254 << 32) | zlib.crc32(source.encode())


def try_lock(conn: Connection, source: str) -> bool:
    """Try to become the one active applier; held until the session ends."""
    row = conn.execute("select pg_try_advisory_lock(%s)", (lock_key(source),)).fetchone()
    return row == (True,)


def lock_within(conn: Connection, source: str, seconds: float) -> bool:
    """As `try_lock`, again and again for so long: a process that has just ended may hold it until the server notices."""
    deadline = time.monotonic() + seconds
    while not try_lock(conn, source):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOCK_PAUSE_S)
    return True


def read_position(conn: Connection, source: str) -> Position | None:
    """The position of a source, None when this database was never made a follower of it (or a copy is under way)."""
    if conn.execute("select to_regclass('stretto.position')").fetchone() == (None,):
        return None
    row = conn.execute(
        "select epoch, end_lsn - '0/0'::pg_lsn, (extract(epoch from commit_ts) * 1000000)::bigint,"
        " offsets_lsn - '0/0'::pg_lsn, frontier_offset, sequence, offsets, term, transactions, rows,"
        " (extract(epoch from heartbeat_ts) * 1000000)::bigint from stretto.position where source = %s",
        (source,),
    ).fetchone()
    if row is None:
        return None
    return Position(
        source=source,
        epoch=row[0],
        end_lsn=int(row[1]),
        commit_ts_us=row[2],
        offsets_lsn=int(row[3]),
        frontier_offset=row[4],
        sequence=row[5],
        offsets=offsets_from_json(row[6]),
        term=row[7],
        transactions=row[8],
        rows=row[9],
        heartbeat_us=row[10],
    )


def visible_since_us(conn: Connection, source: str) -> int:
    """When the position was last advanced, just before its commit, by the server's clock: microseconds since 1970."""
    row = conn.execute(
        "select (extract(epoch from updated_at) * 1000000)::bigint from stretto.position where source = %s", (source,)
    ).fetchone()
    assert row is not None, "read_position found the row under the same lock"
    return int(row[0])


def write_new_position(conn: Connection, position: Position, follower: str) -> None:
    """Insert the position of a fresh copy, in the caller's transaction. Raises UsageError when there is one already."""
    done = conn.execute(
        "insert into stretto.position (source, follower, epoch, end_lsn, commit_ts, offsets, offsets_lsn,"
        " frontier_offset, sequence, term, transactions, rows, heartbeat_ts)"
        " values (%s, %s, %s, %s::pg_lsn, %s, %s::text::jsonb, %s::pg_lsn, %s, %s, %s, %s, %s, %s)"
        " on conflict do nothing",
        (
            position.source,
            follower,
            position.epoch,
            format_lsn(position.end_lsn),
            timestamp(position.commit_ts_us),
            offsets_to_json(position.offsets),
            format_lsn(position.offsets_lsn),
            position.frontier_offset,
            position.sequence,
            position.term,
            position.transactions,
            position.rows,
            timestamp(position.heartbeat_us),
        ),
    ).rowcount
    if done != 1:
        raise UsageError(
            f"this database already follows source {position.source!r}",
            fix="run `stretto run follower`; to copy everything again, drop its row of stretto.position first",
        )


def advance_position(conn: Connection, position: Position) -> None:
    """Update the position in the caller's transaction, only where `term` is still ours. Raises Fenced otherwise."""
    done = conn.execute(
        _ADVANCE,
        (
            position.epoch,
            format_lsn(position.end_lsn),
            timestamp(position.commit_ts_us),
            offsets_to_json(position.offsets),
            format_lsn(position.offsets_lsn),
            position.frontier_offset,
            position.sequence,
            position.transactions,
            position.rows,
            timestamp(position.heartbeat_us),
            position.source,
            position.term,
        ),
        prepare=True,
    ).rowcount
    if done != 1:
        raise Fenced(
            f"another follower process took over source {position.source!r}",
            expected=f"term {position.term} in stretto.position",
            fix="let the other one run, or stop it before starting this one",
        )


_ADVANCE = (
    "update stretto.position set epoch = %s, end_lsn = %s::pg_lsn, commit_ts = %s, offsets = %s::text::jsonb,"
    " offsets_lsn = %s::pg_lsn, frontier_offset = %s, sequence = %s, transactions = %s, rows = %s, heartbeat_ts = %s,"
    " updated_at = clock_timestamp() where source = %s and term = %s"
)


def raise_term(conn: Connection, source: str) -> int:
    """Fence every earlier applier: raise the term and return it."""
    row = conn.execute(
        "update stretto.position set term = term + 1 where source = %s returning term", (source,)
    ).fetchone()
    assert row is not None, "read_position found the row under the same lock"
    return int(row[0])


def setup_origin(conn: Connection, source: str) -> None:
    """Make the session write under the source's replication origin, so that nobody takes its writes for local ones.

    The origin is created where missing. One session at a time can hold it.
    """
    name = origin_name(source)
    conn.execute(
        sql.SQL(
            "select pg_replication_origin_create({0}) where not exists"
            " (select from pg_replication_origin where roname = {0})"
        ).format(sql.Literal(name))
    )
    conn.execute("select pg_replication_origin_session_setup(%s)", (name,))


def mark_transaction(conn: Connection, end_lsn: int, commit_ts_us: int) -> None:
    """Give the open transaction its origin LSN and commit time; without it all later commit timestamps stand still."""
    conn.execute(
        "select pg_replication_origin_xact_setup(%s::pg_lsn, %s)",
        (format_lsn(end_lsn), timestamp(commit_ts_us)),
        prepare=True,
    )


def timestamp(micros: int) -> dt.datetime:
    """Microseconds since 1970 as a datetime, exactly."""
    return EPOCH + dt.timedelta(microseconds=micros)
