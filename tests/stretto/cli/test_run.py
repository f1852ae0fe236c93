"""`stretto run`: signals, health, metrics."""

from __future__ import annotations

import os
import signal

from tests.fix_stack import Database
from tests.stretto.conftest import Cli


def test_capture_serves_health_and_ends_cleanly_on_sigterm(cli: Cli, leader_db: Database) -> None:
    leader_db.execute("create table item(id int primary key)")
    cli.good("init")
    with cli.running("run", "capture") as capture:
        assert "last frontier" in capture.until_ready()
        assert capture.get("/livez")[0] == 200
        assert '"process": "capture"' in capture.get("/status")[2]
        assert capture.get("/nothing")[0] == 404
        _, plain, text = capture.get("/metrics")
        _, open_metrics, _ = capture.get("/metrics", "application/openmetrics-text; version=1.0.0")
        assert plain.startswith("text/plain")
        assert open_metrics.startswith("application/openmetrics-text")
        assert 'stretto_replication_lag_bytes{follower="",source="leader",stage="wal"}' in text
        assert capture.stop(signal.SIGTERM) == 0
        assert "SIGTERM: stopping" in capture.log


def test_ctrl_c_ends_it_cleanly_also_when_it_comes_twice_at_once(cli: Cli) -> None:
    cli.good("init")
    with cli.running("run", "capture") as capture:
        capture.until_ready()
        os.kill(capture.process.pid, signal.SIGINT)
        assert capture.stop(signal.SIGTERM) == 0
        assert "stopped" in capture.log


def test_a_capture_whose_broker_is_not_there_yet_is_alive_but_not_ready(cli: Cli) -> None:
    with cli.running("run", "capture", STRETTO_KAFKA__BOOTSTRAP="127.0.0.1:1") as capture:
        assert capture.get("/livez")[0] == 200
        status, _, why = capture.get("/readyz")
        assert (status, why.partition(":")[0]) == (503, "starting")


def test_the_whole_way_from_init_to_the_followers_rows(cli: Cli, leader_db: Database, follower_db: Database) -> None:
    leader_db.execute("create table item(id int primary key, name text); insert into item values (1, 'before')")
    cli.good("init")
    with cli.running("run", "capture") as capture:
        cli.good("follower", "add")
        with cli.running("run", "follower") as follower:
            capture.until_ready()
            follower.until_ready()
            leader_db.execute("insert into item values (2, 'after')")
            while follower_db.fetch("select * from item order by id") != [(1, "before"), (2, "after")]:
                assert follower.process.poll() is None, follower.log
            assert follower.stop() == 0
