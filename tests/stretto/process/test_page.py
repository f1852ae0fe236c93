"""The page at `/`, and the container's health check, over real HTTP."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator

import pytest

from stretto.process.healthcheck import check
from stretto.process.http import HealthServer
from stretto.process.page import flat, render


class Toy:
    """A service whose answers the test sets."""

    name = "capture"

    def __init__(self) -> None:
        self.answer = (True, "last frontier 0.2 s ago")
        self.ready: Callable[[], tuple[bool, str]] = lambda: self.answer
        self.status: Callable[[], dict[str, object]] = lambda: {
            "source": "<leader>",
            "lag": {"wal_bytes": 12345678, "seconds": 0.25},
            "tables": [],
            "last_error": None,
        }

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


def test_the_health_check_of_a_process_that_does_not_listen() -> None:
    with HealthServer(Toy(), "127.0.0.1", 0, setting="capture_port") as server:
        port = server.port
    good, said = check(port)
    assert not good
    assert said.startswith(f"nothing answers on port {port}: ")
