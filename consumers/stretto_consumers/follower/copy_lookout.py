"""Finding out whether somebody holds a lock that a first copy waits for: a thread that asks while nothing is added."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

import psycopg

from stretto_connectors.postgres.blocking import blockers, sessions
from stretto_connectors.postgres.connection import Connection, connect
from stretto_consumers.follower.fit import first_session_name, session_name
from stretto_schemas.errors import StrettoError
from stretto_schemas.settings import Settings

log = logging.getLogger(__name__)

LOOK_S: Final = 0.5
LONG_S: Final = 1.0
"""A copy that goes on adds something more often."""


class CopyLookout:
    """Looks from `start()` to `close()`."""

    def __init__(self, settings: Settings, stands_s: Callable[[], float]) -> None:
        """`stands_s`: for how long nothing has been added."""
        self.blocked_by = ""
        """Who holds the lock, in words; empty: nobody."""
        self._settings = settings
        source = settings.source.name
        self._names = first_session_name(source), session_name(source)
        self._stands_s = stands_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="copy-lookout", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """End; a question that is under way may go on for a moment."""
        self._stop.set()

    def _run(self) -> None:
        conn: Connection | None = None
        try:
            while not self._stop.wait(LOOK_S):
                if self._stands_s() < LONG_S:
                    self.blocked_by = ""
                    continue
                try:
                    conn = conn or self._connect()
                    self.blocked_by = blockers(conn, sessions(conn, *self._names))
                except (StrettoError, psycopg.Error) as error:
                    log.debug("nothing found out: %s", error)
                    self.blocked_by = ""  # who held it may be gone
                    if conn is not None:
                        conn.close()
                    conn = None
        finally:
            if conn is not None:
                conn.close()

    def _connect(self) -> Connection:
        follower = self._settings.follower
        return connect(follower.dsn, follower.password, application="stretto-lookout")
