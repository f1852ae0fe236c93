"""`stretto config show` and `stretto config reference`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from stretto.cli.context import Config, load_settings, say, settings_path


class Format(StrEnum):
    """How settings are printed."""

    TOML = "toml"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="The settings in force, and what there is to set.")
    group.command("show")(show_command)
    group.command("reference")(reference_command)
    app.add_typer(group, name="config")


def show_command(
    ctx: typer.Context,
    config: Config = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="How to print them.")] = Format.TOML,
) -> None:
    """Print the settings in force: file, environment and defaults together, secrets masked."""
    from stretto.settings.show import as_json, as_toml

    settings = load_settings(ctx, config)
    if form is Format.JSON:
        say(as_json(settings))
        return
    path = settings_path(ctx, config)
    say(f"# from {path} and the environment" if path else "# from the environment and defaults")
    say(as_toml(settings))


def reference_command() -> None:
    """Print what there is to set, as in docs/settings.md."""
    from stretto.settings.reference import reference

    say(reference().rstrip("\n"))
