"""What watching lag costs: CPU of capture and follower a row, with everything on and with nothing of it, in alternating pairs.

On: the monitor, the web page and a scraper look every second, StatsD and `kafka_consumergroup_lag` are sent and exported, a
budget is set. Off: capture and follower alone. Each drains the same kind of backlog; the CPU is that of capture and follower.
The median of the pairs' ratios is the figure; `cpu_us_per_row` and `rows_per_s` are those with everything on.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPResponse
from typing import Any

from benchmarks.backlog import EVENTS, Load, Measured, backlog, drain_capture, drain_follower
from benchmarks.servers import Pair, Servers, running, servers
from stretto.embedded import ports

SCRAPE_S = 1.0


def measure(repeat: int, scale: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """One result a pair."""
    load = Load.events("mixed", int(10_000 * scale))
    with servers() as box:
        for number in range(repeat):
            order = (True, False) if number % 2 else (False, True)
            both = {on: _drained(box, load, on=on) for on in order}
            with_, without = both[True], both[False]
            yield (
                "mixed",
                {
                    "rows_per_s": with_.rows_per_s,
                    "cpu_us_per_row": with_.cpu_us_per_row,
                    "peer": "nobody looks",
                    "peer_rows_per_s": without.rows_per_s,
                    "peer_cpu_us_per_row": without.cpu_us_per_row,
                    "ratio": with_.rows_per_s / without.rows_per_s,
                    "cpu_ratio": with_.cpu_us_per_row / without.cpu_us_per_row,
                },
            )


def _drained(box: Servers, load: Load, *, on: bool) -> Measured:
    """Capture, then the follower: their CPU together, and the time of both."""
    with backlog(box, EVENTS, load) as made, ExitStack() as stack:
        if on:
            stack.enter_context(_everything_on(made))
        capture = drain_capture(made, load)
        follower = drain_follower(made, load)
    return Measured(load.rows, capture.seconds + follower.seconds, capture.cpu_us_per_row + follower.cpu_us_per_row)


@contextmanager
def _everything_on(made: Pair) -> Iterator[None]:
    taken: dict[str, int] = {}
    for name in ("capture", "follower", "lag", "web"):
        taken[name] = ports.choose(tuple(taken.values()))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as statsd:
        statsd.bind(("127.0.0.1", 0))
        made.environment |= {
            **{f"STRETTO_HTTP__{name.upper()}_PORT": str(port) for name, port in taken.items()},
            "STRETTO_METRICS__STATSD": f"127.0.0.1:{statsd.getsockname()[1]}",
            "STRETTO_METRICS__CONSUMERGROUP_LAG": "true",
            "STRETTO_FOLLOWER__LAG_BUDGET_S": "5",
        }
        watched = [taken[name] for name in ("capture", "follower", "lag")]
        with running(made, "run", "lag"), running(made, "web"), _looking(watched, taken["web"]):
            yield


@contextmanager
def _looking(scraped: list[int], page: int) -> Iterator[None]:
    """What Prometheus does, and a browser that has the page open."""
    stop = threading.Event()

    def scrape() -> None:
        while not stop.wait(SCRAPE_S):
            for port in scraped:
                with contextlib.suppress(OSError):
                    _read(port, "/metrics")

    def browse() -> None:
        while not stop.wait(SCRAPE_S):
            with contextlib.suppress(OSError), _open(page, "/events") as events:
                while not stop.is_set() and events.readline():
                    pass

    threads = [threading.Thread(target=work, name=work.__name__) for work in (scrape, browse)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _open(port: int, path: str) -> HTTPResponse:
    answer = urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5)
    assert isinstance(answer, HTTPResponse)
    return answer


def _read(port: int, path: str) -> None:
    with _open(port, path) as answer:
        answer.read()
