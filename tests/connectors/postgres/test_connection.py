"""What a failed login and a lost session mean: the one may never work, the other is waited for."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from stretto.embedded.processes import wait_until
from stretto_connectors.postgres import replication
from stretto_connectors.postgres.connection import connect, explain, explain_login
from stretto_connectors.postgres.replication import ReplicationConnection
from stretto_schemas.errors import Halted, SettingsError, Unreachable
from tests.fix_stack import Database
from tests.fix_tls import TlsFront, tls_front

LOST = (
    "SSL connection has been closed unexpectedly",
    "SSL SYSCALL error: EOF detected",
    "SSL SYSCALL error: Connection reset by peer",
    "SSL error: unexpected eof while reading",
    "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally",
    'relation "public.gone" does not exist',
)
REFUSED = (
    'connection to server at "127.0.0.1", port 1 failed: server does not support SSL, but SSL was required',
    'connection to server at "127.0.0.1", port 1 failed: SSL error: certificate verify failed: self-signed certificate',
    'connection to server at "127.0.0.1", port 1 failed: root certificate file "/root.crt" does not exist',
    'server certificate for "a" does not match host name "b"',
    'connection to server failed: FATAL:  password authentication failed for user "x"',
    'connection to server failed: FATAL:  database "x" does not exist',
)


@pytest.mark.parametrize("text", LOST)
def test_a_lost_session_is_waited_for(text: str) -> None:
    assert isinstance(explain(psycopg.OperationalError(text), "here"), Unreachable)


@pytest.mark.parametrize("text", LOST[:5])
def test_a_session_lost_while_it_came_about_is_waited_for(text: str) -> None:
    assert isinstance(explain_login(psycopg.OperationalError(text), "here"), Unreachable)


@pytest.mark.parametrize("text", REFUSED)
def test_a_login_that_never_works_is_a_matter_of_settings(text: str) -> None:
    error = explain_login(psycopg.OperationalError(text), "here")
    assert isinstance(error, SettingsError)
    assert error.fix


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.errors.DiskFull("x"), Unreachable),
        (psycopg.errors.TooManyConnections("x"), Unreachable),
        (psycopg.errors.ReadOnlySqlTransaction("x"), Unreachable),
        (psycopg.errors.ProgramLimitExceeded("x"), Halted),
    ],
)
def test_what_the_server_says_by_code(error: psycopg.Error, kind: type) -> None:
    assert type(explain(error, "here")) is kind


def dsn(front: TlsFront, database: Database, more: str) -> SecretStr:
    return SecretStr(f"host=127.0.0.1 port={front.port} user=postgres dbname={database.name} {more}")


def test_a_session_under_tls_that_is_cut_is_waited_for(leader_db: Database, tmp_path: Path) -> None:
    with tls_front(leader_db.port, tmp_path) as front:
        place = dsn(front, leader_db, f"sslmode=verify-full sslrootcert={front.certificate}")
        stream = ReplicationConnection(place, None, application="test")
        with connect(place, application="test") as conn:
            assert conn.pgconn.ssl_in_use
            front.cut()
            with pytest.raises(psycopg.OperationalError) as caught:
                conn.execute("select 1")
        assert "SSL" in str(caught.value)
        assert isinstance(explain(caught.value, "here"), Unreachable)
        with pytest.raises(Unreachable):
            stream.identify()
        with pytest.raises(Unreachable):
            connect(place, application="test")
        stream.close()
        assert front.encrypted == 2


def test_an_unknown_certificate_and_a_server_without_tls_are_matters_of_settings(
    leader_db: Database, tmp_path: Path
) -> None:
    with tls_front(leader_db.port, tmp_path) as front:
        (tmp_path / "other").mkdir()
        with tls_front(leader_db.port, tmp_path / "other") as other:
            place = dsn(front, leader_db, f"sslmode=verify-full sslrootcert={other.certificate}")
            with pytest.raises(SettingsError, match="certificate verify failed"):
                connect(place, application="test")
            with pytest.raises(SettingsError, match="certificate verify failed"):
                ReplicationConnection(place, None, application="test")
    with pytest.raises(SettingsError, match="does not support SSL"):
        connect(SecretStr(leader_db.dsn + " sslmode=require"), application="test")


HOSTILE = {
    "transaction_timeout": ("1s", "0"),
    "idle_session_timeout": ("1s", "0"),
    "default_transaction_read_only": ("on", "off"),
    "array_nulls": ("off", "on"),
}


@pytest.mark.parametrize("autocommit", [True, False])
def test_settings_of_the_database_do_not_reach_a_session(leader_db: Database, autocommit: bool) -> None:
    name_it = f"alter database {leader_db.name} set"
    leader_db.execute("; ".join(f"{name_it} {name} = '{theirs}'" for name, (theirs, _) in HOSTILE.items()))
    stream = ReplicationConnection(SecretStr(leader_db.dsn), None, application="test")
    with connect(SecretStr(leader_db.dsn), application="test", autocommit=autocommit) as conn:
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        for name, (_, ours) in HOSTILE.items():
            assert conn.execute(f"show {name}".encode()).fetchone() == (ours,)
            assert stream.command(f"show {name}") == [ours]
    stream.close()


def test_parameters_are_set_by_a_statement_and_not_as_the_session_begins(leader_db: Database) -> None:
    parameters = {"session_replication_role": "replica", "jit": "off"}
    with connect(SecretStr(leader_db.dsn), application="test", autocommit=False, parameters=parameters) as conn:
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        query = "select name, setting, source from pg_settings where name = any(%s)"
        assert set(conn.execute(query, [[*parameters, "row_security"]])) == {
            ("session_replication_role", "replica", "session"),
            ("jit", "off", "session"),
            ("row_security", "off", "client"),
        }
        conn.rollback()
        assert conn.execute("show session_replication_role").fetchone() == ("replica",)


def test_a_parameter_that_the_role_may_not_set_is_a_matter_of_settings_and_leaves_no_session(
    leader_db: Database,
) -> None:
    role = f"weak_{leader_db.name}"
    leader_db.execute(f"create role {role} login")
    try:
        place = SecretStr(leader_db.dsn_as(role))
        with pytest.raises(SettingsError, match=f"role {role} at .* may not set session_replication_role") as caught:
            connect(place, application="test", parameters={"session_replication_role": "replica"})
        assert f"grant set on parameter session_replication_role to {role}" in caught.value.fix
        still = f"select from pg_stat_activity where usename = '{role}'"
        assert wait_until(lambda: leader_db.fetch(still) == [], 10.0)
        with pytest.raises(SettingsError, match=r"refused the login: .*permission denied to set parameter"):
            connect(
                SecretStr(leader_db.dsn_as(role) + " options='-c session_replication_role=replica'"), application="t"
            )
    finally:
        leader_db.execute(f"drop role {role}")


def test_a_server_that_takes_nothing_does_not_hold_up_for_ever(
    leader_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "SEND_S", 1.0)
    slot = f"s_{leader_db.name}"
    leader_db.execute("create publication p")
    leader_db.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
    stream = ReplicationConnection(SecretStr(leader_db.dsn), None, application="silent")
    stream.start(slot, 0, {"publication_names": "p", "proto_version": "1"})
    [(pid,)] = leader_db.fetch("select pid from pg_stat_activity where application_name = 'silent'")
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unreachable, match="took no status update"):
            stream.send(bytes(64 << 20))
    finally:
        os.kill(pid, signal.SIGCONT)
        stream.close()
