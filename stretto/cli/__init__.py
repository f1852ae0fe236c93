"""The command line, `stretto`."""

from __future__ import annotations

import sys
from typing import Annotated, NoReturn

import typer

from stretto import __version__
from stretto.cli import config as config_command
from stretto.cli import demo, doctor, follower, lag, run, source, stack, status, top, verify, web
from stretto.cli.context import Config, Globals
from stretto_schemas.errors import StrettoError

__all__ = ["app", "main"]

app = typer.Typer(
    name="stretto",
    help="Change data capture from PostgreSQL through Kafka to followers that are never far behind.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _globals(
    ctx: typer.Context,
    config: Config = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")] = False,
    _asked: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    ctx.obj = Globals(config=config, debug=debug)


for _group in (stack, source, run, follower, status, top, lag, web, doctor, demo, verify, config_command):
    _group.register(app)


def main() -> NoReturn:
    """Run the command line. Exit codes: 0 ok, 1 check failed, 2 usage, 3 unreachable, 4 halted to protect data."""
    try:
        app()
    except StrettoError as error:
        _fail(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        if _refused_option(error):
            _fail(
                f"librdkafka refuses the settings: {error.args[0].str()}\nfix: correct section [kafka] and its `options`"
            )
            sys.exit(2)
        _fail(
            f"unexpected {type(error).__name__}: {error}\nfix: run it again as `stretto --debug ...` and report what it prints"
        )
        sys.exit(1)
    sys.exit(0)


def _refused_option(error: Exception) -> bool:
    """True when a Kafka client was not even made, for an option of the settings is wrong."""
    kafka = sys.modules.get("confluent_kafka")  # not imported for this: most commands never need it
    if kafka is None or not isinstance(error, kafka.KafkaException):
        return False
    return bool(error.args[0].code() == kafka.KafkaError._INVALID_ARG)  # noqa: SLF001  (its name in librdkafka)


def _fail(text: str) -> None:
    first, *rest = text.splitlines() or [""]
    sys.stdout.flush()
    sys.stderr.write("\n".join([f"error: {first}", *(f"  {line}" for line in rest)]) + "\n")
