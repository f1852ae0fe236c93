"""What an operator wants of a follower, in the follower's own database: `stretto.control`, one row a source.

The process that applies reads it twice a second; commands write it. So it is kept over restarts and take-overs, goes with
the database in a dump, and needs nobody to be reachable but the database. No table or no row: nothing is wanted.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from psycopg import sql

from stretto_connectors.postgres.bookkeeping import ensure_schema
from stretto_connectors.postgres.connection import Connection


@dataclass(frozen=True, slots=True)
class Control:
    """What is wanted of a follower."""

    paused: bool = False
    reason: str = ""
    """Why it is paused, in the operator's words."""
    since: dt.datetime | None = None
    """Paused, or going on again, since then by the server's clock; None: it was never paused."""
    apply_delay_s: float | None = None
    """Seconds between a commit and its showing; None: the setting holds."""


NOTHING_WANTED = Control()


def read_control(conn: Connection, source: str) -> Control:
    """What is wanted now. An older database has no such table yet: nothing is."""
    if conn.execute("select to_regclass('stretto.control')", prepare=True).fetchone() == (None,):
        return NOTHING_WANTED
    row = conn.execute(
        "select paused, reason, since, extract(epoch from apply_delay)::float8 from stretto.control where source = %s",
        (source,),
        prepare=True,
    ).fetchone()
    return NOTHING_WANTED if row is None else Control(*row)


def ensure_control(conn: Connection) -> None:
    """Make the table where it is missing, and let the follower's process use it whoever made it."""
    ensure_schema(conn)
    [(owner, mine)] = conn.execute(
        "select r.rolname, r.rolname = current_user from pg_class c join pg_roles r on r.oid = c.relowner"
        " where c.oid = 'stretto.position'::regclass"
    ).fetchall()
    [(usable,)] = conn.execute(
        "select has_table_privilege(%s::name, 'stretto.control', 'select, insert, update, delete')", (owner,)
    ).fetchall()
    if not mine and not usable:
        conn.execute(
            sql.SQL("grant select, insert, update, delete on stretto.control to {}").format(sql.Identifier(owner))
        )


def write_pause(conn: Connection, source: str, reason: str | None) -> None:
    """Pause the follower. One that is paused stays so since when it was; `reason` None leaves the reason that it had."""
    conn.execute(
        "insert into stretto.control as c (source, paused, reason, since) values (%(source)s, true, %(text)s, clock_timestamp())"
        " on conflict (source) do update set paused = true, changed_at = clock_timestamp(),"
        " since = case when c.paused then c.since else excluded.since end,"
        " reason = case when c.paused and %(keep)s then c.reason else excluded.reason end",
        {"source": source, "text": reason or "", "keep": reason is None},
    )


def write_resume(conn: Connection, source: str) -> None:
    """Let the follower go on, if it is paused."""
    conn.execute(
        "update stretto.control set paused = false, reason = '', since = clock_timestamp(), changed_at = clock_timestamp()"
        " where source = %s and paused",
        (source,),
    )


def write_delay(conn: Connection, source: str, delay_s: float | None) -> None:
    """Set the delay; None: the setting holds."""
    conn.execute(
        "insert into stretto.control (source, apply_delay) values (%s, make_interval(secs => %s))"
        " on conflict (source) do update set apply_delay = excluded.apply_delay, changed_at = clock_timestamp()",
        (source, delay_s),
    )


def delete_control(conn: Connection, source: str) -> bool:
    """Forget what was wanted; False when nothing was."""
    if conn.execute("select to_regclass('stretto.control')").fetchone() == (None,):
        return False
    return conn.execute("delete from stretto.control where source = %s", (source,)).rowcount == 1
