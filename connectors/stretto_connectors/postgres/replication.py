"""The walsender's side of a connection: START_REPLICATION and its stream, on psycopg's libpq layer.

psycopg 3 has no replication cursor; `PGconn` with `replication=database` speaks the protocol with `get_copy_data`.
Source: PostgreSQL documentation, "Streaming Replication Protocol".
"""

from __future__ import annotations

import select
import sys
import time
from dataclasses import dataclass

import psycopg
from psycopg import pq
from pydantic import SecretStr

from stretto_connectors.postgres.connection import REPLICATION_FIX, connection_string, explain_login, newer, where
from stretto_schemas.errors import Gap, SettingsError, StrettoError, Unreachable
from stretto_schemas.lsn import format_lsn, parse_lsn
from stretto_schemas.repairs import START_OVER

LOGIN_S = 10.0
"""As `connect_timeout` of other sessions."""
SEND_S = 30.0
"""As long as TCP waits for an acknowledgement."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What IDENTIFY_SYSTEM says: who the server is and how far its WAL is flushed."""

    system_id: str
    timeline: int
    flushed_lsn: int
    database: str


class ReplicationConnection:
    """One walsender session. Not thread-safe: one thread reads, the same sends status updates."""

    def __init__(self, dsn: SecretStr, password: SecretStr | None, *, application: str) -> None:
        self._place = where(dsn)
        self.drained = True
        text = connection_string(dsn, password, application=application, replication="database")
        self._conn = pq.PGconn.connect_start(text.encode())
        self._log_in(time.monotonic() + LOGIN_S)
        for statement in newer(self.server_version()):
            result = self._conn.exec_(statement.encode())
            if result.status != pq.ExecStatus.COMMAND_OK:
                raise self._refused(result)

    def _log_in(self, deadline: float) -> None:
        """As PQconnectdb does; psycopg's holds the interpreter's lock while it waits for the server."""
        conn, wanted = self._conn, int(pq.PollingStatus.WRITING)
        while conn.status != pq.ConnStatus.BAD and wanted != pq.PollingStatus.OK:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Unreachable(
                    f"PostgreSQL at {self._place} did not let us in within {LOGIN_S:.0f} s", fix="this is tried again"
                )
            reading, writing = ([conn.socket], []) if wanted == pq.PollingStatus.READING else ([], [conn.socket])
            if any(select.select(reading, writing, (), left)):
                wanted = conn.connect_poll()
                if wanted == pq.PollingStatus.FAILED:
                    break
        if conn.status != pq.ConnStatus.OK:
            raise explain_login(psycopg.OperationalError(self._message()), self._place)

    def _message(self) -> str:
        return self._conn.error_message.decode(errors="replace").strip()

    def identify(self) -> Identity:
        """Ask IDENTIFY_SYSTEM."""
        row = self._row(b"IDENTIFY_SYSTEM", pq.ExecStatus.TUPLES_OK)
        return Identity(row[0], int(row[1]), parse_lsn(row[2]), row[3])

    def server_version(self) -> int:
        """As libpq's PQserverVersion: 180004 for 18.4."""
        return self._conn.server_version

    def command(self, text: str) -> list[str]:
        """Run one replication command and return the first row of its answer; empty where it answers with none."""
        return self._row(text.encode(), pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)

    def _row(self, command: bytes, *good: pq.ExecStatus) -> list[str]:
        result = self._conn.exec_(command)
        if result.status not in good:
            raise self._refused(result)
        return [(result.get_value(0, i) or b"").decode() for i in range(result.nfields)]

    def start(self, slot: str, lsn: int, options: dict[str, str]) -> None:
        """START_REPLICATION from `lsn`. Raises what the server's refusal means."""
        listed = ", ".join(f"\"{k}\" '{v.replace(chr(39), chr(39) * 2)}'" for k, v in options.items())
        command = f'START_REPLICATION SLOT "{slot}" LOGICAL {format_lsn(lsn)} ({listed})'
        result = self._conn.exec_(command.encode())
        if result.status != pq.ExecStatus.COPY_BOTH:
            raise self._refused(result)
        self._conn.nonblocking = 1

    def _refused(self, result: pq.abc.PGresult) -> StrettoError:
        state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
        text = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or self._message().encode()).decode(
            errors="replace"
        )
        return refusal(state, text, self._place)

    def read(self, limit: int, limit_bytes: int = sys.maxsize) -> list[memoryview]:
        """Messages that are there, until there are `limit` or `limit_bytes` of them; none is waited for.

        `drained` says afterwards whether no more is there. Raises Unreachable when the stream ended.
        """
        messages: list[memoryview] = []
        append, get = messages.append, self._conn.get_copy_data
        self.drained = False
        while len(messages) < limit and limit_bytes > 0:
            size, message = get(1)
            if size > 0:
                append(message)
                limit_bytes -= size
            elif size == 0:
                self.drained = True
                break
            elif messages:
                self.drained = True
                break  # the end comes again at the next call, after these
            else:
                raise self._ended()
        return messages

    def _ended(self) -> StrettoError:
        result = self._conn.get_result()
        if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
            return self._refused(result)
        return Unreachable(f"PostgreSQL at {self._place} ended the replication stream", fix="this is tried again")

    def wait(self, timeout_s: float, *others: int) -> None:
        """Block until the server sent something, one of the file descriptors `others` is readable, or time is up."""
        conn = self._conn
        ready, _, _ = select.select([conn.socket, *others], (), (), timeout_s)
        if conn.socket in ready:
            self._consume()

    def _consume(self) -> None:
        try:
            self._conn.consume_input()
        except psycopg.OperationalError as error:
            raise Unreachable(
                f"PostgreSQL at {self._place} closed the replication stream: {str(error).strip()}",
                fix="this is tried again",
            ) from None

    def send(self, message: bytes) -> None:
        """Send a status update. Raises Unreachable when the server does not take it within `SEND_S`."""
        deadline = time.monotonic() + SEND_S
        try:
            self._conn.put_copy_data(message)
            while self._conn.flush():
                if time.monotonic() > deadline:
                    raise Unreachable(
                        f"PostgreSQL at {self._place} took no status update for {SEND_S:.0f} s",
                        fix="this is tried again",
                    )
                select.select([self._conn.socket], [self._conn.socket], (), 1.0)
                self._conn.consume_input()
        except psycopg.OperationalError as error:
            raise Unreachable(
                f"PostgreSQL at {self._place} took no status update: {str(error).strip()}", fix="this is tried again"
            ) from None

    def close(self) -> None:
        """Close the session; the slot stays."""
        self._conn.finish()


def refusal(state: str, text: str, place: str) -> StrettoError:
    """What a refused replication command means, by SQLSTATE."""
    said = f"PostgreSQL at {place} refused replication: {text}"
    if state == "42704":
        return Gap(
            said,
            expected="the slot and publication that `stretto init` made",
            fix=f"changes since it was dropped are lost to the log: {START_OVER}",
        )
    if state == "55006":
        return Unreachable(said, fix="stop the other process that reads this slot; this is tried again")
    if state == "55000":
        return Gap(
            said,
            fix=f"a slot that lost its WAL cannot go on: {START_OVER}",
        )
    if state in ("42501", "28000"):
        return SettingsError(said, fix=REPLICATION_FIX)
    return Unreachable(said, fix="see the server's log; this is tried again")
