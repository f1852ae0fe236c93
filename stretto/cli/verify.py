"""`stretto verify`."""

from __future__ import annotations

import enum
import json
from typing import Annotated

import typer

from stretto.cli.context import Config, load_settings, say
from stretto_consumers.verify.report import TableReport

SHOWN = 20
"""Differences of one table that are printed."""


class Format(enum.StrEnum):
    """How the answer is printed."""

    TABLE = "table"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify_command)


def verify_command(
    ctx: typer.Context,
    tables: Annotated[
        list[str] | None, typer.Argument(metavar="[SCHEMA.TABLE]...", help="Only these; default: all published tables.")
    ] = None,
    config: Config = None,
    show_keys: Annotated[
        bool, typer.Option("--show-keys", help="Print the keys of rows that differ: they are values of cells.")
    ] = False,
    wait_s: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", help="How long to wait for the follower.")
    ] = 30.0,
    output: Annotated[Format, typer.Option("--format", "-f", help="table or json.")] = Format.TABLE,
) -> None:
    """Compare leader and follower row by row, by checksums, while writes go on. Exit code 1 when they are not equal."""
    from stretto_consumers.verify import verify

    def line(report: TableReport) -> None:
        if output is Format.TABLE:
            for text in lines(report, show_keys=show_keys):
                say(text)

    report = verify(load_settings(ctx, config), tables or None, wait_s=wait_s, done=line)
    if output is Format.JSON:
        say(json.dumps({"equal": report.equal, "tables": [t.as_json(show_keys=show_keys) for t in report.tables]}))
    else:
        say(f"{len(report.tables)} tables: " + ("equal" if report.equal else f"{len(report.differing)} not equal"))
    if not report.equal:
        raise typer.Exit(1)


def lines(report: TableReport, *, show_keys: bool) -> list[str]:
    """A table's result for people."""
    if report.problem:
        return [f"{report.qualified}: {report.problem}"]
    counts = [
        f"{count:,} {what}"
        for count, what in (
            (report.missing, "missing on the follower"),
            (report.surplus, "only on the follower"),
            (report.changed, "with other values"),
            (report.undecided, "changed whenever they were looked at: verify again when they rest"),
        )
        if count
    ]
    found = [f"{report.qualified}: {report.rows:,} rows, " + (", ".join(counts) or "equal")]
    for each in report.differences[:SHOWN]:
        shown = f"key ({', '.join(each.key)})" if show_keys else f"key hash {each.key_hash}"
        found.append(f"  {each.kind}: {shown}")
    if len(report.differences) > SHOWN:
        found.append("  ...")
    return found
