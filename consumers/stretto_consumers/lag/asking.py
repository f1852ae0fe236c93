"""Questions to many places at the same time, none of which holds the others up.

One rule for all of them: a place from which nothing comes for `PATIENCE_S` does not answer. Each is asked in a thread of its
own, which is left behind then; it is a daemon, so no process waits for it at its end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Final, Generic, TypeVar

T = TypeVar("T")

Heard = Callable[[], None]
"""To be called at each sign of life."""

PATIENCE_S: Final = 3.0
"""Whoever looks once wants to know within a few seconds. What lives says something in less: a login from the other side of the
world takes about two."""


class Question(Generic[T]):
    """A question that is being asked from now on."""

    def __init__(self, ask: Callable[[Heard], T], given_up: Callable[[], T] | None = None) -> None:
        """`ask` tells of signs of life, each of which begins the patience anew.

        `given_up` answers, or raises, when the patience is over; without it `ask` ends by itself, and is waited for.
        """
        self._ask = ask
        self._given_up = given_up
        self._answer: Future[T] = Future()
        self._heard_at = time.monotonic()
        threading.Thread(target=self._run, name="look", daemon=True).start()

    @property
    def under_way(self) -> bool:
        """The place is still being asked."""
        return not self._answer.done()

    def answer(self) -> T:
        """Wait for it. Raises what was raised."""
        while self._given_up is not None and self.under_way:
            left_s = self._heard_at + PATIENCE_S - time.monotonic()
            if left_s <= 0:
                return self._given_up()
            wait([self._answer], left_s)  # a sign of life may come meanwhile
        return self._answer.result()

    def _heard(self) -> None:
        self._heard_at = time.monotonic()

    def _run(self) -> None:
        try:
            self._answer.set_result(self._ask(self._heard))
        except BaseException as error:  # noqa: BLE001 - raised again by whoever waits for the answer
            self._answer.set_exception(error)
