"""What the server answers, and what a browser that goes away or reads nothing leaves behind."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import socket
import threading
import time

import pytest

from stretto.embedded.processes import wait_until
from stretto.web.guard import is_local, is_loopback
from stretto.web.serve import listening
from stretto_consumers.lag.past import Past
from stretto_schemas.errors import SettingsError
from stretto_schemas.lag.view import decode_points, decode_view
from tests.stretto.web.made import Made, follower, hour, made, pipeline, told

DEADLINE_S = 30.0


def get(server: Made, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_S)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


class Stream:
    """A browser's connection to /events, without a browser."""

    def __init__(self, server: Made, buffer_bytes: int = 0) -> None:
        self._socket = socket.socket()
        if buffer_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        self._socket.settimeout(DEADLINE_S)
        self._socket.connect(("127.0.0.1", server.port))
        self._socket.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.said = b""

    def until(self, words: bytes) -> bytes:
        """Read until these come; give what came since the last time."""
        seen = 0
        while self.said.find(words, seen) < 0:
            seen = max(0, len(self.said) - len(words))
            more = self._socket.recv(1 << 20)
            assert more, f"ended without {words!r}: {self.said[-300:]!r}"
            self.said += more
        said, self.said = self.said, b""
        return said

    def ended(self) -> bool:
        """Whether the server ends it."""
        while more := self._socket.recv(65_536):
            self.said += more
        return True

    def leave(self) -> None:
        self._socket.close()


def test_every_answer_forbids_what_the_page_does_not_need(server: Made) -> None:
    for path in ("/", "/view", "/readyz", "/nothing"):
        _, headers, _ = get(server, path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers


def test_the_page_is_one_document_whose_style_and_script_are_allowed_by_their_hashes(server: Made) -> None:
    status, headers, page = get(server, "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        found = re.search(rf"<{tag}[^>]*>(.*?)</{tag}>", page, re.DOTALL)
        assert found is not None
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in headers["content-security-policy"]
    assert not re.search(r"(src|href)=\"(?!#|data:|/view|/readyz|/livez)", page), "something is fetched from elsewhere"
    assert not re.search(r"\s(style|on\w+)=\"", page)


def test_nothing_can_be_changed(server: Made) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert get(server, "/view", method)[0] == 405


def test_what_is_not_there_is_answered_in_a_sentence(server: Made) -> None:
    status, _, body = get(server, "/nothing")
    assert (status, body) == (404, "no such page; there are / /view /events /history /livez /readyz\n")


def test_before_the_first_look_it_lives_and_is_not_ready(server: Made) -> None:
    assert get(server, "/livez")[0] == 200
    assert get(server, "/readyz")[::2] == (503, "the first look is not done yet\n")
    assert get(server, "/view")[0] == 503
    server.show(pipeline([follower("a")]))
    assert get(server, "/readyz")[0] == 200
    assert [each.name for each in decode_view(get(server, "/view")[2].encode()).followers] == ["a"]


def test_a_name_that_somebody_let_point_here_is_not_answered(server: Made) -> None:
    status, _, body = get(server, "/view", Host="attacker.example")
    assert status == 421
    assert "fix: " in body
    for host in ("localhost", f"127.0.0.1:{server.port}", "[::1]:80"):
        assert get(server, "/livez", Host=host)[0] == 200, host


def test_hosts_are_told_apart() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [True] * 4
    assert [is_loopback(host) for host in ("192.168.0.1", "::", "10.0.0.1", "web", "")] == [False] * 5
    assert [is_local(host) for host in ("", "localhost.evil.example", "evil.example:9191", "127.0.0.1.evil")] == [
        False
    ] * 4


def test_the_past_hour_of_one_follower_is_told(server: Made) -> None:
    now_us = time.time_ns() // 1000
    with made(Past(hour(now_us)), alerts=told(now_us)) as seeded:
        points = decode_points(get(seeded, "/history?follower=europe&source=shop")[2].encode())
        assert {point.follower for point in points} == {"europe"}
        assert 1000 < len(points) <= 1200
        assert sorted(points, key=lambda point: point.at_us) == points
        seeded.show(pipeline([follower("warehouse", "STALLED"), follower("reporting", "STOPPED")]))
        alerts = decode_view(get(seeded, "/view")[2].encode()).alerts
        assert [(alert.follower, alert.kind, alert.recovered) for alert in alerts] == [
            ("warehouse", "budget", False),
            ("warehouse", "status", False),
            ("reporting", "status", False),
            ("warehouse", "status", True),
            ("warehouse", "budget", True),
        ]
    assert get(server, "/history?follower=nobody&source=shop")[2] == "[]"
    for query in ("", "?follower=a", "?follower=a&source=b&since=1"):
        status, _, body = get(server, f"/history{query}")
        assert status == 400
        assert "expected: /history?follower=NAME&source=NAME" in body


def test_looks_come_by_themselves_each_as_one_event(server: Made) -> None:
    server.show(pipeline([follower("first")]))
    stream = Stream(server)
    said = stream.until(b"}\n\n")
    assert b"content-type: text/event-stream" in said
    server.show(pipeline([follower("second")]))
    said = stream.until(b"}\n\n")
    event = re.search(rb"event: view\ndata: (.*)\n", said)
    assert event is not None
    assert json.loads(event[1])["followers"][0]["name"] == "second"
    stream.leave()


def test_without_a_look_a_browser_hears_that_the_server_lives(server: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stretto.web.site.BEAT_S", 0.2)
    stream = Stream(server)
    assert b"view" not in stream.until(b"event: beat\n").partition(b"a view with each look")[2]
    stream.leave()


def test_browsers_that_go_away_leave_nothing_behind(server: Made) -> None:
    server.show(pipeline([follower("a")]))
    before = threading.active_count()
    streams = [Stream(server) for _ in range(30)]
    for stream in streams:
        stream.until(b"}\n\n")
    assert server.board.watched_by == 30
    assert threading.active_count() == before, "a browser has no thread"
    for stream in streams:
        stream.leave()
    assert wait_until(lambda: server.board.watched_by == 0, DEADLINE_S)


def test_a_browser_that_reads_nothing_holds_up_nobody_and_gets_the_newest_later(server: Made) -> None:
    many = pipeline([follower(f"f{number}") for number in range(100)])
    server.show(many)
    stuck, quick = Stream(server, buffer_bytes=4096), Stream(server)
    for number in range(100):
        server.show(pipeline([*many.followers, follower(f"look{number}")]))
        quick.until(b'"look%d"' % number)
    said = stuck.until(b'"look99"')
    assert said.count(b"event: view") < 60, "what it had no room for was kept for it"
    stuck.leave()
    quick.leave()


def test_when_the_server_ends_no_stream_and_no_thread_is_left() -> None:
    before = set(threading.enumerate())
    with made() as server:
        server.show(pipeline([follower("a")]))
        stream = Stream(server)
        stream.until(b"}\n\n")
    assert stream.ended()
    stream.leave()
    left = {thread for thread in threading.enumerate() if thread not in before and "AnyIO" not in thread.name}
    assert left == set()


def test_too_many_browsers_are_asked_to_come_again(server: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stretto.web.board.MOST_BROWSERS", 0)
    status, headers, _ = get(server, "/events")
    assert (status, headers["retry-after"]) == (503, "10")


def test_a_port_that_is_taken_is_told_with_the_setting(server: Made) -> None:
    with pytest.raises(SettingsError, match="web_port") as error, listening("127.0.0.1", server.port):
        pass
    assert f"cannot listen on 127.0.0.1:{server.port}" in error.value.found
