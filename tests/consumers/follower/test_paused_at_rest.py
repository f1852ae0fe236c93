"""A paused follower at rest goes on hearing that time goes by, so that it knows when something waits."""

from __future__ import annotations

import threading

import pytest

from stretto.embedded.processes import wait_until
from stretto_consumers.follower import log
from stretto_consumers.follower.control import pause, resume
from stretto_consumers.follower.progress import Progress
from stretto_consumers.follower.session import Session
from stretto_producers.capture.capture import Capture
from tests.fix_pipeline import Pipeline


def test_heartbeats_neither_fill_its_memory_nor_hide_what_comes_after_them(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "FRONTIERS_AHEAD", 4)
    for database in (pipeline.leader, pipeline.follower):
        database.execute("create table t (id int primary key)")
    pipeline.begin()
    often = pipeline.settings.capture.model_copy(update={"heartbeat_s": 0.05, "full_frontier_s": 0.2})
    settings = pipeline.settings.model_copy(update={"capture": often})
    pause(settings, None)
    stop = threading.Event()
    progress = Progress(settings)
    with Session(settings, progress) as session:
        assert session.open(stop)
        accounting = session._log
        assert accounting is not None
        threads = [
            threading.Thread(target=run, args=(stop,), daemon=True) for run in (Capture(settings).run, session.run)
        ]
        for thread in threads:
            thread.start()

        def heard() -> int:
            newest = accounting.newest
            return newest.sequence if newest is not None else 0

        try:
            many = heard() + 8
            assert wait_until(lambda: heard() > many, 30.0), heard()
            assert accounting.frontiers_ahead <= 4
            pipeline.leader.execute("insert into t values (1)")
            assert wait_until(lambda: accounting.waiting_records == 1, 10.0)
            assert progress.lag()["total"].seconds > 0
            assert pipeline.follower.fetch("select from t") == []
            resume(settings)
            assert wait_until(lambda: pipeline.follower.fetch("select id from t") == [(1,)], 10.0)
        finally:
            stop.set()
            for thread in threads:
                thread.join(30.0)
        assert not any(thread.is_alive() for thread in threads)
