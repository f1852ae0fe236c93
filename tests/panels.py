"""The dashboards of deploy/compose/grafana: their panels, and the queries that Grafana would send for them."""

from __future__ import annotations

import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "deploy" / "compose" / "grafana" / "dashboards"

Tree = dict[str, Any]


@dataclass(frozen=True)
class Panel:
    """One that shows something; rows are none."""

    board: Tree
    tree: Tree

    @property
    def expressions(self) -> list[str]:
        """As they are written."""
        return [str(target["expr"]) for target in self.tree["targets"]]

    def __str__(self) -> str:
        return f"{self.board['uid']}: {self.tree['title']}"


def boards() -> list[Tree]:
    """Every dashboard."""
    return [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]


def panels() -> list[Panel]:
    """Every panel of every dashboard."""
    return [Panel(board, tree) for board in boards() for tree in board["panels"] if tree["type"] != "row"]


def queries(panel: Panel, rate_interval: str) -> Iterator[str]:
    """What Prometheus is asked with all variables at All, once for each value of one that has no All."""
    variables = {each["name"]: each for each in panel.board["templating"]["list"]}
    for expression in panel.expressions:
        text = expression.replace("$__rate_interval", rate_interval).replace("$__range", "1h")
        for name, variable in variables.items():
            if variable.get("includeAll"):
                text = re.sub(rf"\${name}\b", variable["allValue"], text)
        chosen = [name for name, each in variables.items() if each["type"] == "custom" and f"${name}" in text]
        values = variables[chosen[0]]["query"].split(",") if chosen else [""]
        for value in values:
            yield text.replace(f"${chosen[0]}", value) if chosen else text


def asked(address: str, path: str, **query: str) -> Any:
    """What the Prometheus at `host:port` answers."""
    with urllib.request.urlopen(
        f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=10
    ) as answer:
        return json.load(answer)["data"]


def empty(address: str, shown: Iterable[Panel], rate_interval: str) -> list[str]:
    """Panels with a query to which there is no answer, or none that is a number, with that query."""
    return [
        f"{panel}: {query}"
        for panel in shown
        for query in queries(panel, rate_interval)
        if not any(each["value"][1] != "NaN" for each in asked(address, "query", query=query)["result"])
    ]
