"""Take a follower off its source: position and replication origin go, tables and rows stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import psycopg

from stretto_connectors.postgres.bookkeeping import lock_within
from stretto_connectors.postgres.connection import connect, where
from stretto_connectors.postgres.server import refusals
from stretto_schemas.errors import CheckFailed
from stretto_schemas.names import origin_name
from stretto_schemas.settings import Settings

Connection = psycopg.Connection[tuple[Any, ...]]

LOCK_WAIT_S: Final = 3.0
"""A follower process that has just ended may hold the lock until the server notices."""


def _has_position(conn: Connection, source: str) -> bool:
    if conn.execute("select to_regclass('stretto.position')").fetchone() == (None,):
        return False
    return conn.execute("select from stretto.position where source = %s", (source,)).rowcount == 1


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
        if _has_position(conn, source):
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
        with conn.transaction():
            position, origin = _has_position(conn, source), _has_origin(conn, source)
            if position:
                conn.execute("delete from stretto.position where source = %s", (source,))
            if origin:
                _drop_origin(conn, source)
        if position:
            say(f"removed: position of source {source}")
        if origin:
            say(f"dropped: replication origin {origin_name(source)}")


def _drop_origin(conn: Connection, source: str) -> None:
    try:
        conn.execute("select pg_replication_origin_drop(%s)", (origin_name(source),))
    except psycopg.errors.ObjectInUse:
        raise CheckFailed(
            f"replication origin {origin_name(source)} is in use",
            expected="no follower process running",
            fix="stop `stretto run follower` first, then run this again",
        ) from None
