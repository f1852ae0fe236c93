"""Run a service until a signal or an error ends it."""

from __future__ import annotations

import gc
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from stretto.process.http import HealthServer
from stretto.process.service import Service
from stretto.process.signals import asked_to_stop, run_in_thread
from stretto.process.statsd.exporter import exporting
from stretto_schemas.errors import SettingsError
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

SAME_LINE_S = 30.0
"""While a broker is away librdkafka says so at every try, many times a second."""


class Seldom(logging.Filter):
    """Lets a line through that was not there for so long; figures in it do not make it another one."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line goes out."""
        line, now = re.sub(r"\d+", "0", record.getMessage()), self._clock()
        if now - self._said.get(line, -self._seconds) < self._seconds:
            return False
        self._said[line] = now
        return True


def start_logging(level: str) -> None:
    """Plain lines to stderr: time in UTC, level, who, what."""
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = _utc
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # librdkafka reports each lost connection in its own words; what matters comes back as an error of the call.
    librdkafka = logging.getLogger("librdkafka")
    librdkafka.setLevel(level if level == "DEBUG" else "ERROR")
    if level != "DEBUG":
        librdkafka.addFilter(Seldom(SAME_LINE_S))


def run_service(service: Service, settings: Settings, *, port_file: Path | None = None) -> None:
    """Run `service` in the foreground with its HTTP server and exporters; return after SIGTERM or SIGINT, once it has ended cleanly.

    The service runs in a thread of its own, so that a signal is taken at once whatever it waits for. A second signal ends
    the process where it stands, which loses nothing: every step of a service may be the last. Raises what `run` raises.
    """
    port, setting = _port(service, settings)
    with (
        asked_to_stop() as stop,
        HealthServer(service, settings.http.host, port, setting=setting) as http,
        exporting(settings),
    ):
        write_port(port_file, http.port)
        log.info("%s: health and metrics on http://%s:%d", service.name, settings.http.host, http.port)
        _calm_collector()
        run_in_thread(service.name, lambda: service.run(stop))
    log.info("%s: stopped", service.name)


def _calm_collector() -> None:
    """Rows are tuples of bytes by the ten thousand and never part of a cycle: looking through them is time lost."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)


def _port(service: Service, settings: Settings) -> tuple[int, str]:
    if service.name == "follower":
        return settings.http.follower_port, "follower_port"
    if service.name == "lag":
        return settings.http.lag_port, "lag_port"
    return settings.http.capture_port, "capture_port"


def write_port(path: Path | None, port: int) -> None:
    """Tell the port in a file, where one is named. Whole or not at all, so that a reader never sees half a number."""
    if path is None:
        return
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        draft.write_text(f"{port}\n")
        draft.replace(path)
    except OSError as error:
        raise SettingsError(
            f"port file {path} cannot be written: {error.strerror or error}", fix="name another one"
        ) from None


def _utc(seconds: float | None) -> time.struct_time:
    return time.gmtime(seconds)
