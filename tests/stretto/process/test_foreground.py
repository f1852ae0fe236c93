"""A service in the foreground, without any server."""

from __future__ import annotations

import logging
import os
import signal
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from stretto.embedded.processes import wait_until
from stretto.process.foreground import Seldom, run_service
from stretto_schemas.errors import Fenced
from stretto_schemas.settings import Settings, load

SETTINGS: Settings = load(None, {"STRETTO_HTTP__CAPTURE_PORT": "0"})


class Toy:
    """A service whose `run` is the test's."""

    name = "capture"

    def __init__(self, run: Callable[[threading.Event], None]) -> None:
        self._run = run
        self.status: Callable[[], dict[str, object]] = lambda: {"process": "capture"}

    def ready(self, max_lag_s: float | None = None) -> tuple[bool, str]:
        return False, "not yet" if max_lag_s is None else "not fresh"

    def run(self, stop: threading.Event) -> None:
        self._run(stop)


def test_a_signal_stops_the_service_and_its_handler_goes_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    stopped = []

    def run(stop: threading.Event) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        stopped.append(stop.wait(10))

    run_service(Toy(run), SETTINGS)
    assert stopped == [True]
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_the_service_raises_ends_the_process() -> None:
    def run(_: threading.Event) -> None:
        raise Fenced("another one took over")

    with pytest.raises(Fenced, match="another one took over"):
        run_service(Toy(run), SETTINGS)


def test_a_service_that_is_not_ready_answers_503_with_the_reason(tmp_path: Path) -> None:
    answers: list[tuple[int, str]] = []

    def run(_: threading.Event) -> None:
        assert wait_until((tmp_path / "port").exists, 10.0)
        url = f"http://127.0.0.1:{(tmp_path / 'port').read_text().strip()}/readyz"
        try:
            urllib.request.urlopen(url, timeout=10)
        except urllib.error.HTTPError as error:
            with error:
                answers.append((error.code, error.read().decode()))

    run_service(Toy(run), SETTINGS, port_file=tmp_path / "port")
    assert answers == [(503, "not yet\n")]


def test_a_line_that_says_the_same_comes_seldom() -> None:
    now = [0.0]
    seldom = Seldom(30.0, lambda: now[0])

    def passes(text: str) -> bool:
        return bool(seldom.filter(logging.LogRecord("librdkafka", logging.ERROR, "", 0, text, (), None)))

    assert passes("kafka:9092 does not resolve (after 2ms)")
    assert not passes("kafka:9092 does not resolve (after 17ms)")
    assert passes("kafka:9092 refuses")
    now[0] = 30.0
    assert passes("kafka:9092 does not resolve (after 3ms)")
    assert not passes("kafka:9092 does not resolve (after 3ms)")
