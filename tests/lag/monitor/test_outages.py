"""The broker goes away and comes back; very many followers and tables."""

from __future__ import annotations

import time

from stretto.embedded.kafka import EmbeddedKafka
from tests.fix_processes import Processes
from tests.lag.monitor.fix_log import SOURCE, WrittenLog

FOLLOWERS = 200
TABLES = 2_000


def test_a_broker_that_restarts_is_waited_for(written: WrittenLog, kafka: EmbeddedKafka) -> None:
    written.make()
    monitor = written.monitor().running()
    written.frontier(100)
    written.frontier(200)
    written.flush()
    monitor.until(lambda it: it.flow()["rows"] == 1, "rows before")
    kafka.stop()
    monitor.until(lambda it: it.json("/status")["problems"], "word of the broker that is away")
    assert monitor.get("/livez")[0] == 200
    kafka.start()
    monitor.running()
    written.frontier(300)
    written.flush()
    monitor.until(lambda it: it.flow()["rows"] == 2, "rows after")
    monitor.until(lambda it: not it.json("/status")["problems"], "no problem")
    assert monitor.get("/readyz")[0] == 200


def test_two_hundred_followers_and_two_thousand_tables(written: WrittenLog) -> None:
    written.make()
    written.frontier(100, topics=TABLES)
    monitor = written.monitor(look_s=1.0).running()
    names = [f"follower-{number}" for number in range(FOLLOWERS)]
    began, spent = time.monotonic(), time.process_time()
    for turn in range(1, 6):
        written.frontier(100 + turn, topics=TABLES)
        for name in names:
            written.follower(name, 100 + turn, turn * TABLES)
        written.flush()
    monitor.until(lambda it: it.flow()["rows"] == 5 * TABLES, "every frontier")
    monitor.until(lambda it: it.flow(names[-1])["rows"] == 4 * TABLES, "the last follower's records")
    monitor.until(
        lambda it: len({row["follower"] for row in it.json("/windows")["lag"]["minute"]}) == FOLLOWERS, "all windows"
    )
    busy = (time.process_time() - spent) / (time.monotonic() - began)
    for path in ("/status", "/windows", "/history", "/alerts", "/metrics", "/"):
        asked = time.monotonic()
        assert monitor.get(path)[0] == 200
        assert time.monotonic() - asked < 2, path
    mine = [line for line in monitor.get("/metrics")[1].decode().splitlines() if line.startswith("stretto_lag_")]
    assert FOLLOWERS <= sum(f'source="{SOURCE}"' in line for line in mine) <= 14 * FOLLOWERS
    assert not any(".public." in line for line in mine), "a sample for a table"
    assert busy < 1.0, "of a core"


def test_the_process_stops_on_sigterm_without_a_traceback(written: WrittenLog, processes: Processes) -> None:
    written.make()
    settings = {"prefix": written.settings.prefix, "lag__look_s": "0.2"}
    first = processes.lag(**settings)
    first.says("this monitor tells alerts")
    second = processes.lag(**settings)
    second.says("health and metrics on")
    first.kill()
    second.says("this monitor tells alerts")
    began = time.monotonic()
    second.stop()
    assert time.monotonic() - began < 10
    for word in ("Traceback", "aiokafka", "faust", "Heartbeat failed"):
        assert word not in second.log, second.log
