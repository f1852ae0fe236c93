"""One snapshot of a source at an exact LSN, shared by several sessions, with its tables held still.

A logical slot exports it: a transaction is in the snapshot if and only if its commit_lsn < `consistent_point`.
Source: PostgreSQL documentation, CREATE_REPLICATION_SLOT; that equality is outside was forced on a real server.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

import psycopg
from psycopg import sql
from pydantic import SecretStr

from stretto_connectors.postgres.connection import connect
from stretto_connectors.postgres.replication import ReplicationConnection
from stretto_schemas.errors import CheckFailed
from stretto_schemas.lsn import parse_lsn

Connection = psycopg.Connection[tuple[Any, ...]]

LOCK_TIMEOUT_MS: Final = 2_000
"""How long a session waits for its locks. While it waits behind an ALTER TABLE, others wait behind that one anyway."""

NOTE_EVERY_S: Final = 5.0


class SnapshotDisturbed(CheckFailed):
    """A table was changed between the snapshot and its lock: take a new snapshot. Nothing was done yet."""


class SharedSnapshot:
    """Sessions on the source that all see the same moment; `close()` ends them.

    Each holds ACCESS SHARE on every table given to `hold()`, for two reasons. TRUNCATE and rewriting ALTER TABLE do not
    respect snapshots: later readers would see an empty table. And when one of them waits for a lock that one session
    holds, any other session that asks for the same lock queues behind it, for ever. So TRUNCATE and ALTER TABLE on the
    source wait until the rows are copied, as they do for pg_dump.
    """

    def __init__(self, consistent_point: int, sessions: Sequence[Connection], name: str, system_id: str) -> None:
        self.consistent_point = consistent_point
        self.sessions = sessions
        self.name = name
        """For other clients (pg_dump), while this object is open."""
        self.system_id = system_id

    @classmethod
    def take(
        cls,
        dsn: SecretStr,
        password: SecretStr | None,
        *,
        application: str,
        sessions: int,
        waiting: Callable[[int], None],
    ) -> SharedSnapshot:
        """Make a temporary slot, import its snapshot into `sessions` sessions and drop the slot again.

        Blocks until every transaction that was writing on the source has ended; `waiting` is then told, every few
        seconds, how many sessions are writing. No WAL is held back afterwards, only dead rows (as by any long query).
        """
        stream = ReplicationConnection(dsn, password, application=application)
        opened: list[Connection] = []
        try:
            while len(opened) < sessions:
                opened.append(_session(dsn, password, application))
            system_id = stream.identify().system_id
            slot, point, exported = _export(stream, opened[0], waiting)
            for session in opened:
                session.execute("begin isolation level repeatable read read only")
                session.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(exported)))
            stream.command(f'DROP_REPLICATION_SLOT "{slot}"')  # else it goes some time after the connection's end
            row = opened[0].execute("select pg_export_snapshot()").fetchone()
            assert row is not None
            return cls(point, opened, row[0], system_id)
        except BaseException:
            for session in opened:
                session.close()
            raise
        finally:
            stream.close()

    def hold(self, relids: Sequence[int]) -> None:
        """Lock tables in every session, and make sure that they still hold what the snapshot saw.

        Raises SnapshotDisturbed.
        """
        names = self.sessions[0].execute(_NAMES, (list(relids),)).fetchall()
        listed = sql.SQL(", ").join(sql.SQL("only {}").format(sql.Identifier(*name)) for name in names)
        for session in self.sessions:
            session.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT_MS)))
            try:
                if names:
                    session.execute(sql.SQL("lock table {} in access share mode").format(listed))
            except (psycopg.errors.LockNotAvailable, psycopg.errors.UndefinedTable) as error:
                said = error.diag.message_primary or "a lock was not granted"
                raise SnapshotDisturbed(f"a table of the source is being changed: {said}") from None
            session.execute("set local lock_timeout = 0")
        moved = self.sessions[0].execute(_MOVED, (list(relids),)).fetchall()
        if moved:
            raise SnapshotDisturbed(f"table {moved[0][0]} of the source was truncated or rewritten just now")

    def close(self) -> None:
        """End the sessions: locks and snapshot are given up."""
        for session in self.sessions:
            session.close()


_NAMES: Final = (
    "select n.nspname::text, c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace"
    " where c.oid = any(%s::oid[]) order by c.oid"
)

# pg_class is read as of the snapshot, pg_relation_filenode() looks at what is now.
_MOVED: Final = (
    "select c.oid::regclass::text from pg_class c where c.oid = any(%s::oid[])"
    " and c.relfilenode is distinct from pg_relation_filenode(c.oid) limit 1"
)


def _session(dsn: SecretStr, password: SecretStr | None, application: str) -> Connection:
    conn = connect(dsn, password, application=application)
    if conn.info.server_version >= 170000:
        conn.execute("set transaction_timeout = 0")
    return conn


def _export(
    stream: ReplicationConnection, sql_session: Connection, waiting: Callable[[int], None]
) -> tuple[str, int, str]:
    """Create the slot in a thread of its own, as it may have to wait for others' transactions.

    Returns its name, the consistent point and the snapshot's name.
    """
    options = "(SNAPSHOT 'export')" if stream.server_version() >= 150000 else "EXPORT_SNAPSHOT"
    slot = f"stretto_add_{secrets.token_hex(6)}"
    command = f'CREATE_REPLICATION_SLOT "{slot}" TEMPORARY LOGICAL pgoutput {options}'
    answer: list[list[str]] = []
    failure: list[BaseException] = []
    done = threading.Event()  # Python 3.11 takes a thread for ended when a signal interrupts join()

    def create() -> None:
        try:
            answer.append(stream.command(command))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits for it, which raises it
            failure.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=create, name="export-snapshot", daemon=True)
    try:
        thread.start()
        while not done.wait(NOTE_EVERY_S):
            row = sql_session.execute("select count(*) from pg_stat_activity where backend_xid is not null").fetchone()
            waiting(row[0] if row else 0)
    except BaseException:
        if thread.ident is not None:
            _cancel(sql_session, slot, done)  # Ctrl-C: the caller closes the connection that the thread still uses
        raise
    if failure:
        raise failure[0]
    _, point, name, _ = answer[0]
    return slot, parse_lsn(point), name


def _cancel(sql_session: Connection, slot: str, done: threading.Event) -> None:
    """Make the server end the command that another thread waits for; block until it has."""
    while not done.wait(0.1):
        try:
            sql_session.execute(
                "select pg_cancel_backend(active_pid) from pg_replication_slots where slot_name = %s", (slot,)
            )
        except psycopg.Error:
            done.wait()  # the server went away, and with it the other thread's session
