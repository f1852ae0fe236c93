"""How far `stretto follower add` is, on a terminal as bars and elsewhere as lines."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from stretto_consumers.follower.add_progress import PlannedTable, ProgressSink

LINE_EVERY_S: Final = 5.0
"""Without a terminal, a table under way is mentioned this often."""


class Lines:
    """Plain lines on standard output."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, int] = {}
        self._said = time.monotonic()

    def stage(self, text: str) -> None:
        """Print the stage."""
        self._say(text)

    def note(self, text: str) -> None:
        """Print the note, indented."""
        self._say(f"  {text}")

    def waiting(self, text: str) -> None:
        """Print it as a note."""
        self.note(text)

    def planned(self, tables: Sequence[PlannedTable]) -> None:
        """Nothing: `finished` prints each table."""

    def copied(self, table: str, rows: int, text_bytes: int) -> None:  # noqa: ARG002 - the bars show bytes
        """Now and then, print where the table is."""
        with self._lock:
            total = self._rows[table] = self._rows.get(table, 0) + rows
            if time.monotonic() - self._said < LINE_EVERY_S:
                return
            self._said = time.monotonic()
        self._say(f"  {table}: {total:,} rows so far")

    def finished(self, table: str, rows: int) -> None:
        """Print the table and its rows."""
        self._say(f"  {table}: {rows:,} rows")

    def _say(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


class Bars:
    """One bar a table. A bar's length goes by the server's estimate of rows, which may be wrong."""

    def __init__(self, console: Console, progress: Progress) -> None:
        self._lock = threading.Lock()
        self._console = console
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._moved: dict[str, int] = {}
        self._rows: dict[str, int] = {}

    def stage(self, text: str) -> None:
        """Print the stage above the bars."""
        self._console.print(f"[bold]{text}[/bold]", highlight=False)

    def note(self, text: str) -> None:
        """Print the note above the bars."""
        self._console.print(f"  {text}", highlight=False, markup=False)

    def waiting(self, text: str) -> None:
        """Print it as a note."""
        self.note(text)

    def planned(self, tables: Sequence[PlannedTable]) -> None:
        """Draw the bars, largest table first."""
        for table in sorted(tables, key=lambda each: -each.size_bytes):
            self._tasks[table.name] = self._progress.add_task(table.name, total=table.rows or None, rows=0, moved="")

    def copied(self, table: str, rows: int, text_bytes: int) -> None:
        """Move the bar."""
        with self._lock:  # several workers may share a table
            moved = self._moved[table] = self._moved.get(table, 0) + text_bytes
            total = self._rows[table] = self._rows.get(table, 0) + rows
        self._progress.update(self._tasks[table], completed=total, rows=total, moved=f"{moved / 1e6:,.0f} MB")

    def finished(self, table: str, rows: int) -> None:
        """Fill the bar."""
        shown = max(rows, 1)  # a bar of nothing would stay empty
        self._progress.update(self._tasks[table], completed=shown, total=shown, rows=rows)


@contextmanager
def show_progress() -> Iterator[ProgressSink]:
    """Bars where standard output is a terminal, lines elsewhere."""
    console = Console()
    if not console.is_terminal:
        yield Lines()
        return
    with bars(console) as sink:
        yield sink


@contextmanager
def bars(console: Console) -> Iterator[ProgressSink]:
    """Bars on this console; they stay when the block ends."""
    with Progress(
        TextColumn("  {task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TextColumn("{task.fields[moved]}"),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        yield Bars(console, progress)
