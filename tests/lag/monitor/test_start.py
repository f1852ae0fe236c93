"""What a monitor meets when it starts, and what it answers."""

from __future__ import annotations

import time

import aiokafka.codec
import pytest

from stretto_consumers.lag.monitor.monitor import Monitor
from stretto_consumers.lag.monitor.tables import KEPT_S
from stretto_schemas.errors import SettingsError
from stretto_schemas.lag.view import Point, encode_points
from tests.lag.monitor.fix_log import WrittenLog


def test_it_waits_for_topics_says_so_and_begins_by_itself(written: WrittenLog) -> None:
    monitor = written.monitor()
    monitor.until(lambda it: "is not there yet" in str(it.monitor.summary()["last_error"]), "word of what is missing")
    status, why = monitor.get("/readyz")
    assert status == 503
    assert written.places.transactions.encode() in why
    assert monitor.get("/livez")[0] == 200
    monitor.until(lambda it: it.json("/status")["hints"], "what to do next")
    written.make()
    monitor.running()
    monitor.until(lambda it: it.get("/readyz")[0] == 200, "readiness")
    assert monitor.json("/status")["followers"] == []
    assert monitor.json("/windows") == {
        "lag": {"minute": [], "five_minutes": []},
        "flow": {"minute": [], "five_minutes": []},
    }


def test_each_follower_is_as_fresh_as_its_own_records_may_be_old(written: WrittenLog) -> None:
    """Neither says anything again; what the monitor's own settings say of a follower's records is of no weight."""
    end_lsn = 1 << 50  # beyond all WAL, so nothing waits
    written.make()
    written.frontier(end_lsn)
    written.flush()
    monitor = written.monitor().running()
    monitor.until(lambda it: it.get("/readyz")[0] == 200, "readiness")
    written.follower("seldom", end_lsn, 1, every_s=3600.0)
    written.flush()

    def heard_s(name: str) -> float:
        return max(
            (each["heard_s"] for each in monitor.json("/status")["followers"] if each["name"] == name), default=0.0
        )

    long_s = 2 * written.settings.follower.publish_s + 0.5
    monitor.until(lambda _: heard_s("seldom") > long_s, "silence")
    assert monitor.get("/readyz?max_lag=1s")[0] == 200
    written.follower("often", end_lsn, 1, every_s=0.2)
    written.flush()
    monitor.until(lambda it: it.get("/readyz?max_lag=1s")[0] == 503, "follower that is late")
    status, why = monitor.get("/readyz?max_lag=1s")
    assert (status, b"although heartbeats do every 0.2 s" in why) == (503, True), why
    assert b"follower often: nothing came for " in why


def test_its_views_show_the_lag_and_refuse_what_makes_no_sense(written: WrittenLog) -> None:
    written.make()
    written.frontier(200, ago_s=60)
    written.follower("near", 100, 1)
    written.flush()
    monitor = written.monitor().running()
    monitor.until(lambda it: it.json("/history?since=60&follower=near"), "points")
    [*_, (_, follower, source, seconds, _)] = monitor.json("/history?since=60")
    assert (follower, source) == ("near", "leader")
    assert seconds["total"] >= 60
    assert monitor.json("/history?follower=far") == []
    monitor.until(lambda it: it.json("/windows?follower=near")["lag"]["minute"], "windows of lag")
    [row, *_] = monitor.json("/windows?since=600")["lag"]["five_minutes"]
    assert row["max"]["total"] >= row["mean"]["total"] >= 60
    assert row["looks"] > 1
    for path in (
        "/history?since=soon",
        "/history?since=-1",
        "/history?since=nan",
        "/history?since=1e9",
        "/history?sinse=60",
        "/windows?follower",
        "/alerts?most=0",
        "/alerts?most=2.5",
        "/alerts?most=" + "9" * 5_000,
        "/history?since=" + "9" * 5_000,
    ):
        status, why = monitor.get(path)
        assert (status, b"expected: " in why) == (400, True), (path, why)
        assert len(why) < 300
    page = monitor.get("/")[1].decode()
    assert "near" in page
    assert b'stretto_lag_status{follower="near",source="leader",status="OK"}' in monitor.get("/metrics")[1]


def test_the_history_begins_with_windows_of_looks_that_another_process_took(written: WrittenLog) -> None:
    written.make()
    written.make_with_own_times(written.places.points)
    ago_s = time.time() - 600
    looks = [Point(int(ago_s * 1e6), "near", "leader", {"total": seconds}) for seconds in (10.0, 20.0)]
    written.send(written.places.points, encode_points(looks), at_s=ago_s)
    written.flush()
    monitor = written.monitor().running()
    monitor.until(lambda it: it.json("/history?since=1200"), "history")
    [(at_us, follower, source, seconds, _)] = monitor.json("/history?since=1200")
    assert (follower, source, seconds) == ("near", "leader", {"total": 15.0})
    assert abs(at_us / 1e6 - ago_s) <= 60
    assert monitor.json("/history?since=120") == []


def test_topics_that_go_back_for_days_are_read_from_what_windows_keep(written: WrittenLog) -> None:
    found = written.places
    written.make_with_own_times(*found.watched)
    for _ in range(50):
        written.send(found.transactions, b"so old that nobody reads it", at_s=time.time() - 2 * KEPT_S)
    written.frontier(100)
    written.frontier(200)
    written.flush()
    monitor = written.monitor().running()
    monitor.until(lambda it: it.flow()["rows"] == 1, "the frontiers of today")
    assert monitor.monitor.summary()["unreadable_here"] == 0


def test_a_codec_that_it_cannot_read_is_said_at_once(written: WrittenLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiokafka.codec, "cramjam", None)
    kafka = written.settings.kafka.model_copy(update={"compression": "lz4"})
    with pytest.raises(SettingsError, match="lz4") as refused:
        Monitor(written.settings.model_copy(update={"kafka": kafka}))
    assert refused.value.exit_code == 2
    assert "cramjam" in refused.value.found
    assert "stretto[lag]" in refused.value.fix
