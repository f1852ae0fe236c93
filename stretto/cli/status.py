"""`stretto status`."""

from __future__ import annotations

import json
import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from stretto.cli.context import Config, load_settings, say

if TYPE_CHECKING:
    from stretto.status.collect import Status


class Format(StrEnum):
    """How a result is printed."""

    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", "-f", help="A table, or JSON: one object a line.")]

WATCH_S = 2.0
"""Seconds between two looks when `-w` does not say."""


class _Command(TyperCommand):
    """`-w` may stand without its seconds: typer has no options whose value may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Fill in the seconds where none follow."""
        given: list[str] = []
        for place, arg in enumerate(args):
            given.append(arg)
            if arg in ("-w", "--watch") and (place + 1 == len(args) or args[place + 1].startswith("-")):
                given.append(str(WATCH_S))
        return super().parse_args(ctx, given)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status", cls=_Command)(status_command)


def status_command(
    ctx: typer.Context,
    config: Config = None,
    watch: Annotated[
        float | None,
        typer.Option(
            "--watch",
            "-w",
            metavar="[SECONDS]",
            min=0.1,
            help=f"Look again every so many seconds; by default {WATCH_S:g}.",
        ),
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Say how far source, log and follower are, and what lies in each stage. Exit code 3 when a server does not answer."""
    from stretto.status.collect import collect

    settings = load_settings(ctx, config)
    if watch is None:
        status = collect(settings)
        _print(status, form)
        if status.problems:
            raise typer.Exit(max(problem.exit_code for problem in status.problems))
        return
    if form is Format.TABLE and sys.stdout.isatty():
        from rich.live import Live

        from stretto.status.table import render

        with Live(render(collect(settings)), refresh_per_second=4) as live:
            while True:
                time.sleep(watch)
                live.update(render(collect(settings)), refresh=True)
    while True:
        _print(collect(settings), form)
        time.sleep(watch)


def _print(status: Status, form: Format) -> None:
    if form is Format.JSON:
        say(json.dumps(status.as_json(), ensure_ascii=False))
        return
    from rich.console import Console

    from stretto.status.table import render

    Console(soft_wrap=not sys.stdout.isatty()).print(render(status))
    sys.stdout.flush()
