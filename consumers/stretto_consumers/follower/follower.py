"""The follower process: sessions, one after another, until it is told to stop or going on would lose data."""

from __future__ import annotations

import logging
import threading

import psycopg

from stretto_connectors.postgres.connection import explain, where
from stretto_connectors.prometheus import LagCollector
from stretto_consumers.follower.progress import Progress
from stretto_consumers.follower.session import Session
from stretto_schemas.errors import StrettoError
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.2


class Follower:
    """Keeps one database equal to a source. Several may run on one name: one applies, the others stand by."""

    name = "follower"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._progress = Progress(settings.source.name, settings.follower.name, settings.http.ready_stale_s)
        self.status = self._progress.status
        self.ready = self._progress.ready
        LagCollector.register(settings.source.name, settings.follower.name, self._progress.lag)

    def run(self, stop: threading.Event) -> None:
        """Apply until `stop` is set. Servers that do not answer are waited for; raises what waiting does not heal."""
        pause_s = FIRST_PAUSE_S
        while not stop.is_set():
            try:
                with Session(self._settings, self._progress) as session:
                    if not session.open(stop):
                        return
                    pause_s = FIRST_PAUSE_S
                    session.run(stop)
            except StrettoError as error:
                failure = error
            except psycopg.OperationalError as error:
                failure = explain(error, where(self._settings.follower.dsn))
            else:
                return
            if not failure.retryable:
                raise failure
            log.warning("%s; trying again in %.1f s", failure.found, pause_s)
            self._progress.restarting(failure.found)
            stop.wait(pause_s)
            pause_s = min(pause_s * 2, self._settings.follower.retry_max_s)
