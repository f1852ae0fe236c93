"""A status as tables for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stretto.status.collect import Status
from stretto.status.processes import Process
from stretto_schemas.lag.stages import StageLag
from stretto_schemas.lsn import format_lsn

MEANING = {
    "wal": "written, not received",
    "capture": "received, not in Kafka",
    "log": "in Kafka, not read",
    "apply": "read, not committed",
    "total": "written, not visible on the follower",
}


def render(status: Status) -> RenderableType:
    """Places, stages, processes, and what is wrong."""
    parts: list[RenderableType] = [_places(status), _stages(status)]
    parts += [Text(f"problem: {problem.found}", style="red") for problem in status.problems]
    parts += [Text(f"hint: {hint}", style="yellow") for hint in status.hints]
    return Group(*parts)


def _places(status: Status) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(no_wrap=True)
    table.add_column()
    source, slot = status.source, status.source.slot if status.source else None
    table.add_row(f"source {status.source_name}", format_lsn(source.wal_lsn) if source else "?", "")
    if source is not None:
        said = "not there" if slot is None else f"{'active' if slot.active_pid else 'inactive'}, WAL {slot.wal_status}"
        kept = f", keeps {human_bytes(slot.retained_bytes)}" if slot else ""
        table.add_row("  slot", format_lsn(slot.confirmed_flush_lsn) if slot else "-", said + kept)
    frontier, position = status.frontier, status.position
    table.add_row(
        "log", format_lsn(frontier.end_lsn) if frontier else "-", f"frontier {frontier.sequence}" if frontier else ""
    )
    applied = f"{position.transactions} transactions, {position.rows} rows applied" if position else ""
    table.add_row(f"follower {status.follower_name}", format_lsn(position.end_lsn) if position else "-", applied)
    for process in (status.capture, status.follower):
        table.add_row(f"process {process.name}", process.state, _said(process))
    return table


def _said(process: Process) -> Text:
    return Text(process.said)


def _stages(status: Status) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left")
    for name in ("stage", "bytes", "records", "seconds"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    table.add_column("what lies there")
    for stage, lag in status.stages().items():
        table.add_row(stage, *_cells(lag), MEANING[stage], style="bold" if stage == "total" else "")
    return table


def _cells(lag: StageLag | None) -> tuple[str, str, str]:
    if lag is None:
        return "?", "?", "?"
    return human_bytes(lag.bytes), f"{lag.records}" if lag.counted else "?", f"{lag.seconds:.3f}"


def human_bytes(count: int) -> str:
    """`17 B`, `4.2 MB`; powers of 1024, as PostgreSQL's pg_size_pretty counts."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"
