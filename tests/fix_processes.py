"""Capture and follower as processes of their own, which a test kills and starts again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stretto.embedded.processes import wait_until
from stretto_schemas.settings import KafkaSettings, Settings
from tests.fix_pipeline import Pipeline

STRETTO = Path(sys.executable).with_name("stretto")
DEADLINE_S = 120.0


class Running:
    """One process, its log in a file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def log(self) -> str:
        """What it printed so far."""
        return self._log.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def says(self, words: str, deadline_s: float = DEADLINE_S) -> None:
        """Wait until its log has these words; it must not end before."""
        assert wait_until(lambda: words in self.log or not self.running, deadline_s), f"no {words!r} in:\n{self.log}"
        assert words in self.log, f"ended without {words!r}:\n{self.log}"

    def exit_code(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait until it ended by itself; never with a traceback."""
        try:
            code = self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running after {deadline_s} s:\n{self.log}")
        assert "Traceback" not in self.log, self.log
        return code

    def kill(self) -> None:
        """SIGKILL; it must still have been running."""
        assert self.running, f"ended by itself, exit code {self._process.returncode}:\n{self.log}"
        self._process.kill()
        assert self._process.wait(DEADLINE_S) == -signal.SIGKILL

    def stop(self) -> None:
        """SIGTERM, and the clean end that must follow."""
        assert self.running, f"ended by itself, exit code {self._process.returncode}:\n{self.log}"
        self._process.terminate()
        assert self.exit_code() == 0, self.log

    def clear(self) -> None:
        """End it however it can be."""
        if self.running:
            self._process.kill()
            self._process.wait(DEADLINE_S)


class Processes:
    """Starts `stretto run capture`, `follower` and `lag` on a test's pipeline."""

    def __init__(self, pipeline: Pipeline, folder: Path) -> None:
        self.pipeline = pipeline
        self._folder = folder
        self.started: list[Running] = []

    def capture(self, failpoint: str = "", **settings: str) -> Running:
        """Start capture. Settings as `capture__batch_rows="100"`."""
        return self._start("capture", failpoint, settings)

    def follower(self, failpoint: str = "", **settings: str) -> Running:
        """Start a follower process."""
        return self._start("follower", failpoint, settings)

    def lag(self, **settings: str) -> Running:
        """Start a lag monitor."""
        return self._start("lag", "", settings)

    def both(self, **settings: str) -> tuple[Running, Running]:
        """Start one of each."""
        return self.capture(**settings), self.follower(**settings)

    def _start(self, service: str, failpoint: str, settings: dict[str, str]) -> Running:
        return self.start([str(STRETTO), "run", service], failpoint, **settings)

    def start(self, command: list[str], failpoint: str = "", **settings: str) -> Running:
        """Start any command with the pipeline's settings."""
        log = self._folder / f"{len(self.started)}-{command[-1]}.log"
        own = {key: value for key, value in os.environ.items() if not key.startswith("STRETTO_")}
        given = environment(self.pipeline.settings) | {
            f"STRETTO_{key.upper()}": value for key, value in settings.items()
        }
        if failpoint:
            given["STRETTO_FAILPOINT"] = failpoint
        with log.open("w") as output:
            process = subprocess.Popen(command, cwd=self._folder, env=own | given, stdout=output, stderr=output)
        running = Running(process, log)
        self.started.append(running)
        return running

    def clear(self) -> None:
        """End what still runs."""
        for running in self.started:
            running.clear()


def environment(settings: Settings) -> dict[str, str]:
    """The variables that give another process a test's settings."""
    return {
        "STRETTO_PREFIX": settings.prefix,
        "STRETTO_SOURCE__DSN": settings.source.dsn.get_secret_value(),
        "STRETTO_SOURCE__SLOT": settings.source.slot_name,
        "STRETTO_FOLLOWER__DSN": settings.follower.dsn.get_secret_value(),
        "STRETTO_FOLLOWER__SPILL_DIR": str(settings.follower.spill_dir),
        "STRETTO_FOLLOWER__RETRY_MAX_S": "1",
        "STRETTO_CAPTURE__RETRY_MAX_S": "1",
        "STRETTO_CAPTURE__HEARTBEAT_S": "1",
        "STRETTO_CAPTURE__FULL_FRONTIER_S": "1",
        **_kafka(settings.kafka),
        "STRETTO_HTTP__CAPTURE_PORT": "0",
        "STRETTO_HTTP__FOLLOWER_PORT": "0",
        "STRETTO_HTTP__LAG_PORT": "0",
    }


def _kafka(kafka: KafkaSettings) -> dict[str, str]:
    given = kafka.model_dump(exclude_defaults=True)
    given["sasl_password"] = kafka.sasl_password.get_secret_value() if kafka.sasl_password else ""
    given["options"] = json.dumps(kafka.options) if kafka.options else ""
    return {f"STRETTO_KAFKA__{key.upper()}": str(value) for key, value in given.items() if value}


@pytest.fixture
def processes(pipeline: Pipeline, tmp_path: Path) -> Iterator[Processes]:
    """Processes on the test's pipeline; none is left at the end."""
    made = Processes(pipeline, tmp_path)
    yield made
    made.clear()
