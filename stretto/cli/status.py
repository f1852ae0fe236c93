"""`stretto status`."""

from __future__ import annotations

import sys
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from stretto.cli.context import Config, load_settings, say

if TYPE_CHECKING:
    from stretto_schemas.lag.view import PipelineView


class Format(StrEnum):
    """How a pipeline is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    TSV = "tsv"


WATCH_S = 2.0
"""Seconds between two looks when `-w` does not say."""


PIPED_WIDTH = 1000
"""Columns where no terminal says how many it has: no sentence is broken."""


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
    form: Annotated[
        Format,
        typer.Option(
            "--format", "-f", help="A table; JSON, an object a line; YAML, a document a look; rows with tabs."
        ),
    ] = Format.TABLE,
) -> None:
    """Say how far source, log and followers are, and what lies in each stage. Exit code 3 when a server does not answer."""
    from stretto_consumers.lag.asking import Question
    from stretto_consumers.lag.look import Observer
    from stretto_consumers.lag.shown_alerts import monitors_alerts
    from stretto_consumers.lag.watcher import Watcher

    settings = load_settings(ctx, config)
    with_alerts = form in (Format.JSON, Format.YAML)
    with Observer(settings) as observer:
        watcher = Watcher()

        def look() -> PipelineView:
            alerts = Question(lambda _: monitors_alerts(settings), lambda: None) if with_alerts else None
            view = watcher.observe(observer.look())
            view.alerts = (alerts.answer() if alerts is not None else None) or []
            return view

        if watch is None:
            view = look()
            _print(view, form, head=True)
            if view.problems:
                raise typer.Exit(max(problem.exit_code for problem in view.problems))
            return
        if form is Format.TABLE and sys.stdout.isatty():
            from rich.live import Live

            from stretto.status.table import render

            with Live(render(look()), refresh_per_second=4) as live:
                while True:
                    time.sleep(watch)
                    live.update(render(look()), refresh=True)
        head = True
        while True:
            _print(look(), form, head=head)
            head = False
            time.sleep(watch)


def _print(view: PipelineView, form: Format, *, head: bool) -> None:
    if form is not Format.TABLE:
        from stretto.status import tree

        if form is Format.TSV and head:
            say("\t".join(tree.TSV_HEAD))
        say({Format.JSON: tree.as_json, Format.YAML: tree.as_yaml, Format.TSV: tree.as_tsv}[form](view))
        return
    from rich.console import Console

    from stretto.status.table import render

    if sys.stdout.isatty():
        Console().print(render(view))
        return
    console = Console(width=PIPED_WIDTH)
    with console.capture() as printed:
        console.print(render(view))
    say("\n".join(line.rstrip() for line in printed.get().splitlines()))
