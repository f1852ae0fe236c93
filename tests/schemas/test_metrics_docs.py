"""The table of metrics in docs/operations.md is the one that the code says.

Write it anew: python tests/schemas/test_metrics_docs.py (in the project's environment).
"""

from __future__ import annotations

import re
from pathlib import Path

from stretto_schemas import metrics
from stretto_schemas.metrics import MetricName

DOCS = Path(__file__).parents[2] / "docs" / "operations.md"
TABLE = re.compile(r"(?<=<!-- metrics begin -->\n).*?(?=<!-- metrics end -->)", re.DOTALL)


def table() -> str:
    """All metrics in the order of their module."""
    names = [value for value in vars(metrics).values() if isinstance(value, MetricName)]
    rows = [f"| `{name.name}` | {', '.join(name.labels)} | {name.help} |" for name in names]
    return "\n".join(["| metric | labels | meaning |", "|---|---|---|", *rows]) + "\n"


def page(text: str) -> str:
    """The page with the current table."""
    return TABLE.sub(lambda _: table(), text)


def test_the_table_of_metrics_in_the_docs_is_current() -> None:
    text = DOCS.read_text()
    assert TABLE.search(text) is not None
    assert page(text) == text, "write it anew: python tests/schemas/test_metrics_docs.py"


if __name__ == "__main__":
    DOCS.write_text(page(DOCS.read_text()))
