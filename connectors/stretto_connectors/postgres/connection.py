"""Sessions on PostgreSQL whose printed values do not depend on database or role settings."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, LiteralString

import psycopg
from psycopg import conninfo, sql
from pydantic import SecretStr

from stretto_schemas.errors import Halted, SettingsError, StrettoError, Unreachable

log = logging.getLogger(__name__)

Connection = psycopg.Connection[tuple[Any, ...]]

SESSION = {
    "datestyle": "ISO",
    "intervalstyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "timezone": "UTC",
    "lc_monetary": "C",
    "xmloption": "content",
    "search_path": "pg_catalog",
    "row_security": "off",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "lock_timeout": "0",
    "array_nulls": "on",
    "default_transaction_read_only": "off",
}
"""Sent as connection options, which win over what the database and the role set. With `row_security=off` a policy that
would hide rows is an error instead of a silently partial copy."""

NEWER: Final[tuple[tuple[int, LiteralString], ...]] = ((170000, "set transaction_timeout = 0"),)
"""The same for settings that older servers do not know: sent once the session is there."""

KEEPALIVE = {"keepalives": "1", "keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3"}
TCP_USER_TIMEOUT_MS = 30_000
"""Keepalives find out about a peer that vanished only where nothing waits to be acknowledged; this one does where it does."""


def connection_string(dsn: SecretStr, password: SecretStr | None, *, application: str, **more: str) -> str:
    """Complete a DSN with the session's options and libpq's keywords `more`.

    Raises SettingsError when it is empty or no DSN.
    """
    text = dsn.get_secret_value()
    if not text:
        raise SettingsError(
            f"{application} has no database to connect to",
            expected="a libpq connection string or URI",
            fix="set `dsn` in the settings' section [source] or [follower], or STRETTO_SOURCE__DSN / STRETTO_FOLLOWER__DSN",
        )
    try:
        given = conninfo.conninfo_to_dict(text)
    except psycopg.ProgrammingError:
        raise SettingsError(
            "the DSN cannot be read",
            expected="host=... port=... user=... dbname=..., or postgresql://...",
            fix="correct `dsn`",
        ) from None
    options = " ".join(f"-c {key}={value}" for key, value in SESSION.items())
    merged: dict[str, Any] = {
        "connect_timeout": "10",
        **KEEPALIVE,
        "tcp_user_timeout": str(TCP_USER_TIMEOUT_MS),
        **given,
    }
    merged |= {"application_name": application, "options": f"{given.get('options') or ''} {options}".strip(), **more}
    if password is not None:
        merged["password"] = password.get_secret_value()
    return conninfo.make_conninfo("", **merged)


def where(dsn: SecretStr) -> str:
    """`host:port/dbname` of a DSN for messages; never the password."""
    try:
        given = conninfo.conninfo_to_dict(dsn.get_secret_value())
    except psycopg.ProgrammingError:
        return "an unreadable DSN"
    return f"{given.get('host', 'localhost')}:{given.get('port', 5432)}/{given.get('dbname', given.get('user', ''))}"


def connect(
    dsn: SecretStr,
    password: SecretStr | None = None,
    *,
    application: str,
    autocommit: bool = True,
    parameters: Mapping[str, str] | None = None,
    **more: str,
) -> Connection:
    """Open a session; `more` are libpq's keywords.

    `parameters` are set by SET once the session is there: some services and poolers refuse in a connection's options what
    they allow in a statement. Raises Unreachable (a server that may come back) or SettingsError (a login that never works,
    a parameter that the role may not set).
    """
    text, place = connection_string(dsn, password, application=application, **more), where(dsn)
    try:
        conn = psycopg.connect(text, autocommit=True)
        try:
            for statement in newer(conn.info.server_version):
                conn.execute(statement)
            for name, value in (parameters or {}).items():
                _set(conn, name, value, place)
            conn.autocommit = autocommit
        except BaseException:
            conn.close()
            raise
        return conn
    except psycopg.OperationalError as error:
        raise explain_login(error, place) from None


def _set(conn: Connection, name: str, value: str, place: str) -> None:
    try:
        conn.execute(sql.SQL("set {} = {}").format(sql.Identifier(name), sql.Literal(value)))
    except psycopg.errors.InsufficientPrivilege:
        role = conn.info.user
        raise SettingsError(
            f"role {role} at {place} may not set {name}",
            fix=f"grant it (PostgreSQL 15 and newer; before, only a superuser may): grant set on parameter {name} to {role}",
        ) from None


def newer(server_version: int) -> list[LiteralString]:
    """What `NEWER` has for a server of this version."""
    return [statement for since, statement in NEWER if server_version >= since]


def explain_login(error: psycopg.Error, place: str) -> StrettoError:
    """What it means that a session did not come about: SettingsError when it never will, else as `explain`.

    libpq has no code for these, only words, so the needles are whole phrases of it and of the server.
    """
    text = str(error).strip()
    for needle, fix in _REFUSALS:
        if needle in text:
            said = [line for line in text.splitlines() if needle in line][-1]
            return SettingsError(f"PostgreSQL at {place} refused the login: {said}", fix=fix)
    return explain(error, place)


def explain(error: psycopg.Error, place: str) -> StrettoError:
    """What it means that a session that was there failed: Unreachable, for it may heal by waiting."""
    line = _line(error)
    if error.sqlstate is not None and error.sqlstate[:2] == "53":
        return Unreachable(
            f"PostgreSQL at {place} is short of something: {line} (SQLSTATE {error.sqlstate})",
            fix="free it on the server (disk space, connections, memory); this is tried again",
        )
    if error.sqlstate == "25006":
        return Unreachable(
            f"PostgreSQL at {place} is read-only: {line}",
            fix="name the primary in `dsn`, or promote this standby; this is tried again",
        )
    if error.sqlstate is not None and error.sqlstate[:2] == "54":
        return Halted(
            f"PostgreSQL at {place} refuses what is beyond its limits: {line} (SQLSTATE {error.sqlstate})",
            fix="see the server's log for the statement; trying again does not help",
        )
    return no_answer(place, line)


def no_answer(place: str, why: str) -> Unreachable:
    """The error for a server that is not there, or does not say anything."""
    return Unreachable(
        f"PostgreSQL at {place} does not answer: {why}",
        fix="start it, or correct host and port in `dsn`; this is tried again",
    )


def _line(error: psycopg.Error) -> str:
    said = [
        line for line in str(error).strip().splitlines() if not line.startswith("\t")
    ]  # libpq's questions are indented
    return error.diag.message_primary or (said[-1] if said else type(error).__name__)


REPLICATION_FIX: Final = "grant it: alter role ... replication; on Amazon RDS and Aurora: grant rds_replication to ..."
"""Of a refusal for which nobody knows yet what server it is."""

_REFUSALS = (
    ("password authentication failed", "correct the user or password in `dsn`, or STRETTO_..._PASSWORD_FILE"),
    ("no password supplied", "give a password: `password`, or STRETTO_..._PASSWORD_FILE"),
    ("no pg_hba.conf entry", "let this host, user and database in by pg_hba.conf on the server"),
    ("pg_hba.conf rejects", "let this host, user and database in by pg_hba.conf on the server"),
    (
        "permission denied to set parameter",
        "take it out of `options` in `dsn`, or grant set on parameter ... to the role",
    ),
    ("must be superuser or replication role", REPLICATION_FIX),
    ("permission denied to start WAL sender", REPLICATION_FIX),
    ('" does not exist', "correct the database or role in `dsn`, or create it"),
    ("server does not support SSL", "set sslmode in `dsn` to what the server offers"),
    ("certificate verify failed", "set sslrootcert in `dsn` to the authority of the server's certificate"),
    ("root certificate file", "set sslrootcert in `dsn` to a file with the authority of the server's certificate"),
    ("does not match host name", "name the host in `dsn` as the server's certificate does"),
)
