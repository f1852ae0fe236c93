"""The rows of all tables, by several workers that see one snapshot."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

import psycopg

from stretto_connectors.failpoints import failpoint
from stretto_connectors.postgres.copy import Piece, Stopped, copy_piece
from stretto_consumers.follower.add_progress import ProgressSink

Connection = psycopg.Connection[tuple[Any, ...]]


def copy_rows(
    sources: Sequence[Connection], followers: Sequence[Connection], pieces: Sequence[Piece], progress: ProgressSink
) -> int:
    """Copy all pieces, one worker for each pair of sessions, the largest pieces first; return the number of rows.

    The first failure stops all workers and is raised; pieces that were finished stay on the follower.
    """
    waiting = deque(sorted(pieces, key=lambda piece: -piece.size_bytes))
    left = Counter(piece.table.qualified for piece in pieces)
    rows: Counter[str] = Counter()
    lock = threading.Lock()
    stop = threading.Event()

    def work(source: Connection, follower: Connection) -> None:
        while not stop.is_set():
            with lock:
                if not waiting:
                    return
                piece = waiting.popleft()
            name = piece.table.qualified

            def moved(more: int, size: int, name: str = name) -> None:
                failpoint("add.mid_copy")
                progress.copied(name, more, size)

            copied = copy_piece(source, follower, piece, moved, stop.is_set)
            with lock:
                rows[name] += copied
                left[name] -= 1
                whole = left[name] == 0
            if whole:
                progress.finished(name, rows[name])

    with ThreadPoolExecutor(len(sources), thread_name_prefix="copy") as pool:
        try:
            working = [pool.submit(work, *pair) for pair in zip(sources, followers, strict=True)]
            wait(working, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
    failures = [failure for each in working if (failure := each.exception()) is not None]
    for failure in failures:
        if not isinstance(failure, Stopped):
            raise failure
    return rows.total()
