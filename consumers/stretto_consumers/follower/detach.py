"""Take a follower off its source: position and replication origin go, tables and rows stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import psycopg

from stretto_connectors.postgres.bookkeeping import lock_within
from stretto_connectors.postgres.connection import connect, where
from stretto_connectors.postgres.control import delete_control
from stretto_connectors.postgres.server import refusals
from stretto_schemas.errors import CheckFailed
from stretto_schemas.names import origin_name
from stretto_schemas.settings import Settings

Connection = psycopg.Connection[tuple[Any, ...]]

LOCK_WAIT_S: Final = 3.0
"""A follower process that has just ended may hold the lock until the server notices."""


def _has_row(conn: Connection, table: str, source: str) -> bool:
    if conn.execute("select to_regclass(%s)", (table,)).fetchone() == (None,):
        return False
    return conn.execute(_ROW[table], (source,)).rowcount == 1


_ROW: Final = {
    "stretto.position": "select from stretto.position where source = %s",
    "stretto.copy": "select from stretto.copy where source = %s and state = 'copying'",
}


def _has_origin(conn: Connection, source: str) -> bool:
    return conn.execute("select from pg_replication_origin where roname = %s", (origin_name(source),)).rowcount == 1


def follower_remains(settings: Settings) -> list[str]:
    """What `detach` would take away, one line each."""
    follower, source = settings.follower, settings.source.name
    lines = []
    with (
        connect(follower.dsn, follower.password, application="stretto-destroy") as conn,
        refusals(where(follower.dsn), "reading the position"),
    ):
        if _has_row(conn, "stretto.position", source):
            lines.append(f"position of source {source} in the follower")
        if _has_origin(conn, source):
            lines.append(f"replication origin {origin_name(source)} in the follower")
    return lines


def detach(settings: Settings, say: Callable[[str], None]) -> None:
    """Remove the source's position and its replication origin.

    The list of what the copy made stays, so that `stretto follower add --replace` can take exactly that away. Both go or
    none does: raises CheckFailed, and changes nothing, while a follower process still applies.
    """
    follower, source = settings.follower, settings.source.name
    with (
        connect(follower.dsn, follower.password, application="stretto-destroy") as conn,
        refusals(where(follower.dsn), "removing the position"),
    ):
        if not lock_within(conn, source, LOCK_WAIT_S):
            raise CheckFailed(
                f"a follower process applies source {source!r} to this database",
                expected="no follower process running",
                fix="stop `stretto run follower` first, then run this again",
            )
        for line in take_off(conn, source):
            say(line)


def take_off(conn: Connection, source: str, *, interrupted_copy: bool = False) -> list[str]:
    """Remove position, replication origin and what was ordered by `stretto follower pause` and `delay`, all or nothing.

    `interrupted_copy`: and the notes of a copy that never came to its end. The caller has the applier's lock. Returns
    what was there, one line each.
    """
    said = []
    with conn.transaction():
        if _has_row(conn, "stretto.position", source):
            conn.execute("delete from stretto.position where source = %s", (source,))
            said.append(f"removed: position of source {source}")
        if interrupted_copy and _has_row(conn, "stretto.copy", source):
            conn.execute("delete from stretto.copy where source = %s", (source,))
            said.append(f"removed: notes of an interrupted copy of source {source}; the tables that it made stay")
        if delete_control(conn, source):
            said.append("removed: what `stretto follower pause` and `delay` had ordered")
        if _has_origin(conn, source):
            _drop_origin(conn, source)
            said.append(f"dropped: replication origin {origin_name(source)}")
    return said


def _drop_origin(conn: Connection, source: str) -> None:
    try:
        conn.execute("select pg_replication_origin_drop(%s)", (origin_name(source),))
    except psycopg.errors.ObjectInUse:
        raise CheckFailed(
            f"replication origin {origin_name(source)} is in use",
            expected="no follower process running",
            fix="stop `stretto run follower` first, then run this again",
        ) from None
