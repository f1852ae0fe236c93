"""The broker goes away and comes back; very many followers and tables."""

from __future__ import annotations

from stretto.embedded.kafka import EmbeddedKafka
from stretto_connectors.kafka.reader import watermarks
from stretto_consumers.lag.monitor.tables import HOPPING_S, STEP_S
from tests.fix_processes import Processes
from tests.lag.monitor.fix_log import SOURCE, WrittenLog

FOLLOWERS = 200
TABLES = 2_000
TURNS = 5
MOST_BYTES = 10_000
"""Of any answer, for each follower."""


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
    for turn in range(1, TURNS + 1):
        written.frontier(100 + turn, topics=TABLES)
        for name in names:
            written.follower(name, 100 + turn, turn * TABLES)
        written.flush()
    monitor.until(lambda it: it.flow()["rows"] == TURNS * TABLES, "every frontier")
    monitor.until(lambda it: it.flow(names[-1])["rows"] == (TURNS - 1) * TABLES, "the last follower's records")
    monitor.until(
        lambda it: len({row["follower"] for row in it.json("/windows")["lag"]["minute"]}) == FOLLOWERS, "all windows"
    )
    for path in ("/status", "/windows", "/history?since=60", "/alerts", "/metrics", "/"):
        status, body = monitor.get(path)
        assert status == 200
        assert len(body) < MOST_BYTES * FOLLOWERS, path
    mine = [line for line in monitor.get("/metrics")[1].decode().splitlines() if line.startswith("stretto_lag_")]
    assert FOLLOWERS <= sum(f'source="{SOURCE}"' in line for line in mine) <= 14 * FOLLOWERS
    assert not any(".public." in line for line in mine), "a sample for a table"
    records = (TURNS + 1) * (FOLLOWERS + 1)
    for table, spans in {"flow_minute": 1, "flow_five_minutes": HOPPING_S // STEP_S, "marks": 1}.items():
        low, high = watermarks(written.settings.kafka, written.places.changelogs[table])
        assert high - low <= records * spans, f"{table}: more than one change for a record and window"


def test_the_process_stops_on_sigterm_without_a_traceback(written: WrittenLog, processes: Processes) -> None:
    written.make()
    settings = {"prefix": written.settings.prefix, "lag__look_s": "0.2"}
    first = processes.lag(**settings)
    first.says("this monitor tells alerts")
    second = processes.lag(**settings)
    second.says("health and metrics on")
    first.kill()
    second.says("this monitor tells alerts")
    second.stop()
    for word in ("Traceback", "aiokafka", "faust", "Heartbeat failed"):
        assert word not in second.log, second.log
