"""The same WAL through Debezium and through Stretto: each reads a slot of its own, made before the first change."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stretto.embedded.kafka import EmbeddedKafka
from tests.debezium import records, workload
from tests.debezium.records import Record
from tests.debezium.worker import Worker
from tests.fix_stack import Database

_DEADLINE_S = 90.0
_STOP_S = 20.0

PREFIX = "peer"
"""Of Stretto's topics: no other test uses it."""


@dataclass(frozen=True)
class Capture:
    """One capture: a name that slot, publication and topics have in common, and what it publishes."""

    name: str
    tables: tuple[str, ...]
    via_root: bool

    @property
    def their_prefix(self) -> str:
        """Debezium's `topic.prefix`."""
        return f"debezium.{self.name}"

    @property
    def our_prefix(self) -> str:
        """The same of Stretto: prefix and source."""
        return f"{PREFIX}.{self.name}"


ROOTS = Capture("roots", ("*.*",), via_root=True)
LEAVES = Capture("leaves", ("public.parted", f"public.{workload.SENTINEL}"), via_root=False)


def _wait_for_sentinel(kafka: EmbeddedKafka, prefix: str, check: Callable[[], None]) -> None:
    records.wait_for_first(kafka.bootstrap, f"{prefix}.public.{workload.SENTINEL}", check, _DEADLINE_S)


def debezium_records(
    database: Database, kafka: EmbeddedKafka, folder: Path, captures: tuple[Capture, ...]
) -> dict[str, list[Record]]:
    """What Debezium writes, by capture, up to the sentinel."""
    connectors = [
        {
            "name": capture.their_prefix,
            "database.hostname": "127.0.0.1",
            "database.port": str(database.port),
            "database.user": "postgres",
            "database.password": "none",
            "database.dbname": database.name,
            "topic.prefix": capture.their_prefix,
            "slot.name": f"debezium_{capture.name}",
            "publication.name": publication(capture),
        }
        for capture in captures
    ]
    with Worker(folder, kafka.bootstrap, connectors) as worker:
        for capture in captures:
            _wait_for_sentinel(kafka, capture.their_prefix, worker.check)
    return {c.name: records.read(kafka.bootstrap, f"{c.their_prefix}.", without=["transaction"]) for c in captures}


def stretto_records(
    kafka: EmbeddedKafka, folder: Path, captures: tuple[Capture, ...], environments: Mapping[str, Mapping[str, str]]
) -> dict[str, list[Record]]:
    """What `stretto run capture` writes, by capture, up to the sentinel."""
    found = {}
    for capture in captures:
        with _capture_process(folder / f"{capture.name}.log", environments[capture.name]) as check:
            _wait_for_sentinel(kafka, capture.our_prefix, check)
        found[capture.name] = records.read(
            kafka.bootstrap, f"{capture.our_prefix}.", without=["transactions", "schema"]
        )
    return found


def publication(capture: Capture) -> str:
    """The publication that both read; `stretto init` makes it."""
    return f"pub_{capture.name}"


def environment(capture: Capture, database: Database, kafka: EmbeddedKafka) -> dict[str, str]:
    """Settings of one capture for the command line."""
    return {
        "STRETTO_PREFIX": PREFIX,
        "STRETTO_SOURCE__NAME": capture.name,
        "STRETTO_SOURCE__DSN": database.dsn,
        "STRETTO_SOURCE__PUBLICATION": publication(capture),
        "STRETTO_SOURCE__TABLES": "[" + ",".join(f'"{table}"' for table in capture.tables) + "]",
        "STRETTO_SOURCE__PUBLISH_VIA_PARTITION_ROOT": str(capture.via_root).lower(),
        "STRETTO_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "STRETTO_HTTP__CAPTURE_PORT": "0",
    }


def stretto(arguments: list[str], settings: Mapping[str, str]) -> None:
    """Run a command of `stretto` to its end; fail with what it said when it fails."""
    done = subprocess.run(_command(arguments), env=_environ(settings), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-c", "from stretto.cli import main; main()", *arguments]


def _environ(settings: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STRETTO_")}
    return {**kept, **settings}


@contextmanager
def _capture_process(log: Path, settings: Mapping[str, str]) -> Iterator[Callable[[], None]]:
    with log.open("w") as output:
        process = subprocess.Popen(
            _command(["run", "capture"]), env=_environ(settings), stdout=output, stderr=subprocess.STDOUT
        )

        def check() -> None:
            assert process.poll() is None, log.read_text()

        try:
            yield check
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
