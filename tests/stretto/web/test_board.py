"""The newest look for all browsers."""

from __future__ import annotations

import asyncio
import threading

import pytest

from stretto.embedded.processes import wait_until
from stretto.web import board as module
from stretto.web.board import Board, TooManyBrowsers

SOON_S = 20.0


def test_a_browser_that_comes_later_gets_the_newest_look_at_once() -> None:
    async def watch() -> bytes | None:
        with board.watching() as browser:
            return await browser.next(SOON_S)

    board = Board()
    board.put(b"old")
    board.put(b"new")
    assert asyncio.run(watch()) == b"new"


def test_a_browser_that_is_slow_misses_looks_and_gets_the_newest() -> None:
    async def watch() -> list[bytes | None]:
        with board.watching() as browser:
            got = [await browser.next(SOON_S)]
            for number in range(1000):
                board.put(b"%d" % number)
            return [*got, await browser.next(SOON_S), await browser.next(0.01)]

    board = Board()
    board.put(b"first")
    assert asyncio.run(watch()) == [b"first", b"999", b""]


def test_a_look_that_another_thread_puts_wakes_all_who_wait() -> None:
    async def one() -> bytes | None:
        with board.watching() as browser:
            return await browser.next(SOON_S)

    def look_once_all_watch() -> None:
        assert wait_until(lambda: board.watched_by == 5, SOON_S)
        board.put(b"look")

    async def watch() -> list[bytes | None]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one()) for _ in range(5)]
            await asyncio.to_thread(look_once_all_watch)
        return [task.result() for task in tasks]

    board = Board()
    assert asyncio.run(watch()) == [b"look"] * 5
    assert board.watched_by == 0


def test_at_the_end_all_who_wait_are_let_go() -> None:
    async def watch() -> bytes | None:
        with board.watching() as browser:
            threading.Thread(target=board.close).start()
            return await browser.next(SOON_S)

    board = Board()
    assert asyncio.run(watch()) is None


def test_a_browser_that_left_is_not_woken_although_its_loop_is_gone() -> None:
    async def leave() -> None:
        with board.watching():
            pass

    board = Board()
    asyncio.run(leave())
    board.put(b"look")
    assert board.watched_by == 0


def test_more_browsers_than_are_served_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def watch() -> None:
        with board.watching(), pytest.raises(TooManyBrowsers), board.watching():
            pass

    monkeypatch.setattr(module, "MOST_BROWSERS", 1)
    board = Board()
    asyncio.run(watch())
