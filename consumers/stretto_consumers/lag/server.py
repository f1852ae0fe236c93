"""A PostgreSQL server that is asked the same thing at each look, over one session.

One thread asks at a time. A server that does not answer may keep its thread; then the next one waits for it, and the session
that the first one opens, or the answer that sets it free, serves those that come later.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, NoReturn, TypeVar

from pydantic import SecretStr

from stretto_connectors.postgres.connection import Connection, connect, no_answer, where
from stretto_connectors.postgres.server import refusals
from stretto_consumers.lag.asking import PATIENCE_S, Heard, Question
from stretto_schemas.errors import StrettoError

T = TypeVar("T")


class Server(Generic[T]):
    """Any thread may ask and close."""

    def __init__(
        self, dsn: SecretStr, password: SecretStr | None, query: Callable[[Connection], T], doing: str
    ) -> None:
        """`doing` says in words what `query` does."""
        self._dsn = dsn
        self._password = password
        self._query = query
        self._doing = doing
        self._conn: Connection | None = None
        self._busy = threading.Lock()
        self._left = False

    def ask(self) -> Question[T]:
        """Ask over the session of the time before, or over a new one when that is gone.

        The answer raises Unreachable or SettingsError.
        """
        return Question(self._take_turn, self._given_up)

    def close(self) -> None:
        """Leave the server, at once or as soon as it lets go of who asks. Never blocks."""
        self._left = True
        if self._busy.acquire(blocking=False):
            self._drop()
            self._busy.release()

    def _take_turn(self, heard: Heard) -> T:
        if not self._busy.acquire(timeout=PATIENCE_S):
            return self._given_up()
        try:
            return self._ask(heard)
        finally:
            self._busy.release()
            if self._left:
                self.close()

    def _given_up(self) -> NoReturn:
        raise no_answer(where(self._dsn), f"nothing came from it for {PATIENCE_S:g} s")

    def _ask(self, heard: Heard) -> T:
        if self._conn is not None and not self._conn.closed:
            with suppress(StrettoError):
                return self._answer(self._conn)
        self._conn = connect(self._dsn, self._password, application="stretto-status")
        heard()
        return self._answer(self._conn)

    def _answer(self, conn: Connection) -> T:
        try:
            with refusals(where(self._dsn), self._doing):
                return self._query(conn)
        except StrettoError:
            self._drop()
            raise

    def _drop(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None
