"""`docker compose` on the project's own file, as a user types it, under a name and on ports of its own."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from stretto.embedded import ports
from stretto.testing import logs

ROOT = Path(__file__).parents[2]
IMAGE = "stretto-test:local"
"""Not the one that somebody's own stack here runs on."""
UP_S = 420
"""An image that is not built yet is built first."""


def free_ports(count: int) -> range:
    """Neighbouring ports that nobody listens on just now, and that stay free while a container is stopped."""
    for _ in range(100):
        first = ports.choose()
        found = range(first, first + count)
        if all(map(ports.is_free, found)):
            return found
    raise AssertionError(f"no {count} neighbouring ports are free")


class Composed:
    """One project of Compose. A context manager: in the block a failure shows its logs, at the end nothing of it is left."""

    def __init__(self, *files: str, **environment: str) -> None:
        """`files`: those of the checkout that are laid over compose.yaml; `environment`: as a .env file would say."""
        self._files = [argument for file in ("compose.yaml", *files) for argument in ("--file", file)]
        leader, follower, kafka, capture, lag, web, prometheus, process, *others = free_ports(10)
        self.name = f"stretto-test-{uuid.uuid4().hex[:8]}"
        self.leader_port, self.follower_port = leader, follower
        self.capture_port, self.lag_port, self.web_port = capture, lag, web
        self.prometheus_port = prometheus
        self._environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.name,
            "STRETTO_IMAGE": IMAGE,
            "STRETTO_LEADER_PORT": str(leader),
            "STRETTO_FOLLOWER_DB_PORT": str(follower),
            "STRETTO_KAFKA_PORT": str(kafka),
            "STRETTO_CAPTURE_PORT": str(capture),
            "STRETTO_FOLLOWER_PORTS": f"{process}-{others[-1]}",
            "STRETTO_LAG_PORT": str(lag),
            "STRETTO_WEB_PORT": str(web),
            "STRETTO_PROMETHEUS_PORT": str(prometheus),
            **environment,
        }
        self._watched = ExitStack()

    def __enter__(self) -> Self:
        self._watched.enter_context(logs.watched(f"logs of {self.name}", self._said_since))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watched.close()
        self.down()

    @property
    def prometheus(self) -> str:
        """Where the profile `observe` has it, `host:port`."""
        return f"127.0.0.1:{self.prometheus_port}"

    def changed(self, *files: str, **environment: str) -> Composed:
        """The same project as if these files were laid over it too, or its .env file said this."""
        other = copy.copy(self)
        other._files = [*self._files, *(argument for file in files for argument in ("--file", file))]
        other._environment = self._environment | environment
        return other

    def _said_since(self, began: float) -> str:
        since = datetime.fromtimestamp(began, UTC).isoformat()
        return self.run("logs", "--no-color", "--tail", str(logs.TAIL), "--since", since, check=False).stdout

    def run(self, *arguments: str, timeout: float = UP_S, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `docker compose ...` to its end; a failure fails the test."""
        done = subprocess.run(
            ["docker", "compose", "-p", self.name, *self._files, *arguments],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"docker compose {' '.join(arguments)}: {done.stderr}{done.stdout}")
        return done

    def bash(self, line: str) -> str:
        """Run a line of the README in its folder, as a user types it; give what it printed."""
        done = subprocess.run(
            ["bash", "-ec", line],
            cwd=ROOT,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=UP_S,
            check=False,
        )
        assert done.returncode == 0, f"{line}: {done.stderr}{done.stdout}"
        return done.stdout

    def services(self) -> dict[str, dict[str, Any]]:
        """What `docker compose ps` says of each container that runs, by its name without the project's."""
        lines = self.run("ps", "--format", "json").stdout.splitlines()
        return {str(each["Name"]).removeprefix(f"{self.name}-"): each for each in map(json.loads, lines)}

    def log(self, service: str) -> str:
        """All that a service's containers printed."""
        done = self.run("logs", "--no-color", "--no-log-prefix", service)
        return done.stdout + done.stderr

    def healthy(self, *services: str, count: int = 1) -> bool:
        """Whether each of these services has so many containers, all of them healthy."""
        found = list(self.services().values())
        states = {service: [each["Health"] for each in found if each["Service"] == service] for service in services}
        return all(state == ["healthy"] * count for state in states.values())

    def _connect(self, port: int, secret: str) -> psycopg.Connection[tuple[Any, ...]]:
        password = (ROOT / "deploy" / "compose" / "secrets" / secret).read_text().strip()
        return psycopg.connect(
            host="127.0.0.1", port=port, dbname="shop", user="postgres", password=password, autocommit=True
        )

    def connect_leader(self) -> psycopg.Connection[tuple[Any, ...]]:
        """A session on the leader."""
        return self._connect(self.leader_port, "leader_password")

    def leader(self, query: str) -> list[tuple[Any, ...]]:
        """Run a query on the leader."""
        return self._fetch(self.leader_port, "leader_password", query)

    def follower(self, query: str) -> list[tuple[Any, ...]]:
        """Run a query on the follower."""
        return self._fetch(self.follower_port, "follower_password", query)

    def follower_has(self, query: str) -> bool:
        """Whether the follower answers true; a table that is not there yet does not."""
        try:
            return self.follower(query) == [(True,)]
        except psycopg.Error:
            return False

    def equal(self, query: str) -> bool:
        """Whether leader and follower answer alike; a table or server that is not there just now is another answer."""
        try:
            return self.follower(query) == self.leader(query)
        except psycopg.Error:
            return False

    def _fetch(self, port: int, secret: str, query: str) -> list[tuple[Any, ...]]:
        with self._connect(port, secret) as conn:
            cursor = conn.execute(query.encode())
            return cursor.fetchall() if cursor.description else []

    def status(self) -> Any:
        """What `stretto status` says, asked in capture's container."""
        return json.loads(self.run("exec", "-T", "capture", "stretto", "status", "-f", "json").stdout)

    def lag_s(self) -> float:
        """The one follower's total lag, by the same."""
        [follower] = self.status()["followers"]
        return float(follower["lag"]["total"]["seconds"])

    @contextmanager
    def paused(self, service: str) -> Iterator[None]:
        """In the block its processes stand still; whoever talks to it hears nothing any more."""
        self.run("pause", service)
        try:
            yield
        finally:
            self.run("unpause", service)

    @contextmanager
    def disconnected(self, service: str) -> Iterator[None]:
        """In the block it is off the network, without a word to whoever talks to it; then it is back under its name."""
        place = f"{self.name}_default", f"{self.name}-{service}-1"
        self._network("disconnect", "--force", *place)
        try:
            yield
        finally:
            self._network("connect", "--alias", service, *place)

    def _network(self, *arguments: str) -> None:
        subprocess.run(["docker", "network", *arguments], check=True, capture_output=True, text=True)

    def down(self) -> None:
        """Stop and remove everything, volumes too."""
        self.run("--profile", "*", "down", "--volumes", "--remove-orphans", "--timeout", "20", check=False)
