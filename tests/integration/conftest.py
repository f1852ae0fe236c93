"""The stack that was chosen: the same tests on embedded servers, on containers and on servers that somebody named."""

from __future__ import annotations

import os

import pytest

from stretto.testing.kafka import KafkaContainer
from stretto.testing.postgres import dsn
from tests import stacks
from tests.fix_processes import processes
from tests.fix_stack import STACK
from tests.stacks import PostgresAt, PostgresServer, Stack

__all__ = ["processes"]


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Stack:
    """The stack of this run."""
    return request.config.stash[STACK]


def _server(request: pytest.FixtureRequest, stack: Stack, container: str, external: str) -> PostgresServer:
    match stack:
        case Stack.EMBEDDED:
            return request.getfixturevalue(str(request.fixturename))  # type: ignore[no-any-return] # the one above this
        case Stack.CONTAINERS:
            return PostgresAt(dsn(request.getfixturevalue(container)))
        case Stack.EXTERNAL:
            return PostgresAt(os.environ[external])


@pytest.fixture(scope="session")
def leader(request: pytest.FixtureRequest, stack: Stack) -> PostgresServer:
    """The server that is captured."""
    return _server(request, stack, "stretto_leader", stacks.LEADER)


@pytest.fixture(scope="session")
def follower_server(request: pytest.FixtureRequest, stack: Stack) -> PostgresServer:
    """The server that rows are applied to."""
    return _server(request, stack, "stretto_follower", stacks.FOLLOWER)


@pytest.fixture
def kafka_settings(request: pytest.FixtureRequest, stack: Stack) -> dict[str, str]:
    """The broker as settings in the environment."""
    match stack:
        case Stack.EMBEDDED:
            return {stacks.BOOTSTRAP: request.getfixturevalue("kafka").bootstrap}
        case Stack.CONTAINERS:
            container: KafkaContainer = request.getfixturevalue("stretto_kafka")
            return {stacks.BOOTSTRAP: container.bootstrap}
        case Stack.EXTERNAL:
            return stacks.external_kafka()
