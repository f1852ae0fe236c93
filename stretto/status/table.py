"""A pipeline as tables for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stretto_schemas.lag.stages import MEANING, STAGES, StageLag
from stretto_schemas.lag.view import FollowerView, PipelineView, SourceView
from stretto_schemas.lsn import format_lsn

COLOUR = {
    "OK": "green",
    "CATCHING_UP": "cyan",
    "WARNING": "yellow",
    "STALLED": "red",
    "STOPPED": "red",
    "REWOUND": "magenta",
}


def render(view: PipelineView) -> RenderableType:
    """Places, then each follower with its stages, then what is wrong."""
    parts: list[RenderableType] = [_places(view)]
    shown = view.followers
    if len(shown) == 1:
        parts.append(_one(shown[0]))
    elif shown:
        parts.append(_many(shown))
    elif view.sources:
        parts.append(_stages({stage: view.sources[0].lag.get(stage) for stage in ("wal", "capture")}))
    parts += [Text(f"problem: {problem.found}", style="red") for problem in view.problems]
    parts += [Text(f"hint: {hint}", style="yellow") for hint in view.hints]
    if view.unreadable:
        parts.append(
            Text(f"{view.unreadable} records of the watched topics are none and were passed over", style="red")
        )
    return Group(*parts)


def _places(view: PipelineView) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(no_wrap=True)
    table.add_column()
    for source in view.sources:
        _source(table, source)
    for follower in view.followers if len(view.followers) == 1 else ():
        applied = f"{follower.transactions} transactions, {follower.rows} rows applied"
        table.add_row(f"follower {follower.name}", format_lsn(follower.end_lsn), applied)
        table.add_row("  process", follower.state, Text(follower.said))
    return table


def _source(table: Table, source: SourceView) -> None:
    slot = source.slot
    table.add_row(f"source {source.name}", format_lsn(source.wal_lsn) if source.wal_lsn is not None else "?", "")
    if source.wal_lsn is not None:
        said = "not there" if slot is None else f"{'active' if slot.active else 'inactive'}, WAL {slot.wal_status}"
        kept = f", keeps {human_bytes(slot.retained_bytes)}" if slot else ""
        table.add_row("  slot", format_lsn(slot.confirmed_flush_lsn) if slot else "-", said + kept)
    log, sequence = source.frontier_lsn, source.frontier_sequence
    table.add_row("log", format_lsn(log) if log is not None else "-", f"frontier {sequence}" if log is not None else "")
    if source.capture is not None:
        table.add_row("process capture", source.capture.state, Text(source.capture.said))


def _one(follower: FollowerView) -> RenderableType:
    verdict = Text.assemble((follower.status, f"bold {COLOUR.get(follower.status, '')}"), f"  {follower.reason}")
    lines: list[RenderableType] = [_stages(follower.lag), verdict]
    if follower.likely:
        lines.append(Text(f"likely: {follower.likely}"))
    pace = _pace(follower)
    if pace:
        lines.append(Text(pace, style="dim"))
    lines += [Text(f"copying {each.table}: {each.rows:,} of about {each.expected:,} rows") for each in follower.copying]
    return Group(*lines)


def _pace(follower: FollowerView) -> str:
    """Rates, time to catch up, percentiles, on one line."""
    parts = []
    if follower.rows_per_s is not None:
        parts.append(f"{follower.rows_per_s:,.0f} rows/s")
    if follower.catch_up_s is not None and follower.catch_up_s > 0:
        parts.append(f"caught up in {human_seconds(follower.catch_up_s)} ({follower.catch_up_sure:.0%} sure)")
    for window, quantiles in follower.visible.items():
        parts.append(f"last {window} p50 {quantiles.p50 * 1e3:.0f} ms, p99 {quantiles.p99 * 1e3:.0f} ms")
    if follower.skew_s is not None and abs(follower.skew_s) >= 0.5:
        parts.append(
            f"its clock is {human_seconds(abs(follower.skew_s))} {'ahead' if follower.skew_s > 0 else 'behind'}"
        )
    return "; ".join(parts)


def _many(followers: list[FollowerView]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("follower", "status", *STAGES, "rows/s", "stage", "why"):
        table.add_column(name, justify="right" if name in STAGES or name == "rows/s" else "left")
    for each in followers:
        seconds = [f"{lag.seconds:.3f}" if (lag := each.lag.get(stage)) is not None else "?" for stage in STAGES]
        table.add_row(
            Text(each.name),
            Text(each.status, style=COLOUR.get(each.status, "")),
            *seconds,
            f"{each.rows_per_s:,.0f}" if each.rows_per_s is not None else "",
            each.stage,
            Text(each.reason),
        )
    return table


def _stages(stages: dict[str, StageLag | None]) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left")
    for name in ("stage", "bytes", "records", "seconds"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    table.add_column("what lies there")
    for stage in STAGES:
        if stage in stages:
            table.add_row(stage, *_cells(stages[stage]), MEANING[stage], style="bold" if stage == "total" else "")
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


def human_seconds(seconds: float) -> str:
    """`0.3 s`, `12 s`, `4 min`, `3.1 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
