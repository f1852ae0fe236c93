"""`stretto run capture`, `stretto run follower` and `stretto run lag`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stretto.cli.context import Config, load_settings

PortFile = Annotated[
    Path | None,
    typer.Option("--port-file", metavar="FILE", help="Write the HTTP server's port to this file once it listens."),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Run a process in the foreground, until SIGTERM or SIGINT.")
    group.command("capture")(capture_command)
    group.command("follower")(follower_command)
    group.command("lag")(lag_command)
    app.add_typer(group, name="run")


def capture_command(ctx: typer.Context, config: Config = None, port_file: PortFile = None) -> None:
    """Capture the source's WAL into Kafka."""
    from stretto.process.foreground import run_service, start_logging
    from stretto_producers.capture.capture import Capture

    settings = load_settings(ctx, config)
    start_logging(settings.log.level)
    run_service(Capture(settings), settings, port_file=port_file)


def follower_command(ctx: typer.Context, config: Config = None, port_file: PortFile = None) -> None:
    """Apply what is in Kafka to the follower."""
    from stretto.process.foreground import run_service, start_logging
    from stretto_consumers.follower.follower import Follower

    settings = load_settings(ctx, config)
    start_logging(settings.log.level)
    run_service(Follower(settings), settings, port_file=port_file)


def lag_command(ctx: typer.Context, config: Config = None, port_file: PortFile = None) -> None:
    """Watch the lag of all followers, keep windows of it, and tell when something changes."""
    from stretto.process.foreground import run_service, start_logging
    from stretto_schemas.errors import SettingsError

    try:
        from stretto_consumers.lag.monitor.monitor import Monitor
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"the lag monitor needs a package that is not installed: {error.name}", fix="pip install 'stretto[lag]'"
        ) from None
    settings = load_settings(ctx, config)
    start_logging(settings.log.level)
    run_service(Monitor(settings), settings, port_file=port_file)
