"""What a screen takes over from the lag monitor."""

from __future__ import annotations

import pytest

from stretto_consumers.lag.history import History
from stretto_consumers.lag.past import Past, remembered
from stretto_schemas.lag.view import Point, encode_points
from stretto_schemas.settings import load
from tests.consumers.lag.answering import answering

SECOND_US = 1_000_000


def point(at_s: int, seconds: float = 1.0, follower: str = "a") -> Point:
    return Point(at_s * SECOND_US, follower, "shop", {"total": seconds})


def test_points_are_the_monitors() -> None:
    past = Past([point(1), point(2)])
    with answering({"/history?since=3600": encode_points(past.points)}) as settings:
        assert remembered(settings, 3600.0) == past


@pytest.mark.parametrize(
    "pages",
    [{}, {"/history?since=60": b"<html>"}, {"/history?since=60": b"[[1,2]]"}, {"/history?since=60": b'["\xff"]'}],
    ids=["no page", "no JSON", "other JSON", "no text"],
)
def test_who_answers_something_else_is_no_monitor(pages: dict[str, bytes]) -> None:
    with answering(pages) as settings:
        assert remembered(settings, 60.0) == Past()


def test_without_a_monitor_there_is_no_past() -> None:
    assert remembered(load(None, {"STRETTO_HTTP__LAG_ADDRESS": "127.0.0.1:1"}), 60.0) == Past()
    assert remembered(load(None, {"STRETTO_HTTP__LAG_PORT": "0"}), 60.0) == Past()


def test_its_points_lie_in_a_history_where_they_were() -> None:
    history = History()
    points = [point(at_s, at_s / 8) for at_s in range(1000, 1060)]
    Past([*reversed(points), point(1061)]).fill(history, at=77.0, at_us=1060 * SECOND_US)
    assert history.since(1030 * SECOND_US) == points[30:], "not the one that is yet to come"
