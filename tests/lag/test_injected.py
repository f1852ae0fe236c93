"""Lag that a test makes in one stage is reported as what it is, and in that stage."""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg
import pytest

from stretto.embedded.kafka import EmbeddedKafka
from stretto.embedded.processes import wait_until
from stretto_consumers.lag.look import Observer
from stretto_schemas.lag.stages import holding
from tests.fix_cli import paused
from tests.fix_pipeline import Pipeline
from tests.fix_processes import Processes
from tests.fix_proxy import proxy_to
from tests.lag.conftest import Observe, address
from tests.lag.truth import (
    WITHIN_PART,
    WITHIN_S,
    Beats,
    beating,
    close_to,
    counted_like,
    only,
    reaches,
    seconds,
    stages,
)

INJECTED_S = 4.0
CLOCK_OFF = str(Path(__file__).with_name("clock_off.py"))


def is_reported(observer: Observer, beats: Beats, stage: str) -> None:
    """Three looks, each right in total and in the stage that is named."""
    reaches(observer, INJECTED_S)
    for _ in range(3):
        seen = observer.look()
        found, true = stages(seen), beats.truth(seen.now_us)
        said = seconds(found)
        assert close_to(said["total"], true.lag_s, true.most_s), (said, true)
        assert close_to(said[stage], true.lag_s, true.most_s), (said, true)
        assert holding(found) == stage, said
        assert stage == "wal" or counted_like(seen, true), (found, true)
        assert sum(said[each] for each in ("wal", "capture", "log", "apply")) == pytest.approx(said["total"], abs=0.01)


def is_over(observer: Observer, beats: Beats) -> None:
    """With nothing in the way a look says what is true: what was injected is gone."""

    def quick() -> bool:
        seen = observer.look()
        total_s, true = seconds(stages(seen))["total"], beats.truth(seen.now_us)
        return true.begun and total_s < INJECTED_S / 2 and close_to(total_s, true.lag_s, true.most_s)

    assert wait_until(quick, 60.0)


def test_a_capture_that_stands_still_is_lag_in_wal(beaten: Pipeline, processes: Processes, observe: Observe) -> None:
    capture, follower = processes.both()
    observer = observe(capture, follower)
    with beating(beaten.leader, beaten.follower) as beats:
        is_over(observer, beats)
        with paused(capture.pid):
            is_reported(observer, beats, "wal")
        is_over(observer, beats)


def test_a_broker_that_capture_does_not_reach_is_lag_in_capture(
    beaten: Pipeline, processes: Processes, observe: Observe, kafka: EmbeddedKafka
) -> None:
    with proxy_to(kafka.port, advertised=True) as proxy:
        capture = processes.capture(kafka__bootstrap=f"127.0.0.1:{proxy.port}")
        follower = processes.follower()
        observer = observe(capture, follower)
        with beating(beaten.leader, beaten.follower) as beats:
            is_over(observer, beats)
            proxy.delay_s = 2 * INJECTED_S
            is_reported(observer, beats, "capture")


def test_a_broker_that_the_follower_does_not_reach_is_lag_in_log(
    beaten: Pipeline, processes: Processes, observe: Observe, kafka: EmbeddedKafka
) -> None:
    with proxy_to(kafka.port, advertised=True) as proxy:
        capture = processes.capture()
        follower = processes.follower(kafka__bootstrap=f"127.0.0.1:{proxy.port}")
        observer = observe(capture, follower)
        with beating(beaten.leader, beaten.follower) as beats:
            is_over(observer, beats)
            proxy.delay_s = 3 * INJECTED_S
            is_reported(observer, beats, "log")


def test_a_follower_that_stands_still_is_lag_in_log(beaten: Pipeline, processes: Processes, observe: Observe) -> None:
    capture, follower = processes.both()
    observer = observe(capture, follower)
    with beating(beaten.leader, beaten.follower) as beats:
        is_over(observer, beats)
        with paused(follower.pid):
            is_reported(observer, beats, "log")
        is_over(observer, beats)


def test_a_locked_table_is_lag_in_apply_and_who_holds_it_is_told(
    beaten: Pipeline, processes: Processes, observe: Observe
) -> None:
    capture, follower = processes.both()
    observer = observe(capture, follower)
    with beating(beaten.leader, beaten.follower) as beats:
        is_over(observer, beats)
        with psycopg.connect(beaten.follower.dsn, application_name="nightly report") as holder:
            holder.execute("lock table beats in share mode")  # readers may read, and the truth is read there
            is_reported(observer, beats, "apply")
            [state] = observer.look().followers
            assert state.slow_table == "public.beats"
            assert state.slow_share > 0.9
            assert f"pid {holder.info.backend_pid} (nightly report, idle in transaction" in state.blocked_by
        is_over(observer, beats)
        assert wait_until(lambda: observer.look().followers[0].blocked_by == "", 20.0)


def test_a_restart_does_not_hide_lag(beaten: Pipeline, processes: Processes, observe: Observe) -> None:
    capture, follower = processes.both()
    with beating(beaten.leader, beaten.follower) as beats:
        is_over(observe(capture, follower), beats)
        follower.kill()
        observer = observe(capture)
        is_reported(observer, beats, "log")
        with psycopg.connect(beaten.follower.dsn) as holder:
            holder.execute("lock table beats in share mode")
            observer = observe(capture, processes.follower())
            is_reported(observer, beats, "apply")
        is_over(observer, beats)


def test_a_capture_that_starts_again_behind_a_backlog_does_not_hide_it(
    beaten: Pipeline, processes: Processes, observe: Observe, kafka: EmbeddedKafka
) -> None:
    capture, follower = processes.both()
    with beating(beaten.leader, beaten.follower) as beats:
        is_over(observe(capture, follower), beats)
        capture.kill()
        reaches(observe(None, follower), INJECTED_S)
        with proxy_to(kafka.port, advertised=True) as proxy:
            proxy.delay_s = 0.15  # it takes its time to start, and then to write what it has received
            capture = processes.capture(kafka__bootstrap=f"127.0.0.1:{proxy.port}")
            address(capture)
            observer = observe(capture, follower)

            def received() -> bool:
                seen = observer.look()
                true = beats.truth(seen.now_us)  # it may be less by now than when we looked, not more
                found = seconds(stages(seen))
                assert found["total"] >= true.lag_s - max(WITHIN_S, WITHIN_PART * true.lag_s), (found, true)
                return holding(stages(seen)) == "capture" and true.lag_s > INJECTED_S

            assert wait_until(received, 60.0)
            proxy.delay_s = 0.0
            is_over(observer, beats)


def test_a_pipeline_at_rest_has_no_lag(beaten: Pipeline, processes: Processes, observe: Observe) -> None:
    capture, follower = processes.both()
    observer = observe(capture, follower)
    with beating(beaten.leader, beaten.follower) as beats:
        is_over(observer, beats)
    reached = observer.look().log
    assert reached is not None
    assert wait_until(lambda: (now := observer.look().log) is not None and now.sequence > reached.sequence + 1, 30.0)
    for _ in range(10):
        seen = observer.look()
        assert beats.truth(seen.now_us).lag_s == 0.0
        assert seconds(stages(seen))["total"] < 0.2, stages(seen)


def test_a_capture_that_is_down_is_lag_even_when_nobody_writes(
    beaten: Pipeline, processes: Processes, observe: Observe
) -> None:
    capture, follower = processes.both()
    observer = observe(capture, follower)
    reaching = observer.look()
    assert reaching.log is not None
    capture.kill()
    beaten.leader.execute("select pg_logical_emit_message(true, 'somebody', 'else')")
    found = reaches(observer, INJECTED_S)
    assert holding(found) == "wal", seconds(found)
    # What the follower says without anybody's help: as late as the newest heartbeat, and not for want of reading.
    assert wait_until(
        lambda: (own := observer.look().followers[0].lag)["log"].seconds == 0.0 and own["total"].seconds > 1.0, 20.0
    )
    seen = observer.look()
    assert seen.log is not None
    late_s = (seen.now_us - max(seen.log.heartbeat_us, seen.log.commit_ts_us)) / 1e6
    assert close_to(only(seen).lag["total"].seconds, late_s), (only(seen).lag, late_s)


def test_a_broker_that_stands_still_is_lag_even_when_nobody_writes(
    beaten: Pipeline, processes: Processes, observe: Observe, kafka: EmbeddedKafka
) -> None:
    observer = observe(*processes.both())
    assert wait_until(lambda: (log := observer.look().log) is not None and log.heartbeat_us > 0, 30.0)
    assert kafka.pid is not None
    with paused(kafka.pid):
        found = reaches(observer, INJECTED_S, 60.0)
        assert holding(found) == "capture", seconds(found)


def test_one_huge_transaction_is_as_old_as_its_commit(beaten: Pipeline, processes: Processes, observe: Observe) -> None:
    for database in (beaten.leader, beaten.follower):
        database.execute("create table heap (id bigint primary key, filling text)")
    capture, follower = processes.both()
    observer = observe(capture, follower)
    beaten.leader.execute(
        "insert into heap select i, repeat('x', 100) from generate_series(1, 500000) i;"
        " select pg_logical_emit_message(true, 'end', '')"
    )
    [(committed_us,)] = beaten.leader.fetch("select (extract(epoch from clock_timestamp()) * 1e6)::bigint")
    looks = 0
    while not beaten.follower.fetch("select from heap limit 1"):
        seen = observer.look()
        if beaten.follower.fetch("select from heap limit 1"):
            break
        said = seconds(stages(seen))
        true = (seen.now_us - committed_us) / 1e6
        # WAL is written before its commit: what is not decoded yet may look older than it is, by about a heartbeat.
        assert close_to(said["total"], true) or (true < 2.0 and said["total"] > true), (said, true)
        looks += true >= 2.0
    assert looks >= 2


@pytest.mark.parametrize("off_s", [3600.0, -3600.0], ids=["ahead", "behind"])
def test_a_follower_whose_clock_is_an_hour_off_tells_the_same_lag(
    beaten: Pipeline, processes: Processes, observe: Observe, off_s: float
) -> None:
    capture = processes.capture()
    follower = processes.start([sys.executable, CLOCK_OFF, str(off_s), "run", "follower"])
    observer = observe(capture, follower)
    with beating(beaten.leader, beaten.follower) as beats:
        is_over(observer, beats)
        assert wait_until(lambda: observer.look().followers[0].skew_us is not None, 20.0)
        skew_us = observer.look().followers[0].skew_us
        assert skew_us is not None
        assert abs(skew_us / 1e6 - off_s) < 0.2
        assert observer.look().followers[0].lag["total"].seconds < 0.5
        with psycopg.connect(beaten.follower.dsn) as holder:
            holder.execute("lock table beats in share mode")
            is_reported(observer, beats, "apply")
            seen = observer.look()
            true = beats.truth(seen.now_us)
            assert close_to(only(seen).lag["total"].seconds, true.lag_s, true.most_s)
