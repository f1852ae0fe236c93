"""The monitor's windows over a log written by hand: what counts, what does not, and what outlives its process."""

from __future__ import annotations

import time
from typing import Any

from prometheus_client import REGISTRY

from stretto_schemas.lag.view import Point, encode_points
from tests.lag.monitor.fix_log import SOURCE, Served, WrittenLog


def test_windows_count_what_the_frontiers_and_the_followers_say(written: WrittenLog) -> None:
    written.make()
    monitor = written.monitor().running()
    for number in range(1, 5):
        written.frontier(number * 100, rows=3, topics=2)
        written.follower("near", number * 100, number * 6)
    written.flush()
    # the first record of each is where counting begins
    monitor.until(lambda it: it.flow()["rows"] == 18, "rows of three frontiers")
    assert monitor.flow() == {"rows": 18, "transactions": 3, "wal_bytes": 300}
    monitor.until(lambda it: it.flow("near")["rows"] == 18, "rows of the follower")
    assert monitor.flow("near")["wal_bytes"] == 300
    flow = monitor.json("/windows?follower=near")["flow"]["minute"]
    assert {row["follower"] for row in flow} == {"near"}
    assert monitor.json(f"/windows?follower={SOURCE}")["flow"]["minute"] == [], "the source is no follower"


def test_a_restart_goes_on_with_the_windows_and_counts_nothing_twice(written: WrittenLog) -> None:
    written.make()
    monitor = written.monitor().running()
    for number in range(1, 4):
        written.frontier(number * 100)
    looks = [Point(time.time_ns() // 1000, "gone", SOURCE, {"total": seconds}) for seconds in (7.0, 9.0)]
    written.send(written.places.points, encode_points(looks))
    written.flush()
    monitor.until(lambda it: it.flow()["rows"] == 2, "rows")
    monitor.until(lambda it: _lag(it, "gone"), "a window of lag")
    before = _lag(monitor, "gone")
    assert [(row["looks"], row["max"], row["last"]) for row in before] == [(2, {"total": 9.0}, {"total": 9.0})]
    monitor.stop()
    again = written.monitor().running()
    assert again.flow()["rows"] == 2
    assert _lag(again, "gone") == before
    written.frontier(400)
    written.flush()
    again.until(lambda it: it.flow()["rows"] == 3, "the row that came after the restart")


def test_records_that_are_none_are_counted_and_passed_over(written: WrittenLog) -> None:
    written.make()
    written.send(written.places.transactions, b"\x00\xff garbage")
    written.send(written.places.followers, b"garbage", b"near/leader")
    written.send(written.places.followers, b'{"follower": 7}', b"\xff\xfe")
    monitor = written.monitor().running()
    written.frontier(100)
    written.send(written.places.transactions, None)
    written.frontier(200)
    written.flush()
    monitor.until(lambda it: it.flow()["rows"] == 1, "the frontier behind them")
    monitor.until(lambda it: it.json("/status")["unreadable"] >= 4, "count of what could not be read")
    for topic in (written.places.transactions, written.places.followers):
        counted = REGISTRY.get_sample_value("stretto_lag_unreadable_records_total", {"topic": topic})
        assert counted == 2, topic


def test_a_follower_that_was_removed_is_forgotten_and_one_of_its_name_begins_anew(written: WrittenLog) -> None:
    written.make()
    monitor = written.monitor().running()
    written.follower("near", 100, 10)
    written.flush()
    monitor.until(_named, "the follower")
    written.follower("near", 200, 20)
    written.flush()
    monitor.until(lambda it: it.flow("near")["rows"] == 10, "its rows")
    written.remove("near")
    written.flush()
    monitor.until(lambda it: not it.json("/status")["followers"], "view without it")
    written.follower("near", 300, 1_000)
    written.flush()
    monitor.until(lambda it: it.json("/status")["followers"], "the new one")
    written.follower("near", 300, 1_005)
    written.flush()
    monitor.until(lambda it: it.flow("near")["rows"] == 15, "its rows")


def test_a_follower_whose_clock_is_an_hour_off_is_counted_in_the_present(written: WrittenLog) -> None:
    written.make()
    monitor = written.monitor().running()
    hour_us = 3_600_000_000
    written.frontier(100)
    written.frontier(200)
    for rows in (1, 2):
        an_hour_ahead = time.time_ns() // 1000 + hour_us
        written.follower("near", rows * 100, rows, skew_us=hour_us, published_us=an_hour_ahead)
    written.flush()
    monitor.until(_named, "the follower")
    monitor.until(lambda it: it.flow("near")["rows"] == 1, "its rows")
    monitor.until(lambda it: it.flow()["rows"] == 1, "the source's rows")
    ends = {row["end_s"] for row in monitor.json("/windows")["flow"]["minute"]}
    assert max(ends) - min(ends) <= 60
    [view] = monitor.json("/status")["followers"]
    assert view["lag"]["log"]["seconds"] == view["lag"]["apply"]["seconds"] == 0


def _lag(monitor: Served, follower: str) -> list[dict[str, Any]]:
    """Its minute windows."""
    rows: list[dict[str, Any]] = monitor.json(f"/windows?follower={follower}")["lag"]["minute"]
    return rows


def _named(monitor: Served) -> bool:
    return bool(monitor.json("/status")["followers"])
