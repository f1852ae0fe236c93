"""A thread that sends a process's metrics to StatsD every few seconds."""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

from prometheus_client import REGISTRY, CollectorRegistry

from stretto.process.statsd.aliases import aliases
from stretto.process.statsd.lines import datagrams, line
from stretto.process.statsd.reading import Deltas, readings
from stretto.process.statsd.sender import Sender
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

LAST_S = 2.0
"""How long the end of a process waits for the last datagrams."""


class Exporter:
    """Sends while the `with` block runs: at once, every `statsd_every_s`, and a last time at its end."""

    def __init__(self, settings: Settings, host: str, port: int, registry: CollectorRegistry = REGISTRY) -> None:
        self._settings = settings
        self._registry = registry
        self._sender = Sender(host, port)
        self._deltas = Deltas()
        self._failed = False
        """It has been told that a round failed."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="statsd", daemon=True)

    def __enter__(self) -> Exporter:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(LAST_S)  # it may be looking up a name, which nothing cuts short

    def _run(self) -> None:
        self._round()
        while not self._stop.wait(self._settings.metrics.statsd_every_s):
            self._round()
        self._round()
        self.close()

    def _round(self) -> None:
        """One round, or none: metrics that cannot be read now may be in the next one, and no process ends for them."""
        try:
            self.send()
        except Exception as error:  # noqa: BLE001 - the last resort: a thread that ends says nothing ever after
            level = logging.DEBUG if self._failed else logging.WARNING
            log.log(level, "metrics cannot be read for StatsD: %s: %s", type(error).__name__, error)
            self._failed = True

    def close(self) -> None:
        """Give the socket back."""
        self._sender.close()

    def send(self) -> None:
        """One round. What counters grew by is sent again in the next one when it could not be sent in this."""
        flavor = self._settings.metrics.statsd_flavor
        now = list(readings(self._registry.collect()))
        told = self._deltas.of(now)
        if flavor == "datadog":
            told += aliases(now, self._settings)
        if self._sender.send(datagrams(line(each, flavor) for each in told)):
            self._deltas.sent(now)


def exporting(settings: Settings) -> AbstractContextManager[object]:
    """The exporter that the settings ask for; nothing where they name no listener."""
    listener = settings.metrics.listener
    return Exporter(settings, *listener) if listener is not None else nullcontext()
