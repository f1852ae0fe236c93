"""`stretto doctor`."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from stretto.cli.context import Config, load_settings, say


class Format(StrEnum):
    """How findings are printed."""

    TABLE = "table"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", "-f", help="A table, or JSON: one object a line.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor_command)


def doctor_command(ctx: typer.Context, config: Config = None, form: FormatOption = Format.TABLE) -> None:
    """Check what would bite. Exit code 1 when a check failed, 3 when a server does not answer."""
    from stretto.doctor.check import exit_code
    from stretto.doctor.examine import examine

    settings = load_settings(ctx, config)
    checks = []
    for check in examine(settings):
        checks.append(check)
        if form is Format.TABLE:
            say(f"{check.level:<4}  {check.where:<8}  {check.name}: {check.said}")
            if check.fix:
                say(f"{'':<16}fix: {check.fix}")
    if form is Format.JSON:
        say(
            json.dumps(
                {"checks": [check.as_json() for check in checks], "exit_code": exit_code(checks)}, ensure_ascii=False
            )
        )
    raise typer.Exit(exit_code(checks))
