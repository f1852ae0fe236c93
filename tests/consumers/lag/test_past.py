"""What a screen takes over from the lag monitor."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from stretto_consumers.lag.alerts import Alerts
from stretto_consumers.lag.history import History
from stretto_consumers.lag.past import Past, remembered
from stretto_schemas.lag.view import Alert, Point, encode_points
from stretto_schemas.settings import Settings, load

SECOND_US = 1_000_000


@contextmanager
def answering(pages: dict[str, bytes]) -> Iterator[Settings]:
    """Settings of a monitor that answers this."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield load(None, {"STRETTO_HTTP__LAG_ADDRESS": f"127.0.0.1:{server.server_address[1]}"})
        finally:
            server.shutdown()
            thread.join()


def point(at_s: int, seconds: float = 1.0, follower: str = "a") -> Point:
    return Point(at_s * SECOND_US, follower, "shop", {"total": seconds})


def alert(at_s: int, status: str = "STALLED", *, recovered: bool = False, follower: str = "a") -> Alert:
    return Alert("status", follower, "shop", status, "OK", at_s, at_s, recovered, "")


def test_points_and_alerts_are_the_monitors() -> None:
    past = Past([point(1), point(2)], [alert(5)])
    pages = {"/history?since=3600": encode_points(past.points), "/alerts": msgspec.json.encode(past.alerts)}
    with answering(pages) as settings:
        assert remembered(settings, 3600.0) == past


@pytest.mark.parametrize(
    "pages",
    [
        {},
        {"/history?since=60": b"[]"},
        {"/history?since=60": b"<html>", "/alerts": b"[]"},
        {"/history?since=60": b"[[1,2]]", "/alerts": b"[]"},
        {"/history?since=60": b"[]", "/alerts": b'[{"kind":"\xff"}]'},
    ],
    ids=["no pages", "half of them", "no JSON", "other JSON", "no text"],
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


def test_trouble_that_was_told_and_not_ended_goes_on_and_is_not_told_again() -> None:
    told = [alert(30, follower="b"), alert(20), alert(40, recovered=True, status="OK"), alert(10, recovered=True)]
    alerts = Alerts(3.0, Past(alerts=told).alerts_state())
    assert [(each.follower, each.at_us, each.recovered) for each in alerts.listed()] == [
        ("b", 30, False),
        ("a", 40, True),
        ("a", 10, True),
    ]
