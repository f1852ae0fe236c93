"""Which servers tests/integration run on: embedded ones, containers, or ones that somebody named."""

from __future__ import annotations

import enum
import functools
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

LEADER = "TEST_LEADER_DSN"
FOLLOWER = "TEST_FOLLOWER_DSN"
KAFKA = "STRETTO_KAFKA__"
BOOTSTRAP = f"{KAFKA}BOOTSTRAP"
EXTERNAL = (LEADER, FOLLOWER, BOOTSTRAP)
"""Variables without which there is no external stack."""


class PostgresServer(Protocol):
    """A server on which tests make databases."""

    @property
    def dsn(self) -> str:
        """libpq's connection string of a database that is there, as a superuser."""

    def start(self) -> object:
        """Make sure that it runs."""


@dataclass(frozen=True)
class PostgresAt:
    """A server that others start and stop."""

    dsn: str

    def start(self) -> None:
        """It runs."""


class Stack(enum.StrEnum):
    """Where servers come from."""

    EMBEDDED = "embedded"
    CONTAINERS = "containers"
    EXTERNAL = "external"


class NoStackError(Exception):
    """The stack that was asked for cannot be had; says what is missing."""


def choose(asked: str | None, *, required: bool) -> Stack:
    """The stack of tests/integration: the one asked for, else containers where an engine answers, else embedded.

    `required`: that no engine answers is an error, where none was asked for too. Raises NoStackError.
    """
    if asked == Stack.EXTERNAL and (missing := [name for name in EXTERNAL if not os.environ.get(name)]):
        raise NoStackError(
            f"--stack external: not set in the environment: {', '.join(missing)}; {LEADER} and {FOLLOWER} are libpq's"
            f" connection strings of superusers, {KAFKA}... are settings as in docs/settings.md"
        )
    if asked in (Stack.EMBEDDED, Stack.EXTERNAL):
        return Stack(asked)
    lacks = engine_lacks()
    if lacks and (asked or required):
        raise NoStackError(f"no containers: {lacks}; start the engine, or take --stack embedded")
    return Stack.EMBEDDED if lacks else Stack.CONTAINERS


@functools.cache
def engine_lacks() -> str:
    """What is missing to run containers and `docker compose` here; empty: nothing."""
    for command in (["docker", "info", "--format", "{{.ServerVersion}}"], ["docker", "compose", "version", "--short"]):
        said = f"`{' '.join(command[: 2 if command[1] == 'info' else 3])}`"
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{said} cannot be run: {error}"
        if done.returncode:
            last = done.stderr.strip().splitlines()
            return f"{said} failed: {last[-1] if last else f'exit code {done.returncode}'}"
    return ""


def external_kafka(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The settings of the external stack's broker."""
    return {name: value for name, value in environ.items() if name.startswith(KAFKA)}
