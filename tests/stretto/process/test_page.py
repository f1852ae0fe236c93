"""The page at `/`, and the container's health check, over real HTTP."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPConnection

import pytest
from prometheus_client import REGISTRY

from stretto.process.healthcheck import check
from stretto.process.http import HealthServer
from stretto.process.page import flat, render
from stretto_schemas import metrics


class Toy:
    """A service whose answers the test sets."""

    name = "capture"

    def __init__(self) -> None:
        self.answer = (True, "last frontier 0.2 s ago")
        self.status: Callable[[], dict[str, object]] = lambda: {
            "source": "<leader>",
            "lag": {"wal_bytes": 12345678, "seconds": 0.25},
            "tables": [],
            "last_error": None,
        }

    def ready(self, max_lag_s: float | None = None) -> tuple[bool, str]:
        return self.answer if max_lag_s is None else (max_lag_s >= 5, f"asked for {max_lag_s} s")

    def run(self, stop: threading.Event) -> None:
        stop.wait()


@pytest.fixture
def toy() -> Toy:
    return Toy()


@pytest.fixture
def server(toy: Toy) -> Iterator[HealthServer]:
    with HealthServer(toy, "127.0.0.1", 0, setting="capture_port") as server:
        yield server


def test_a_tree_becomes_lines_that_a_person_reads() -> None:
    assert dict(flat(Toy().status())) == {
        "source": "<leader>",
        "lag wal bytes": "12,345,678",
        "lag seconds": "0.250",
        "tables": "none",
        "last error": "none",
    }


def test_the_page_says_what_status_says_and_quotes_it(server: HealthServer, toy: Toy) -> None:
    def page() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=10) as answer:
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            text: str = answer.read().decode()
            return text

    text = page()
    assert "<strong>ready</strong>: last frontier 0.2 s ago" in text
    assert "12,345,678" in text
    assert "&lt;leader&gt;" in text
    assert "<leader>" not in text
    toy.answer = (False, "starting: no <session> yet")
    assert "<strong>not ready</strong>: starting: no &lt;session&gt; yet" in page()


def test_nothing_is_fetched_from_elsewhere() -> None:
    text = render("capture", Toy().status(), (True, "x"))
    assert "http:" not in text
    assert "https:" not in text
    assert "<script" not in text


def test_the_health_check_says_what_readyz_says(server: HealthServer, toy: Toy) -> None:
    assert check(server.port) == (True, "last frontier 0.2 s ago")
    toy.answer = (False, "starting: no session yet")
    assert check(server.port) == (False, "starting: no session yet")
    done = subprocess.run(
        [sys.executable, "-m", "stretto.process.healthcheck", str(server.port)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "starting: no session yet\n")


def test_readiness_is_also_a_metric_while_it_is_served(toy: Toy) -> None:
    with HealthServer(toy, "127.0.0.1", 0, setting="capture_port"):
        assert REGISTRY.get_sample_value(metrics.READY.name, {"process": "capture"}) == 1
        toy.answer = (False, "starting: no session yet")
        assert REGISTRY.get_sample_value(metrics.READY.name, {"process": "capture"}) == 0
    assert REGISTRY.get_sample_value(metrics.READY.name, {"process": "capture"}) is None


def test_the_health_check_of_a_process_that_does_not_listen() -> None:
    with HealthServer(Toy(), "127.0.0.1", 0, setting="capture_port") as server:
        port = server.port
    good, said = check(port)
    assert not good
    assert said.startswith(f"nothing answers on port {port}: ")


def asked(server: HealthServer, page: str, method: str = "GET") -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, page)
        answer = connection.getresponse()
        assert answer.headers["Content-Length"] is not None
        return answer.status, answer.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("query", "status", "seconds"),
    [("5s", 200, "5.0"), ("2m", 200, "120.0"), ("1h", 200, "3600.0"), ("7", 200, "7.0"), ("500ms", 503, "0.5")],
)
def test_readiness_by_lag_is_asked_in_the_units_of_the_query(
    server: HealthServer, query: str, status: int, seconds: str
) -> None:
    assert asked(server, f"/readyz?max_lag={query}") == (status, f"asked for {seconds} s\n")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("max_lag=soon", "max_lag is 'soon', which is no duration"),
        ("max_lag=", "max_lag is '', which is no duration"),
        ("max_lag", "max_lag is '', which is no duration"),
        ("max_lag=-5s", "max_lag is '-5s', which is no duration"),
        ("max_lag=%ff%00", "which is no duration"),
        ("max_lag=5s&max_lag=6s", "max_lag is given 2 times"),
        ("maxlag=5s", "there is no parameter 'maxlag'"),
        ("max_lag=5s&other=1", "there is no parameter 'other'"),
        ("a&b&c&d&e&f&g&h&i&j", "more than 8 parameters"),
        ("max_lag=" + "9" * 500, "which is no duration"),
    ],
)
def test_a_query_that_is_wrong_is_answered_400_with_what_is_allowed(
    server: HealthServer, query: str, words: str
) -> None:
    status, said = asked(server, f"/readyz?{query}")
    assert status == 400
    assert words in said
    assert "expected: " in said
    assert len(said) < 300


def test_head_has_the_status_and_no_body(server: HealthServer, toy: Toy) -> None:
    assert asked(server, "/readyz?max_lag=5s", "HEAD") == (200, "")
    assert asked(server, "/readyz?max_lag=1s", "HEAD") == (503, "")
    assert asked(server, "/readyz?max_lag=x", "HEAD") == (400, "")
    toy.answer = (False, "starting")
    assert asked(server, "/readyz", "HEAD") == (503, "")


def test_a_page_that_cannot_be_made_is_answered_in_a_sentence_and_logged_once(
    server: HealthServer, toy: Toy, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> dict[str, object]:
        raise ZeroDivisionError("no looks were taken")

    toy.status = broken
    with caplog.at_level("INFO"):
        for path in ("/status", "/status?a", "/status"):
            status, said = asked(server, path)
            assert (status, said) == (500, "this page cannot be made now; the log of this process says why\n")
        assert asked(server, "/livez") == (200, "ok\n"), "the others are"
    assert caplog.messages == ["page /status cannot be made: ZeroDivisionError: no looks were taken"]
    assert all(record.exc_info is None for record in caplog.records)
