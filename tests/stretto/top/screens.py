"""A screen of `stretto top` that nobody sees: what stands on it, and keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from textual.events import Key
from textual.pilot import Pilot

from stretto.top.app import Top
from stretto.top.board import Board
from stretto_schemas.settings import Settings

DEADLINE_S = 60.0
LOOK_S = 0.2
STOPPED_S = 2.0
"""A look that waits for a server that is down ends by itself, some seconds later."""


class Screen:
    """One that runs."""

    def __init__(self, top: Top, pilot: Pilot[Any]) -> None:
        self.top = top
        self._pilot = pilot

    @property
    def text(self) -> str:
        """All its lines."""
        strips = self.top.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)

    @property
    def board(self) -> Board:
        """The followers' table."""
        return self.top.screen_stack[0].query_one(Board)

    @property
    def names(self) -> list[str]:
        """Followers in the order in which they are shown."""
        return [str(self.board.get_cell_at((row, 0))) for row in range(self.board.row_count)]  # type: ignore[arg-type]

    async def press(self, *keys: str) -> None:
        """As somebody types."""
        await self._pilot.press(*keys)
        await self._pilot.pause()

    def hammer(self, key: str) -> None:
        """Press it three times before anything is done about the first."""
        for _ in range(3):
            self.top.post_message(Key(key, key))

    async def until(self, there: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
        """Wait for it while the screen lives."""
        by = time.monotonic() + deadline_s
        while not there():
            assert time.monotonic() < by, f"not there after {deadline_s} s:\n{self.text}"
            await self._pilot.pause(0.05)

    async def shows(self, *words: str, deadline_s: float = DEADLINE_S) -> None:
        """Wait until all these stand there."""
        await self.until(lambda: all(word in self.text for word in words), deadline_s)


@asynccontextmanager
async def opened(settings: Settings, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Screen]:
    """A screen that has looked once."""
    quick = settings.model_copy(update={"lag": settings.lag.model_copy(update={"look_s": LOOK_S})})
    top = Top(quick)
    try:
        async with top.run_test(size=size, notifications=True) as pilot:
            screen = Screen(top, pilot)
            await screen.until(lambda: top.look is not None)
            yield screen
    finally:
        await asyncio.to_thread(top.looks.stop, STOPPED_S)
    if top.failure is not None:
        raise top.failure


def play(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene."""

    async def run() -> None:
        await scene()

    asyncio.run(run())
