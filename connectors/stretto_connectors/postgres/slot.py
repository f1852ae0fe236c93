"""The logical slot that keeps the source's WAL until the log has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from stretto_schemas.lsn import Lsn, parse_lsn

Connection = psycopg.Connection[tuple[Any, ...]]

FAILOVER_SINCE = 170000
"""PostgreSQL 17 can keep a slot on physical standbys too."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot as the server has it."""

    name: str
    plugin: str
    database: str
    active_pid: int | None
    wal_status: str
    """reserved, extended, unreserved or lost."""
    restart_lsn: Lsn
    confirmed_flush_lsn: Lsn
    retained_bytes: int
    """WAL that the server keeps for this slot."""
    failover: bool


def read_slot(conn: Connection, name: str) -> Slot | None:
    """The slot, or None when there is none of this name."""
    failover = "failover" if conn.info.server_version >= FAILOVER_SINCE else "false"
    row = conn.execute(
        sql.SQL(
            "select coalesce(plugin, ''), coalesce(database, ''), active_pid, coalesce(wal_status, ''),"
            " coalesce(restart_lsn, '0/0')::text, coalesce(confirmed_flush_lsn, '0/0')::text,"
            " coalesce(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end"
            " - restart_lsn, 0)::bigint, {} from pg_replication_slots where slot_name = %s"
        ).format(sql.SQL(failover)),
        (name,),
    ).fetchone()
    if row is None:
        return None
    plugin, database, pid, wal_status, restart, confirmed, retained, kept_on_standbys = row
    return Slot(
        name=name,
        plugin=plugin,
        database=database,
        active_pid=pid,
        wal_status=wal_status,
        restart_lsn=parse_lsn(restart),
        confirmed_flush_lsn=parse_lsn(confirmed),
        retained_bytes=retained,
        failover=bool(kept_on_standbys),
    )


def create_statement(name: str, *, failover: bool) -> sql.Composed:
    """Make a pgoutput slot; its row is the slot's consistent point. Waits for transactions that are open now."""
    more = ", failover => true" if failover else ""
    return sql.SQL("select lsn::text from pg_create_logical_replication_slot({}, 'pgoutput'{})").format(
        sql.Literal(name), sql.SQL(more)
    )


def drop_statement(name: str) -> sql.Composed:
    """Drop a slot; the server may then remove its WAL."""
    return sql.SQL("select pg_drop_replication_slot({})").format(sql.Literal(name))
