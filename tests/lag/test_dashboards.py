"""The dashboards on a Prometheus that scrapes real processes: no panel is dead. In containers: test_compose.py."""

from __future__ import annotations

from pathlib import Path

from stretto.embedded.processes import wait_until
from tests.fix_pipeline import Pipeline
from tests.fix_processes import Processes
from tests.lag.conftest import address
from tests.lag.prometheus import prometheus
from tests.lag.truth import TABLE, beating
from tests.panels import asked, empty, panels

SCRAPED_S = 90.0
"""Rates need two scrapes, a slope needs looks, and the machine may be busy."""


def test_every_panel_shows_something_where_everything_is_on(
    pipeline: Pipeline, processes: Processes, tmp_path: Path, prometheus_programs: dict[str, str]
) -> None:
    program = prometheus_programs["prometheus"]
    pipeline.leader.execute("alter system set max_slot_wal_keep_size = '4GB'")
    pipeline.leader.execute("select pg_reload_conf()")
    try:
        for database in (pipeline.leader, pipeline.follower):
            database.execute(TABLE)
        pipeline.begin()
        capture, follower = processes.both(follower__lag_budget_s="30")
        lag = processes.lag(http__capture_address=address(capture), http__follower_address=address(follower))
        targets = {"capture": address(capture), "follower": address(follower), "lag": address(lag)}
        with beating(pipeline.leader, pipeline.follower), prometheus(program, tmp_path, targets) as server:
            shown = panels()
            assert wait_until(lambda: not empty(server, shown, "15s"), SCRAPED_S), empty(server, shown, "15s")
            firing = {each["labels"]["alertname"] for each in asked(server, "alerts")["alerts"]}
            assert not firing
            rules = [each for group in asked(server, "rules")["groups"] for each in group["rules"]]
            assert {each["health"] for each in rules} == {"ok"}
    finally:
        pipeline.leader.execute("alter system reset max_slot_wal_keep_size")
        pipeline.leader.execute("select pg_reload_conf()")
