"""The command line as a user runs it, on the test's own databases and topics."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stretto.embedded.processes import wait_until
from tests.fix_stack import Database

STRETTO = Path(sys.executable).with_name("stretto")
DEADLINE_S = 60.0


class Cli:
    """`stretto` in a process of its own, with settings from the environment. No run may print a traceback."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self.folder = folder
        self.settings = settings

    def environment(self, changed: dict[str, str]) -> dict[str, str]:
        own = {key: value for key, value in os.environ.items() if not key.startswith("STRETTO_")}
        return own | {key: value for key, value in (self.settings | changed).items() if value}

    def __call__(self, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        """Run to the end. Keywords are changed settings; an empty one is unset."""
        done = subprocess.run(
            [STRETTO, *arguments],
            cwd=self.folder,
            env=self.environment(changed),
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done

    def good(self, *arguments: str, **changed: str) -> str:
        """Run to the end, expect exit code 0, give what it printed."""
        done = self(*arguments, **changed)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    @contextmanager
    def running(self, *arguments: str, **changed: str) -> Iterator[Running]:
        """Start a process that stays; at the end it is stopped."""
        port_file = self.folder / f"{'-'.join(arguments)}.port"
        port_file.unlink(missing_ok=True)
        log = self.folder / f"{'-'.join(arguments)}.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [STRETTO, *arguments, "--port-file", str(port_file)],
                cwd=self.folder,
                env=self.environment(changed),
                stderr=errors,
            )
        running = Running(process, port_file, log)
        try:
            yield running
        finally:
            running.stop()


class Running:
    """A process with an HTTP server."""

    def __init__(self, process: subprocess.Popen[bytes], port_file: Path, log: Path) -> None:
        self.process = process
        self._port_file = port_file
        self._log = log

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    @property
    def log(self) -> str:
        return self._log.read_text()

    def port(self) -> int:
        assert wait_until(lambda: self._port_file.exists() or not self.running, DEADLINE_S), self.log
        assert self._port_file.exists(), self.log
        return int(self._port_file.read_text())

    def get(self, page: str, accept: str = "") -> tuple[int, str, str]:
        """Status, content type and body."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port()}{page}", headers={"Accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status, answer.headers["Content-Type"], answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read().decode()

    def until_ready(self) -> str:
        """Wait for /readyz; give its sentence."""
        return self.until_readyz(200)

    def until_readyz(self, status: int, words: str = "") -> str:
        """Wait until /readyz has this status, with these words in its sentence; give the sentence."""
        seen: list[str] = []

        def there() -> bool:
            code, _, body = self.get("/readyz")
            seen[:] = [body]
            return code == status and words in body

        assert wait_until(there, DEADLINE_S), "".join(seen) + self.log
        return seen[0]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; give the exit code."""
        if self.running:
            self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """A process that stands still meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def examine(cli: Cli, **changed: str) -> tuple[int, dict[str, list[str]]]:
    """`stretto doctor`: exit code, and by level what was said, each with where and name."""
    done = cli("doctor", "-f", "json", **changed)
    tree = json.loads(done.stdout)
    assert tree["exit_code"] == done.returncode
    said: dict[str, list[str]] = {"OK": [], "WARN": [], "FAIL": []}
    for check in tree["checks"]:
        assert check["level"] == "OK" or check["fix"], f"no fix: {check}"
        said[check["level"]].append(f"{check['where']} {check['name']}: {check['said']}")
    return done.returncode, said


@pytest.fixture
def cli(leader_db: Database, follower_db: Database, kafka_settings: dict[str, str], prefix: str, tmp_path: Path) -> Cli:
    """The command line on a leader, a follower and a broker that answer."""
    return Cli(
        tmp_path,
        {
            "STRETTO_PREFIX": prefix,
            "STRETTO_SOURCE__DSN": leader_db.dsn,
            "STRETTO_SOURCE__SLOT": f"stretto_{prefix}",
            "STRETTO_FOLLOWER__DSN": follower_db.dsn,
            **kafka_settings,
            "STRETTO_HTTP__CAPTURE_PORT": "0",
            "STRETTO_HTTP__FOLLOWER_PORT": "0",
            "STRETTO_DATA_DIR": str(tmp_path / "no-stack"),
        },
    )


@pytest.fixture
def bare_cli(tmp_path: Path) -> Cli:
    """The command line without any settings and any server."""
    return Cli(tmp_path, {"STRETTO_DATA_DIR": str(tmp_path / "no-stack")})
