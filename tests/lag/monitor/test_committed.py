"""A frontier counts once its Kafka transaction is committed, and never before."""

from __future__ import annotations

import signal

from stretto.embedded.processes import wait_until
from stretto_connectors.kafka.reader import decode, read_range, watermarks
from stretto_consumers.lag.monitor.places import places
from stretto_schemas.frontier import Frontier
from stretto_schemas.settings import Settings
from tests.fix_pipeline import Pipeline
from tests.fix_processes import Processes
from tests.lag.monitor.fix_log import DEADLINE_S, Served


def _transactions(settings: Settings, *, uncommitted: bool) -> list[int]:
    """How many source transactions each of the topic's frontiers lists."""
    topic = places(settings).transactions
    low, high = watermarks(settings.kafka, topic)
    records = [
        decode(message.value(), topic, message.offset() or 0)
        for message in read_range(settings.kafka, topic, 0, low, high, uncommitted=uncommitted)
    ]
    return [len(record.transactions) for record in records if isinstance(record, Frontier)]


def test_frontiers_of_a_capture_that_was_killed_before_its_commit_are_not_counted(
    pipeline: Pipeline, processes: Processes
) -> None:
    settings, leader = pipeline.settings, pipeline.leader
    leader.execute("create table written (id bigint generated always as identity primary key)")
    pipeline.begin()
    monitor = Served(settings).start()
    try:
        monitor.running()
        capture = processes.capture("capture.after_frontier:4")

        def killed() -> bool:
            leader.execute("insert into written default values")
            return not capture.running

        assert wait_until(killed, DEADLINE_S), capture.log
        assert capture.exit_code() == -signal.SIGKILL
        *committed, open_ = _transactions(
            settings, uncommitted=True
        )  # a reader of committed ones still waits for the last
        assert open_ > 0, "nothing lies there that could be counted wrongly"
        monitor.until(lambda it: it.flow()["transactions"] == sum(committed), "all that is committed")
        processes.capture()
        leader.execute("insert into written default values")
        [(rows,)] = leader.fetch("select count(*) from written")
        monitor.until(lambda it: it.flow()["rows"] >= rows, "each row")
        assert monitor.flow()["rows"] == rows
        counted = monitor.flow()["transactions"]
        assert counted == sum(_transactions(settings, uncommitted=False))
        assert counted + open_ == sum(_transactions(settings, uncommitted=True)), (
            "who reads all counts the aborted one too"
        )
    finally:
        monitor.stop()
