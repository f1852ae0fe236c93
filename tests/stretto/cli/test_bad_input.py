"""What is wrong is said in a sentence, with what fixes it, and an exit code that a script can tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from stretto.embedded import ports
from stretto.embedded.postgres import EmbeddedPostgres
from stretto_producers.source.init import init
from stretto_schemas.settings import load
from tests.fix_cli import Cli
from tests.fix_stack import Database

NOWHERE = "host=127.0.0.1 port=1 user=postgres dbname=postgres"

COMMANDS = (
    ["init"],
    ["init", "--dry-run"],
    ["destroy"],
    ["destroy", "--yes"],
    ["run", "capture"],
    ["run", "follower"],
    ["follower", "add"],
    ["follower", "pause"],
    ["follower", "remove"],
    ["verify"],
    ["config", "show"],
    ["status"],
    ["doctor"],
)

SIDES = {"init": "SOURCE", "run capture": "SOURCE", "run follower": "FOLLOWER", "follower add": "FOLLOWER"}
"""Which section's DSN these commands are tried with. `status` and `doctor` go on to the next server instead."""


def said(cli: Cli, *arguments: str, **changed: str) -> tuple[int, str]:
    done = cli(*arguments, **changed)
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_refuses_a_wrong_settings_file(bare_cli: Cli, command: list[str]) -> None:
    (bare_cli.folder / "bad.toml").write_text("[source]\nnam = 'x'")
    code, error = said(bare_cli, *command, "-c", "bad.toml")
    assert (code, error.startswith("error: "), "source.nam: no such setting" in error) == (2, True, True), error


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[sauce]\nname = 'x'", "sauce: no such setting"),
        ("[kafka]\npartitions = 0", "kafka.partitions"),
        ("prefix = ", "is no TOML"),
        ("prefix = 'ö'", "prefix"),
    ],
)
def test_a_wrong_settings_file_is_a_usage_error(bare_cli: Cli, text: str, found: str) -> None:
    (bare_cli.folder / "bad.toml").write_text(text)
    code, error = said(bare_cli, "init", "-c", "bad.toml")
    assert code == 2
    assert error.startswith("error: ")
    assert found in error


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"STRETTO_SOURCE__NAM": "x"}, "environment variable STRETTO_SOURCE__NAM is no setting"),
        ({"STRETTO_SOURCE": "x"}, "STRETTO_SOURCE"),
        ({"STRETTO_HTTP__CAPTURE_PORT": "x"}, "http.capture_port"),
        ({"STRETTO_SOURCE__PASSWORD_FILE": "/does/not/exist"}, "STRETTO_SOURCE__PASSWORD_FILE"),
        ({"STRETTO_CONFIG": "none.toml"}, "none.toml does not exist"),
        ({"STRETTO_CONFIG_X": "x"}, "environment variable STRETTO_CONFIG_X is no setting"),
        ({"STRETTO_DATA_DIRS": "x"}, "environment variable STRETTO_DATA_DIRS is no setting"),
        ({"STRETTO_SOURCE__TABLES": "public.*"}, "lists and tables as JSON"),
        ({}, "has no database to connect to"),
    ],
)
def test_a_wrong_environment_is_a_usage_error(bare_cli: Cli, changed: dict[str, str], found: str) -> None:
    code, error = said(bare_cli, "init", **changed)
    assert (code, found in error) == (2, True), error


def test_an_unknown_command_or_option_is_a_usage_error(bare_cli: Cli) -> None:
    assert bare_cli("initt").returncode == 2
    assert bare_cli("init", "--dryrun").returncode == 2
    assert bare_cli("run").returncode == 2


def of_side(command: str, leader_db: Database, follower_db: Database) -> tuple[str, str]:
    """Name and value of the DSN that a command uses."""
    side = SIDES[command]
    return f"STRETTO_{side}__DSN", (leader_db if side == "SOURCE" else follower_db).dsn


def begun(cli: Cli) -> None:
    """As after `stretto init`."""
    init(load(None, cli.settings), lambda _: None)


@pytest.mark.parametrize("command", SIDES)
def test_a_dsn_that_cannot_work_is_a_usage_error_that_does_not_repeat_it(
    cli: Cli, command: str, leader_db: Database, follower_db: Database
) -> None:
    begun(cli)
    name, dsn = of_side(command, leader_db, follower_db)
    for wrong, found in (
        ("", "has no database to connect to"),
        ("host=x password=geheim oops", "the DSN cannot be read"),
        (dsn + "_x password=geheim", "does not exist"),
        (dsn.replace("user=postgres", "user=nobody_here password=geheim"), "does not exist"),
    ):
        code, error = said(cli, *command.split(), **{name: wrong})
        assert (code, found in error) == (2, True), error
        assert "geheim" not in error


@pytest.mark.parametrize("command", [["init"], ["destroy", "--yes"], ["status"], ["doctor"]], ids=" ".join)
def test_a_source_that_does_not_answer_is_exit_code_3(cli: Cli, command: list[str]) -> None:
    done = cli(*command, STRETTO_SOURCE__DSN=NOWHERE)
    assert done.returncode == 3
    assert "127.0.0.1:1/postgres" in done.stdout + done.stderr


@pytest.mark.parametrize("command", [["init"], ["status"], ["doctor"]], ids=" ".join)
def test_a_broker_that_does_not_answer_is_exit_code_3(cli: Cli, command: list[str]) -> None:
    done = cli(*command, STRETTO_KAFKA__BOOTSTRAP="127.0.0.1:1")
    assert done.returncode == 3
    assert "127.0.0.1:1" in done.stdout + done.stderr


def test_no_broker_named_is_a_usage_error(cli: Cli) -> None:
    code, error = said(cli, "init", STRETTO_KAFKA__BOOTSTRAP="")
    assert (code, "no Kafka broker is named" in error) == (2, True)


@pytest.mark.parametrize("command", [["init"], ["status"], ["run", "capture"]], ids=" ".join)
def test_an_option_that_librdkafka_does_not_know_is_a_usage_error(cli: Cli, command: list[str]) -> None:
    code, error = said(cli, *command, STRETTO_KAFKA__OPTIONS='{"nope": "x"}')
    assert (code, 'No such configuration property: "nope"' in error) == (2, True), error


def test_more_replicas_than_brokers_is_a_usage_error(cli: Cli) -> None:
    code, error = said(cli, "init", STRETTO_KAFKA__REPLICATION_FACTOR="3")
    assert (code, "replication_factor is 3, the cluster has 1 brokers" in error) == (2, True), error


@pytest.fixture
def guarded(
    leader: EmbeddedPostgres,
    follower_server: EmbeddedPostgres,
    leader_db: Database,
    follower_db: Database,
    prefix: str,
) -> Iterator[str]:
    """A role that must give its password, `richtig`, on both servers."""
    role = f"guarded_{prefix}"
    with guarded_role(leader, leader_db, role), guarded_role(follower_server, follower_db, role):
        yield role


@contextmanager
def guarded_role(server: EmbeddedPostgres, database: Database, role: str) -> Iterator[None]:
    """The role on one server; nothing of it is left."""
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(f"create role {role} login replication password 'richtig'")
        [(hba,)] = admin.execute("show hba_file").fetchall()
        path = Path(hba)
        before = path.read_text()
        path.write_text(f"host all,replication {role} 127.0.0.1/32 scram-sha-256\n{before}")
        admin.execute("select pg_reload_conf()")
        try:
            yield
        finally:
            path.write_text(before)
            admin.execute("select pg_reload_conf()")
            database.execute(f"drop owned by {role} cascade")
            admin.execute(f"drop role {role}")


@pytest.mark.parametrize("command", SIDES)
def test_a_wrong_password_is_a_usage_error_and_is_not_repeated(
    cli: Cli, command: str, leader_db: Database, follower_db: Database, guarded: str
) -> None:
    begun(cli)
    name, dsn = of_side(command, leader_db, follower_db)
    dsn = dsn.replace("user=postgres", f"user={guarded}")
    for changed in ({name.replace("DSN", "PASSWORD"): "geheim"}, {}):
        code, error = said(cli, *command.split(), **{name: dsn}, **changed)
        assert code == 2, error
        assert "refused the login" in error
        assert "geheim" not in error


def test_the_right_password_may_come_from_a_file(cli: Cli, leader_db: Database, guarded: str) -> None:
    (cli.folder / "secret").write_text("richtig\n")
    leader_db.execute(f"grant create on database {leader_db.name} to {guarded}")
    dsn = leader_db.dsn.replace("user=postgres", f"user={guarded}")
    cli.good("init", STRETTO_SOURCE__DSN=dsn, STRETTO_SOURCE__PASSWORD_FILE=str(cli.folder / "secret"))


@pytest.mark.parametrize("command", ["init", "run capture", "follower add"])
def test_a_role_without_replication_is_told_what_to_grant(
    cli: Cli, command: str, leader_db: Database, prefix: str
) -> None:
    begun(cli)
    role = f"weak_{prefix}"
    leader_db.execute(f"create role {role} login")
    weak = leader_db.dsn.replace("user=postgres", f"user={role}")
    try:
        code, error = said(cli, *command.split(), STRETTO_SOURCE__DSN=weak)
        assert code == 2, error
        assert f"alter role {role} replication" in error or "alter role ... replication" in error, error
    finally:
        leader_db.execute(f"drop role {role}")


def test_a_database_that_is_no_follower_yet_is_told_how_it_becomes_one(cli: Cli) -> None:
    begun(cli)
    code, error = said(cli, "run", "follower")
    assert (code, "stretto follower add" in error) == (2, True), error


def test_wal_level_replica_is_told_how_to_change_it(cli: Cli, stack_dir: Path) -> None:
    with EmbeddedPostgres(stack_dir / "replica", name="replica", settings={"wal_level": "replica"}) as server:
        code, error = said(cli, "init", STRETTO_SOURCE__DSN=server.dsn)
        assert code == 1
        assert "wal_level = replica" in error
        assert "alter system set wal_level = logical" in error
        done = cli("doctor", STRETTO_SOURCE__DSN=server.dsn)
        assert done.returncode == 1
        assert "FAIL  source    wal_level: replica" in done.stdout


def test_capture_before_init_halts_and_names_the_command(cli: Cli) -> None:
    code, error = said(cli, "run", "capture")
    assert code == 4
    assert "stretto init" in error


@pytest.mark.parametrize("service", ["capture", "follower"])
def test_a_port_that_is_taken_is_a_usage_error(cli: Cli, service: str, leader: EmbeddedPostgres) -> None:
    code, error = said(cli, "run", service, **{f"STRETTO_HTTP__{service.upper()}_PORT": str(leader.port)})
    assert code == 2
    assert f"cannot listen on {ports.HOST}:{leader.port}" in error
    assert f"{service}_port" in error
