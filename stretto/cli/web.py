"""`stretto web`."""

from __future__ import annotations

import typer

from stretto.cli.context import Config, load_settings
from stretto.cli.run import PortFile


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("web")(web_command)


def web_command(ctx: typer.Context, config: Config = None, port_file: PortFile = None) -> None:
    """Serve a page that shows the pipeline and its lag, live, until SIGTERM or SIGINT."""
    from stretto.process.foreground import start_logging
    from stretto_schemas.errors import UsageError

    try:
        from stretto.web.serve import run_web
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the page needs a package that is not installed: {error.name}", fix="pip install 'stretto[lag]'"
        ) from None
    settings = load_settings(ctx, config)
    start_logging(settings.log.level)
    run_web(settings, port_file=port_file)
