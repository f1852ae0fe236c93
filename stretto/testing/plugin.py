"""A pytest plugin: servers in containers for a whole session, their logs beside each failure.

    pytest_plugins = ["stretto.testing.plugin"]  # in the topmost conftest.py; pip install stretto[testing]

Each fixture needs a Docker engine that answers; containers start when the first test asks for them.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator

import pytest
from testcontainers.community.postgres import PostgresContainer

from stretto.testing import logs
from stretto.testing.kafka import KafkaContainer
from stretto.testing.postgres import postgres_container

_BEGAN = pytest.StashKey[float]()


@pytest.fixture(scope="session")
def stretto_leader() -> Iterator[PostgresContainer]:
    """A PostgreSQL server that can be captured; `stretto.testing.postgres.dsn` tells where it is."""
    container = postgres_container()
    with logs.running("leader", container):
        yield container


@pytest.fixture(scope="session")
def stretto_follower() -> Iterator[PostgresContainer]:
    """A PostgreSQL server for a follower."""
    container = postgres_container()
    with logs.running("follower", container):
        yield container


@pytest.fixture(scope="session")
def stretto_kafka() -> Iterator[KafkaContainer]:
    """A broker; `bootstrap` tells where it is."""
    container = KafkaContainer()
    with logs.running("kafka", container):
        yield container


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Note when the test began."""
    item.stash[_BEGAN] = time.time()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach to a failure what every container said since the test began."""
    report = yield
    if report.failed:
        report.sections += [(f"container {name}", said) for name, said in logs.since(item.stash.get(_BEGAN, 0.0))]
    return report
