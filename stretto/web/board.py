"""The newest look, for all browsers: no queue, so that one that reads slowly misses looks and holds up nobody.

One thread puts looks; each browser waits in an event loop. What is put is bytes, made once however many browsers there are.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

MOST_BROWSERS: Final = 100
"""Each holds a connection and up to a look's bytes; far more than a team has open."""


class TooManyBrowsers(Exception):
    """No more can be served now."""


class Board:
    """What was looked at last, and who watches."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._newest = b""
        self._number = 0
        self._closed = False
        self._browsers: set[Browser] = set()

    @property
    def newest(self) -> bytes:
        """Empty before the first look."""
        return self._newest

    @property
    def watched_by(self) -> int:
        """How many browsers there are."""
        return len(self._browsers)

    def put(self, look: bytes) -> None:
        """A newer look. Any thread; never waits for a browser."""
        with self._lock:
            self._newest = look
            self._number += 1
            browsers = list(self._browsers)
        for browser in browsers:
            browser.wake()

    def close(self) -> None:
        """Let all browsers go, and the ones that come later at once."""
        with self._lock:
            self._closed = True
            browsers = list(self._browsers)
        for browser in browsers:
            browser.wake()

    @contextmanager
    def watching(self) -> Iterator[Browser]:
        """A browser while the block runs, in an event loop. Raises TooManyBrowsers."""
        with self._lock:
            if len(self._browsers) >= MOST_BROWSERS:
                raise TooManyBrowsers
            browser = Browser(self, asyncio.get_running_loop())
            self._browsers.add(browser)
        try:
            yield browser
        finally:
            with self._lock:
                self._browsers.discard(browser)

    def read(self) -> tuple[int, bytes, bool]:
        """Number of the newest look, the look, and whether there will be none any more."""
        with self._lock:
            return self._number, self._newest, self._closed


class Browser:
    """One that watches a board."""

    def __init__(self, board: Board, loop: asyncio.AbstractEventLoop) -> None:
        self._board = board
        self._loop = loop
        self._woken = asyncio.Event()
        self._has = 0

    def wake(self) -> None:
        """Something is new. Any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def next(self, within_s: float) -> bytes | None:
        """The newest look once it is another than the last one given; empty when none came in time, None at the end."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    self._woken.clear()
                    number, look, closed = self._board.read()
                    if closed:
                        return None
                    if number > self._has:
                        self._has = number
                        return look
                    await self._woken.wait()
        except TimeoutError:
            return b""
