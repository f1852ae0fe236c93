"""The capture process: sessions, one after another, until it is told to stop or going on would lose data."""

from __future__ import annotations

import logging
import secrets
import threading

import psycopg

from stretto_connectors.postgres.connection import explain, where
from stretto_connectors.prometheus import LagCollector, SourceCollector
from stretto_producers.capture.progress import Progress
from stretto_producers.capture.session import Session
from stretto_schemas.errors import StrettoError
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.2


class Capture:
    """Captures one source into Kafka. One active process per source: a second one fences the first."""

    name = "capture"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._progress = Progress(settings.source.name, settings.http.ready_stale_s)
        self.status = self._progress.status
        LagCollector.register(settings.source.name, "", self._progress.lag)
        SourceCollector.register(settings.source.name, self._progress.safe_wal_bytes, self._progress.skew_s)

    def ready(self, max_lag_s: float | None = None) -> tuple[bool, str]:
        """Whether it makes progress and, when `max_lag_s` is given, everything up to so long ago is in Kafka."""
        good, why = self._progress.ready()
        if max_lag_s is None or not good:
            return good, why
        return self._progress.fresh(max_lag_s, self._settings.capture.heartbeat_s)

    def run(self, stop: threading.Event) -> None:
        """Capture until `stop` is set. Servers that do not answer are waited for; raises what waiting does not heal."""
        pause_s, again, instance = FIRST_PAUSE_S, False, secrets.token_hex(8)
        while not stop.is_set():
            try:
                with Session(self._settings, self._progress, instance, again=again) as session:
                    session.open()
                    pause_s = FIRST_PAUSE_S
                    session.run(stop)
            except StrettoError as error:
                failure = error
            except psycopg.Error as error:
                failure = explain(error, where(self._settings.source.dsn))
            else:
                return
            if not failure.retryable:
                raise failure
            log.warning("%s; trying again in %.1f s", failure.found, pause_s)
            self._progress.restarting(failure.found)
            del failure  # its traceback would keep the old session's clients
            again = again or self._progress.sequence >= 0
            stop.wait(pause_s)
            pause_s = min(pause_s * 2, self._settings.capture.retry_max_s)
