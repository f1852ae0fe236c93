"""Work that runs until SIGTERM or SIGINT."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)

SAME_REQUEST_S = 1.0
"""A signal to a process group often comes twice, straight and passed on by a supervisor: that asks once."""


@contextmanager
def asked_to_stop() -> Iterator[threading.Event]:
    """The event that the first signal sets while the block runs; a second one ends the process where it stands."""
    stop = threading.Event()
    asked: list[float] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if stop.is_set():
            if now - asked[0] > SAME_REQUEST_S:
                os._exit(128 + number)
            return
        asked.append(now)
        log.info("%s: stopping", signal.Signals(number).name)
        stop.set()

    before = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_in_thread(name: str, work: Callable[[], None]) -> None:
    """Run `work` in a thread and wait for it, so that a signal is taken at once whatever it waits for. Raises what it raises."""
    ended = threading.Event()
    failure: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  (raised again by the main thread)
            failure.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    while not ended.wait(1.0):  # a bounded wait, for an unbounded one keeps signal handlers from running
        pass
    thread.join()
    if failure:
        raise failure[0]
