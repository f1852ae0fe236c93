"""Before the load: a leader that already has rows, the pipeline made, the existing rows copied."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psycopg
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stretto.demo import tables
from stretto.demo.stage import Stage
from stretto.progress import show_progress
from stretto_consumers.follower.bootstrap import add_follower
from stretto_producers.source.init import init

SCALE: Final = 10
"""pgbench's: 100,000 accounts each."""
ROWS: Final = 1000
WIDE_ROWS: Final = 200
LOOK_S: Final = 0.2


def fill_leader(stage: Stage, console: Console) -> int:
    """Make and fill all tables. Returns the rows there are now."""
    leader = stage.stack.leader
    if not console.is_terminal:
        tables.create_pgbench_tables(leader.bin_dir, leader.dsn, SCALE)
        _create_others(leader.dsn)
    else:
        with Progress(
            TextColumn("  {task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} rows"),
            TimeElapsedColumn(),
            console=console,
        ) as bars:
            accounts = bars.add_task(f"pgbench, scale {SCALE}", total=SCALE * 100_000)
            watch = _Copied(leader.dsn, lambda rows: bars.update(accounts, completed=rows))
            with watch:
                tables.create_pgbench_tables(leader.bin_dir, leader.dsn, SCALE)
            bars.update(accounts, completed=SCALE * 100_000)
            others = bars.add_task(f"{len(tables.TABLES)} other tables", total=None)
            rows = _create_others(leader.dsn)
            bars.update(others, total=rows, completed=rows)
    with stage.connect_leader() as conn:
        conn.execute("analyze")
        return count_rows(conn)


def make_pipeline(stage: Stage, say: Callable[[str], None]) -> None:
    """What `stretto init` does, with its many topics in one line."""
    topics = 0

    def shorter(line: str) -> None:
        nonlocal topics
        if line.startswith("made:  topic "):
            topics += 1
            return
        if topics:
            say(f"made:  {topics} topics")
            topics = 0
        say(line)

    init(stage.settings, shorter)


def copy_rows(stage: Stage) -> None:
    """What `stretto follower add` does, with its bars."""
    with show_progress() as progress:
        add_follower(stage.settings, progress=progress, pg_bin=stage.stack.leader.bin_dir)


def count_rows(conn: psycopg.Connection[Any]) -> int:
    """Rows of all tables, as of the last `analyze`."""
    row = conn.execute(
        "select coalesce(sum(c.reltuples), 0)::bigint from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind = 'r' and c.reltuples > 0 and n.nspname not in ('pg_catalog', 'information_schema')"
    ).fetchone()
    return int(row[0]) if row else 0


def _create_others(dsn: str) -> int:
    with psycopg.connect(dsn, application_name="stretto demo") as conn:
        tables.create_tables(conn, rows=ROWS, wide_rows=WIDE_ROWS)
        conn.execute("analyze")
        return count_rows(conn) - SCALE * 100_000


class _Copied:
    """Reports how many rows a COPY of another session has taken so far, while the `with` block runs."""

    def __init__(self, dsn: str, report: Callable[[int], None]) -> None:
        self._dsn = dsn
        self._report = report
        self._over = threading.Event()
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> None:
        self._watching = self._pool.submit(self._watch)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watching.result()
        self._pool.shutdown()

    def _watch(self) -> None:
        with psycopg.connect(self._dsn, autocommit=True, application_name="stretto demo") as conn:
            while not self._over.wait(LOOK_S):
                row = conn.execute("select max(tuples_processed) from pg_stat_progress_copy").fetchone()
                if row is not None and row[0]:
                    self._report(row[0])
