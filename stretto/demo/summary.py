"""The demo's result: what was written, how far behind the follower was, what was killed, whether all is equal."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stretto.demo.compare import Comparison, Difference, TableComparison
from stretto.demo.scene import Event, LoadCounts, clock
from stretto.demo.watch import Look
from stretto_schemas.lag.stages import StageLag
from stretto_schemas.lag.words import size


@dataclass(frozen=True)
class Lags:
    """Total lag over the load: of each measure by itself the median and the peak over all looks."""

    median: StageLag
    peak: StageLag

    @classmethod
    def of(cls, looks: Sequence[Look]) -> Lags:
        """Over the looks, of which there is at least one."""
        series = [[getattr(look.total, measure) for look in looks] for measure in ("bytes", "records", "seconds")]
        median = [statistics.median(values) for values in series]
        peak = [max(values) for values in series]
        return cls(
            StageLag(int(median[0]), int(median[1]), float(median[2])),
            StageLag(int(peak[0]), int(peak[1]), float(peak[2])),
        )


@dataclass(frozen=True)
class Summary:
    """All of it. `killed` are the events of the kills, with what they were seen to have hit."""

    load_s: float
    counts: LoadCounts
    first_rows: int
    last: Look
    lags: Lags
    killed: Sequence[Event]
    caught_up_s: float
    comparison: Comparison
    compare_s: float
    differences: Sequence[tuple[TableComparison, Sequence[Difference]]] = ()

    @property
    def equal(self) -> bool:
        """Whether leader and follower hold the same rows."""
        return self.comparison.equal


def render_summary(summary: Summary) -> RenderableType:
    """The comparison by table, then the summary."""
    return Group(_compared(summary), Text(), _facts(summary))


def _compared(summary: Summary) -> RenderableType:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("table", "leader", "follower", ""):
        table.add_column(name, justify="right" if name in ("leader", "follower") else "left", no_wrap=True)
    found = {each.name: rows for each, rows in summary.differences}
    for each in summary.comparison.tables:
        name = each.table if each.schema == "public" else f"{each.schema}.{each.table}"
        verdict = Text("equal", "green") if each.equal else Text("DIFFERENT", "bold red")
        table.add_row(Text(name), *_rows(each), verdict)
        for row in found.get(each.name, ()):
            columns = f": {', '.join(row.columns)}" if row.columns else ""
            table.add_row("", "", "", Text(f"{row.kind} {row.key or row.leader_place or row.follower_place}{columns}"))
    return table


def _rows(each: TableComparison) -> tuple[str, str]:
    leader, follower = (f"{side.rows:,}" if side else "no such table" for side in (each.leader, each.follower))
    return leader, follower


def _facts(summary: Summary) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    counts, last, lags = summary.counts, summary.last, summary.lags
    grid.add_row(
        "load",
        f"{counts.transactions:,} transactions, {counts.rows:,} rows in {summary.load_s:.0f} s,"
        f" onto {summary.first_rows:,} rows that were there before",
    )
    grid.add_row(
        "Kafka",
        f"{last.log.transactions:,} transactions (those that changed rows), {last.log.records:,} records"
        " (cascades and tombstones too)",
    )
    grid.add_row("follower", f"{last.follower.transactions:,} transactions, {last.follower.rows:,} records applied")
    grid.add_row("median lag", _lag(lags.median))
    grid.add_row("peak lag", _lag(lags.peak))
    for number, event in enumerate(summary.killed):
        grid.add_row("killed" if number == 0 else "", f"{clock(event.at_s)} {event.text}")
    grid.add_row("caught up", f"{summary.caught_up_s:.1f} s after the load's end")
    comparison = summary.comparison
    differing = len(comparison.differing)
    verdict = (
        Text.assemble(("equal", "bold green"), f": {len(comparison.tables)} tables, {comparison.rows:,} rows")
        if summary.equal
        else Text.assemble(("NOT EQUAL", "bold red"), f": {differing} of {len(comparison.tables)} tables differ")
    )
    verdict.append(f", by checksums of whole rows' text, in {summary.compare_s:.1f} s")
    grid.add_row("databases", verdict)
    return grid


def _lag(lag: StageLag) -> str:
    return f"{lag.seconds:.3f} s, {lag.records:,} records, {size(lag.bytes)}"
