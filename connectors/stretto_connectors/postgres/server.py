"""What a session can tell about its server and its own role, and a server's refusal of a statement in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg

from stretto_connectors.postgres.connection import REPLICATION_FIX, explain
from stretto_schemas.errors import CheckFailed, SettingsError, StrettoError

Connection = psycopg.Connection[tuple[Any, ...]]

OLDEST = 140000
"""PostgreSQL 14, as libpq counts: the oldest server that this version is tried on."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server and what the session's role may do on it."""

    version: int
    """As libpq's PQserverVersion: 180004 for 18.4."""
    version_text: str
    wal_level: str
    in_recovery: bool
    database: str
    role: str
    superuser: bool
    replication: bool
    """The role is a superuser or has the attribute: PostgreSQL's own rule."""
    rds_replication: bool | None
    """The role is a member of `rds_replication`; None where no role has that name.

    Amazon RDS and Aurora give the right to replicate by this membership, and let nobody set the attribute.
    """
    bypass_rls: bool
    may_create: bool
    """The role may make a publication (or a schema) in this database."""


def read_server(conn: Connection) -> Server:
    """Ask the session's server."""
    # 'member' also where the membership is not inherited: what it is worth is the server's to say.
    row = conn.execute(
        "select current_setting('server_version'), current_setting('wal_level'), pg_is_in_recovery(), current_database(),"
        " current_user, r.rolsuper, r.rolreplication, r.rolbypassrls,"
        " (select pg_has_role(g.oid, 'member') from pg_roles g where g.rolname = 'rds_replication'),"
        " has_database_privilege(current_database(), 'create') from pg_roles r where r.rolname = current_user"
    ).fetchone()
    assert row is not None, "the session's role exists while the session does"
    version_text, wal_level, in_recovery, database, role, superuser, replication, bypass_rls, member, may_create = row
    return Server(
        version=conn.info.server_version,
        version_text=version_text,
        wal_level=wal_level,
        in_recovery=in_recovery,
        database=database,
        role=role,
        superuser=superuser,
        replication=superuser or replication,
        rds_replication=member,
        bypass_rls=superuser or bypass_rls,
        may_create=may_create,
    )


@contextmanager
def refusals(place: str, doing: str) -> Iterator[None]:
    """Turn what PostgreSQL raises inside into a StrettoError that says what was being done at `place`."""
    try:
        yield
    except psycopg.Error as error:
        raise refusal(error, place, doing) from None


def refusal(error: psycopg.Error, place: str, doing: str) -> StrettoError:
    """A refused statement in words; the message's DETAIL, which may quote values, is left out."""
    said = error.diag.message_primary
    if said is None:
        return explain(error, place)
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        grant = "grant the right on that database, or name another user in `dsn`; `stretto doctor` lists what is needed"
        return SettingsError(
            f"PostgreSQL at {place} does not allow {doing}: {said}",
            fix=REPLICATION_FIX if "replication slots" in said else grant,
        )
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return CheckFailed(
            f"a lock was not to be had at {place} while {doing}: {said}",
            fix="run it again when the long transaction that holds the table has ended (see pg_stat_activity)",
        )
    if isinstance(error, psycopg.OperationalError):
        return explain(error, place)
    return CheckFailed(f"PostgreSQL at {place} refused {doing}: {said}")
