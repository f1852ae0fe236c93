"""Is a database fit to become a follower of a source, and what of the source's tables does it have already?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg import sql

from stretto_connectors.postgres.bookkeeping import lock_within, read_position
from stretto_connectors.postgres.catalog import read_key
from stretto_connectors.postgres.made import Copy, find_copy
from stretto_connectors.postgres.published import Stored
from stretto_connectors.postgres.targets import find_target
from stretto_schemas.errors import SettingsError, Unreachable, UsageError

Connection = psycopg.Connection[tuple[Any, ...]]

LOCK_WAIT_S: Final = 10.0
"""A killed process's session may hold the lock until the server notices."""

LISTED: Final = 5
"""More names than these are only counted in a message."""


def become_the_only_one(conn: Connection, source: str) -> None:
    """Take the lock of the one active applier, or raise Unreachable; then end what a killed copy left running here."""
    if not lock_within(conn, source, LOCK_WAIT_S):
        raise Unreachable(
            f"another process is at work on this database for source {source!r}",
            expected="no follower process and no other `stretto follower add` for it",
            fix="stop the other one, then try again",
        )
    conn.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s"
        " and datname = current_database() and usename = current_user and pid <> pg_backend_pid()",
        (session_name(source),),
    )
    deadline = time.monotonic() + LOCK_WAIT_S
    while conn.execute(
        "select from pg_stat_activity where application_name = %s and datname = current_database() and pid <> pg_backend_pid()",
        (session_name(source),),
    ).fetchone():
        if time.monotonic() > deadline:
            raise Unreachable(
                "sessions that a killed `stretto follower add` left on the follower do not end", fix="end them"
            )
        time.sleep(0.05)


def first_session_name(source: str) -> str:
    """`application_name` of the sessions of a copy of this source that are not ended by the next one.

    On the follower it is the one that outlives the others. Of several sources that are copied into one database, each has
    its own.
    """
    return f"stretto follower add {source}"


def session_name(source: str) -> str:
    """`application_name` of every other session that a copy of this source opens on the follower."""
    return f"stretto add {source}"


def earlier_copy(conn: Connection, source: str, replace: bool) -> Copy | None:
    """The copy that must be cleared first: one that was interrupted, or with `replace` one that is done.

    Raises UsageError when the database follows the source already.
    """
    copy = find_copy(conn, source)
    position = read_position(conn, source)
    if copy is not None and (copy.state == "copying" or replace):
        return copy
    if copy is None and position is None:
        return None
    if copy is None:
        raise UsageError(
            f"this database follows source {source!r}, but not by a copy that is known here",
            fix="run `stretto run follower`; to copy everything again, use an empty database",
        )
    raise UsageError(
        f"this database was already made a follower of source {source!r}",
        fix="run `stretto run follower`; with --replace everything the copy made is dropped and copied again",
    )


def check_readable(tables: Sequence[Stored], role: str) -> None:
    """Raise SettingsError when the source would hide tables or rows from this role."""
    hidden = [table.qualified for table in tables if table.policies_apply]
    if hidden:
        raise SettingsError(
            f"row-level security would hide rows of {_list(hidden)} from role {role}",
            expected="a role that sees every row",
            fix=f"grant it on the source: alter role {role} bypassrls",
        )
    unreadable = [table.qualified for table in tables if not table.readable]
    if unreadable:
        raise SettingsError(
            f"role {role} may not read {_list(unreadable)} on the source",
            fix=f"grant it: grant usage on schema ..., select on all tables in schema ... to {role}",
        )


def tables_already_there(conn: Connection, tables: Sequence[Stored]) -> bool:
    """True when the follower has every published table, empty and with its columns; False when it has none of them.

    Raises UsageError for anything between: it is somebody's, and not ours to touch.
    """
    wanted = list(dict.fromkeys(table.published for table in tables))
    there = {name: _columns_of(conn, name) for name in wanted}
    found = [name for name in wanted if there[name] is not None]
    if not found:
        return False
    full = [_dotted(name) for name in found if _has_rows(conn, name)]
    if full:
        raise UsageError(
            f"the follower has rows already in {_list(full)}",
            expected="a database without the source's tables, or with all of them empty",
            fix="use another database, or empty these tables by yourself",
        )
    missing = [_dotted(name) for name in wanted if there[name] is None]
    if missing:
        raise UsageError(
            f"the follower has {_list([_dotted(name) for name in found])}, but not {_list(missing)}",
            expected="a database without the source's tables, or with all of them empty",
            fix="use an empty database, or make the missing tables by yourself",
        )
    lacking = [
        f"{_dotted(table.published)} lacks {_list(less)}"
        for table in tables
        if (less := [column for column in table.columns if column not in (there[table.published] or ())])
    ]
    if lacking:
        raise UsageError(
            "the follower's tables have not all columns: " + "; ".join(lacking[:LISTED]),
            fix="add the columns on the follower",
        )
    return True


def check_keys(source: Connection, follower: Connection, tables: Sequence[Stored]) -> None:
    """Raise UsageError when a table that was there lacks the key by which the log names its rows."""
    lacking = []
    for schema, name in dict.fromkeys(table.published for table in tables):
        key, target = _key_at_source(source, schema, name), find_target(follower, schema, name)
        if key and target is not None and not target.has_key(key):
            lacking.append(f"{schema}.{name} has none on {', '.join(key)}")
    if lacking:
        raise UsageError(
            "the follower's tables lack keys: " + "; ".join(lacking[:LISTED]),
            expected="the primary key or unique index of the source, not deferrable",
            fix="add the keys on the follower, or use an empty database",
        )


def _key_at_source(source: Connection, schema: str, name: str) -> tuple[str, ...]:
    row = source.execute(
        "select c.oid::bigint, c.relreplident::text from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = %s and c.relname = %s",
        (schema, name),
    ).fetchone()
    return read_key(source, *row) if row is not None else ()


def check_extensions_and_roles(source: Connection, follower: Connection) -> None:
    """Raise UsageError when the schema needs extensions or roles that the follower does not have."""
    used = [row[0] for row in source.execute("select extname::text from pg_extension order by 1").fetchall()]
    have = {row[0] for row in follower.execute("select name::text from pg_available_extensions").fetchall()}
    missing = [name for name in used if name not in have]
    if missing:
        raise UsageError(
            f"the follower's server does not have the extensions {_list(missing)}",
            expected="every extension that the source uses",
            fix="install their packages on the follower's machine",
        )
    named = [row[0] for row in source.execute(_POLICY_ROLES).fetchall()]
    roles = {row[0] for row in follower.execute("select rolname::text from pg_roles").fetchall()}
    absent = [name for name in named if name not in roles]
    if absent:
        raise UsageError(
            f"policies of the source name the roles {_list(absent)}, which the follower does not have",
            fix="create them on the follower: create role ...",
        )


_POLICY_ROLES: Final = (
    "select distinct r.rolname::text from pg_policy p cross join lateral unnest(p.polroles) role(oid)"
    " join pg_roles r on r.oid = role.oid order by 1"
)


def check_encoding(source: Connection, follower: Connection) -> None:
    """Raise UsageError when the follower cannot hold every character of the source."""
    encodings = [(conn.execute("show server_encoding").fetchone() or ("",))[0] for conn in (source, follower)]
    if encodings[0] != encodings[1] and encodings[1] != "UTF8":
        raise UsageError(
            f"the follower's database has encoding {encodings[1]}, the source's {encodings[0]}",
            expected=f"{encodings[0]} or UTF8",
            fix="create the follower's database with another encoding: create database ... encoding 'UTF8' template template0",
        )


def check_not_itself(source: Connection, follower: Connection) -> None:
    """Raise SettingsError when follower and source are one database."""
    query = "select system_identifier, (select oid from pg_database where datname = current_database()) from pg_control_system()"
    if source.execute(query).fetchone() == follower.execute(query).fetchone():
        raise SettingsError(
            f"follower and source are the same database, {follower.info.dbname}",
            fix="correct `dsn` of section [follower]",
        )


def _columns_of(conn: Connection, name: tuple[str, str]) -> set[str] | None:
    row = conn.execute(
        "select array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum > 0"
        " and not a.attisdropped and a.attgenerated = '') from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = %s and c.relname = %s and c.relkind in ('r', 'p', 'v', 'm', 'f')",
        name,
    ).fetchone()
    return None if row is None else set(row[0])


def _has_rows(conn: Connection, name: tuple[str, str]) -> bool:
    query = sql.SQL("select from {} limit 1").format(sql.Identifier(*name))
    return conn.execute(query).fetchone() is not None


def _dotted(name: tuple[str, str]) -> str:
    return ".".join(name)


def _list(names: Sequence[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")
