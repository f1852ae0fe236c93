"""A log written by hand, and monitors over it: what capture and followers would write, at any number and with any fault."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import confluent_kafka
import pytest

from stretto.embedded.processes import wait_until
from stretto.process.http import HealthServer
from stretto_connectors.kafka.client import admin, drop
from stretto_connectors.kafka.existing import await_leaders
from stretto_connectors.kafka.reader import read_range, watermarks
from stretto_connectors.kafka.topics import ensure_topics, followers_config, frontiers_config
from stretto_consumers.lag.monitor.alert_log import decode_alert
from stretto_consumers.lag.monitor.monitor import Monitor
from stretto_consumers.lag.monitor.places import Places, places
from stretto_schemas.follower_state import FollowerState, encode_state, state_key
from stretto_schemas.frontier import Frontier, Transaction, encode_record
from stretto_schemas.lag.view import Alert
from stretto_schemas.settings import Settings, load
from tests.fix_stack import Database

DEADLINE_S = 30.0
SOURCE = "leader"
END = 1 << 50
"""Beyond the server's own WAL: nothing waits there to be captured."""


class Served:
    """A monitor in threads of this process, with its HTTP server."""

    def __init__(self, settings: Settings) -> None:
        self.monitor = Monitor(settings)
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._http = HealthServer(self.monitor, "127.0.0.1", 0, setting="lag_port")
        self._thread = threading.Thread(target=self._run, name="monitor")

    def _run(self) -> None:
        try:
            self.monitor.run(self._stop)
        except BaseException as error:  # noqa: BLE001 - raised again by the test
            self.failure = error

    def start(self) -> Served:
        """Begin."""
        self._http.__enter__()
        self._thread.start()
        return self

    def until(self, seen: Callable[[Served], Any], what: str, deadline_s: float = DEADLINE_S) -> None:
        """Wait until the monitor shows it."""

        def passed() -> bool:
            if self.failure is not None:
                raise self.failure
            return bool(seen(self))

        assert wait_until(passed, deadline_s), f"no {what} within {deadline_s:g} s: {self.get('/status')[1]!r}"

    def running(self) -> Served:
        """Wait until it is the active one."""
        self.until(lambda it: it.state == "running", "active monitor")
        return self

    @property
    def state(self) -> str:
        """What it says it is."""
        return str(self.monitor.summary()["state"])

    def stop(self) -> None:
        """End it, in time."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(DEADLINE_S)
            assert not self._thread.is_alive(), "the monitor did not stop"
            self._http.__exit__(None, None, None)

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask over HTTP."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._http.port}{path}", timeout=DEADLINE_S) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def json(self, path: str) -> Any:
        """The answer, which must be one."""
        status, body = self.get(path)
        assert status == 200, body
        return json.loads(body)

    def flow(self, follower: str | None = None) -> dict[str, int]:
        """What went through, by the minute windows, summed up: of the source, or of a follower."""
        rows = [row for row in self.json("/windows")["flow"]["minute"] if row["follower"] == follower]
        return {name: sum(row[name] for row in rows) for name in ("rows", "transactions", "wal_bytes")}


class WrittenLog:
    """Topics of one prefix and who writes them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.places: Places = places(settings)
        self._producer = confluent_kafka.Producer({"bootstrap.servers": settings.kafka.bootstrap, "linger.ms": 0})
        self._monitors: list[Served] = []
        self._sequence = 0

    def make(self) -> WrittenLog:
        """The topics that `stretto init` makes."""
        kafka = self.settings.kafka
        client = admin(kafka)
        made = ensure_topics(client, kafka, [self.places.transactions], partitions=1, config=frontiers_config(kafka))
        made += ensure_topics(client, kafka, [self.places.followers], partitions=1, config=followers_config(kafka))
        await_leaders(client, kafka, made)
        return self

    def make_with_own_times(self, *topics: str) -> None:
        """Topics whose records have the times that they are given, so that a test can write what is old."""
        kafka = self.settings.kafka
        client = admin(kafka)
        times = {"message.timestamp.type": "CreateTime"}
        await_leaders(client, kafka, ensure_topics(client, kafka, topics, partitions=1, config=times))

    def frontier(self, end_lsn: int, rows: int = 1, **more: Any) -> None:
        """Capture commits a transaction that ends there."""
        self.send(self.places.transactions, encode_record(self.made(end_lsn, rows, **more)))

    def made(self, end_lsn: int, rows: int = 1, *, topics: int = 1, ago_s: float = 0.0, epoch: int = 1) -> Frontier:
        """A frontier with one transaction."""
        now_us = int((time.time() - ago_s) * 1e6)
        partitions = [(f"{self.settings.prefix}.{SOURCE}.public.t{number}", 0) for number in range(topics)]
        counts = [rows] * topics
        flat = [figure for pair in enumerate(counts) for figure in pair]
        transaction = Transaction(self._sequence + 1, end_lsn - 8, end_lsn, now_us, flat)
        self._sequence += 1
        return Frontier(
            SOURCE, epoch, "system", 1, end_lsn - 8, end_lsn, now_us, self._sequence, partitions, counts, [transaction]
        )

    def follower(self, name: str, end_lsn: int, rows: int, **more: Any) -> None:
        """A follower says where it stands."""
        now_us = time.time_ns() // 1000
        told: dict[str, Any] = {"published_us": now_us, "skew_us": 0, "every_s": 30.0, **more}
        state = FollowerState(name, SOURCE, 1, 1, end_lsn, now_us, now_us, rows, rows, **told)
        self.send(self.places.followers, encode_state(state), state_key(name, SOURCE))

    def behind(self, name: str, budget_s: float, *, epoch: int = 1) -> None:
        """A transaction of a minute ago, which `END` ends, is not visible on this follower."""
        self.frontier(END - 100, ago_s=70, epoch=epoch)
        self.frontier(END, ago_s=60, epoch=epoch)
        self.follower(name, END - 100, 1, budget_s=budget_s)
        self.flush()

    def remove(self, name: str) -> None:
        """A follower's tombstone."""
        self.send(self.places.followers, None, state_key(name, SOURCE))

    def send(self, topic: str, value: bytes | None, key: bytes | None = None, at_s: float = 0.0) -> None:
        """Anything, anywhere; `at_s`: with this time, where the topic takes it."""
        self._producer.produce(topic, value, key, 0, timestamp=int(at_s * 1000))
        self._producer.poll(0)

    def flush(self) -> None:
        """Return once the broker has it all."""
        assert self._producer.flush(DEADLINE_S) == 0

    def monitor(self, **lag: Any) -> Served:
        """Start a monitor."""
        settings = self.settings
        settings = settings.model_copy(update={"lag": settings.lag.model_copy(update=lag)})
        served = Served(settings)
        self._monitors.append(served)
        return served.start()

    def alerts(self) -> list[Alert]:
        """All that lies in the topic of alerts."""
        kafka, topic = self.settings.kafka, self.places.alerts
        low, high = watermarks(kafka, topic)
        return [decode_alert(message.value() or b"") for message in read_range(kafka, topic, 0, low, high)]

    def close(self) -> None:
        """End every monitor."""
        for served in self._monitors:
            served.stop()
        drop(self._producer)


def settings_over(leader: Database, follower: Database, kafka_settings: dict[str, str], prefix: str) -> Settings:
    """Of a monitor that looks often and tells soon."""
    return load(
        None,
        {
            "STRETTO_PREFIX": prefix,
            "STRETTO_SOURCE__DSN": leader.dsn,
            "STRETTO_FOLLOWER__DSN": follower.dsn,
            "STRETTO_FOLLOWER__NAME": "nobody",
            "STRETTO_LAG__LOOK_S": "0.2",
            "STRETTO_LAG__ALERT_AFTER_S": "0.5",
            "STRETTO_HTTP__CAPTURE_PORT": "0",
            "STRETTO_HTTP__FOLLOWER_PORT": "0",
            "STRETTO_HTTP__LAG_PORT": "0",
            **kafka_settings,
        },
    )


@pytest.fixture
def written(
    leader_db: Database, follower_db: Database, kafka_settings: dict[str, str], prefix: str
) -> Iterator[WrittenLog]:
    """A log without topics; `make()` makes them."""
    log = WrittenLog(settings_over(leader_db, follower_db, kafka_settings, prefix))
    yield log
    log.close()
