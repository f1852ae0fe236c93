"""Record what a real walsender sends, as the golden data of test_pgoutput_recorded: `python record_pgoutput.py DSN FOLDER`.

The server: PostgreSQL 17 or newer, wal_level=logical, max_prepared_transactions>0, logical_decoding_work_mem=64kB;
the DSN is a superuser's without password.
One fresh database a protocol version. A file holds one CopyData frame a line, in hexadecimal; keepalives are in it.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr

from stretto_connectors.postgres.pgoutput import PAYLOAD, status_update
from stretto_connectors.postgres.replication import ReplicationConnection

OPTIONS: dict[int, dict[str, str]] = {
    1: {},
    2: {"streaming": "on"},
    3: {"streaming": "on", "two_phase": "on"},
    4: {"streaming": "parallel", "two_phase": "on"},
}
"""What the recordings ask for, by protocol version."""

SHAPES = """
create table account (id bigint primary key, branch int, amount numeric, note text, at timestamptz);
alter table account alter column note set storage external;
create schema "Über";
create type "Über".mood as enum ('sad', 'glad');
create table "Über"."Schöne Tabelle" (id serial, how "Über".mood, amount numeric(10,2));
alter table "Über"."Schöne Tabelle" replica identity full;
create table ballast (filler text);
create publication p for table account, "Über"."Schöne Tabelle";
select pg_replication_origin_create('elsewhere');
"""

SMALL = """
begin;
insert into account values (1, null, 12.50, repeat('long ', 500), '2026-01-02 03:04:05.678901Z'), (2, 0, 'NaN', '', null);
update account set branch = 7 where id = 1;
update account set id = 3 where id = 2;
delete from account where id = 3;
commit;
insert into "Über"."Schöne Tabelle" (how, amount) values ('sad', -0.05), (null, null);
update "Über"."Schöne Tabelle" set how = 'glad' where id = 1;
delete from "Über"."Schöne Tabelle" where id = 2;
select pg_logical_emit_message(true, 'inside', 'α');
select pg_logical_emit_message(false, 'outside', '');
select pg_replication_origin_session_setup('elsewhere');
begin;
select pg_replication_origin_xact_setup('16/B374D848', '2026-01-02 03:04:05.678901+00');
update account set amount = amount + 1 where id = 1;
commit;
select pg_replication_origin_session_reset();
truncate account, "Über"."Schöne Tabelle" restart identity cascade;
truncate account;
begin;
insert into account values (10, 1, 1, 'prepared', null);
prepare transaction 'small';
commit prepared 'small';
begin;
insert into account values (11, 1, 1, 'prepared', null);
prepare transaction 'undone';
rollback prepared 'undone';
"""

# Rows of `ballast` are not published, but their decoding fills logical_decoding_work_mem, so that streaming begins.
# `await` waits until all WAL so far is decoded, so that what follows hits a transaction that was streamed.
LARGE = """
begin;
insert into account values (100, 1, 1, 'kept', null), (101, 1, 1, 'deleted', null);
insert into ballast select repeat('x', 1000) from generate_series(1, 100);
await
savepoint s;
select pg_logical_emit_message(true, 'streamed', 'β');
insert into account values (200, 2, 2, 'undone', null);
insert into ballast select repeat('x', 1000) from generate_series(1, 100);
await
rollback to savepoint s;
update account set branch = 3 where id = 100;
delete from account where id = 101;
truncate "Über"."Schöne Tabelle";
insert into "Über"."Schöne Tabelle" (how, amount) values ('glad', 1);
insert into ballast select repeat('x', 1000) from generate_series(1, 100);
await
commit;
begin;
insert into account values (300, 4, 4, 'undone', null);
insert into ballast select repeat('x', 1000) from generate_series(1, 100);
await
rollback;
begin;
insert into account values (400, 5, 5, 'prepared', null);
insert into ballast select repeat('x', 1000) from generate_series(1, 100);
await
prepare transaction 'large';
commit prepared 'large';
"""


class Recorder:
    """Collects the stream's frames and confirms nothing, so that the slot keeps all."""

    def __init__(self, dsn: str) -> None:
        self._stream = ReplicationConnection(SecretStr(dsn), None, application="recorder")
        self.frames: list[bytes] = []

    def start(self, version: int) -> None:
        options = {"proto_version": str(version), "publication_names": "p", "messages": "true", **OPTIONS[version]}
        two_phase = " (TWO_PHASE)" if "two_phase" in options else ""
        self._stream.command(f'CREATE_REPLICATION_SLOT "s" TEMPORARY LOGICAL pgoutput{two_phase}')
        # A slot made with TWO_PHASE has it on; asking again is refused for none and needed by none.
        self._stream.start("s", 0, options)
        self._stream.send(status_update(0, 0, 0, time.time_ns() // 1000, reply=True))

    def until(self, kind: bytes, having: bytes = b"") -> None:
        """Read until a message of this kind that has these bytes in it came. Raises TimeoutError after 20 s."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            frames = self._stream.read(1)
            if not frames:
                self._stream.wait(1.0)
                continue
            [frame] = frames
            self.frames.append(bytes(frame))
            if self.frames[-1][PAYLOAD : PAYLOAD + 1] == kind and having in self.frames[-1]:
                return
        raise TimeoutError(f"no message {kind!r} came in 20 s")

    def close(self) -> None:
        self._stream.close()


def record(dsn: str, version: int) -> list[bytes]:
    """All frames that the workload causes at this protocol version."""
    name = f"pgoutput_{version}"
    with psycopg.connect(dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        admin.execute("select pg_replication_origin_drop(roname) from pg_replication_origin where roname = 'elsewhere'")
    dsn = make_conninfo(dsn, dbname=name, options="-c timezone=UTC -c datestyle=ISO")
    recorder = Recorder(dsn)
    with (
        psycopg.connect(dsn, autocommit=True) as connection,
        psycopg.connect(dsn, autocommit=True) as marker,
    ):
        connection.execute(SHAPES)
        recorder.start(version)
        for statement in (SMALL + LARGE).splitlines():
            if statement == "await":
                marker.execute("select pg_logical_emit_message(false, 'mark', '', flush => true)")
                recorder.until(b"M", b"mark\0")
            elif statement:
                connection.execute(statement.encode())
        connection.execute("select pg_logical_emit_message(true, 'end', '')")
        recorder.until(b"M", b"end\0")
        recorder.until(b"C")
    recorder.close()
    return recorder.frames


if __name__ == "__main__":
    for protocol in OPTIONS:
        path = Path(sys.argv[2]) / f"protocol-{protocol}.hex"
        path.write_text("".join(f"{frame.hex()}\n" for frame in record(sys.argv[1], protocol)), "ascii")
