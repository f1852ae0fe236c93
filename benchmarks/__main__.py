"""`scripts/bench NAME [--json]`: measure, beside a peer, on servers of its own."""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import sys
from typing import Any

from rich.console import Console
from rich.table import Table

NAMES = {
    "capture": "a backlog from the slot into Kafka, beside pg_recvlogical",
    "apply": "a backlog from Kafka into the follower, beside PostgreSQL's own subscription",
    "latency": "commit to visible at fixed rates",
    "memory": "peak memory of both processes over one transaction of 1,000,000 rows",
    "lag": "what watching lag costs capture and follower, in alternating pairs",
    "size": "bytes a row in the WAL of both servers and in Kafka",
}


def main() -> int:
    """Run one benchmark and print its cases: medians over the repetitions."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("name", choices=NAMES, help="; ".join(f"{name}: {what}" for name, what in NAMES.items()))
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="runs of each case (default: 3)")
    parser.add_argument("--scale", type=float, default=1.0, metavar="F", help="part of the full size, to try it out")
    given = parser.parse_args()
    if given.repeat < 1 or given.scale <= 0:
        parser.error("--repeat wants 1 or more, --scale more than 0")
    module = importlib.import_module(f"benchmarks.{given.name}")
    runs: dict[str, list[dict[str, Any]]] = {}
    for case, figures in module.measure(given.repeat, given.scale):
        print(f"{case}: {json.dumps(figures)}", file=sys.stderr, flush=True)
        runs.setdefault(case, []).append(figures)
    cases = [{"case": case, **_median(measured)} for case, measured in runs.items()]
    if given.json:
        print(json.dumps({"bench": given.name, "cases": cases}))
    else:
        _print(given.name, cases)
    return 0


def _median(measured: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        name: round(statistics.median(run[name] for run in measured), 3) if isinstance(value, int | float) else value
        for name, value in measured[0].items()
    }


def _print(name: str, cases: list[dict[str, Any]]) -> None:
    table = Table(title=f"bench {name}: {NAMES[name]}")
    for column in cases[0]:
        table.add_column(column, justify="left" if isinstance(cases[0][column], str) else "right")
    for case in cases:
        table.add_row(*(f"{cell:,.2f}" if isinstance(cell, float) else f"{cell}" for cell in case.values()))
    Console(width=160).print(table)


if __name__ == "__main__":
    sys.exit(main())
