"""Text literals of arrays, ranges, multiranges and rows, put together from those of their parts.

Some are not valid, such as a range whose ends are the wrong way round: the caller asks the server.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence


def quoted(part: str | None) -> str:
    """An element as arrays, ranges and rows take it, in quotes; NULL for None."""
    if part is None:
        return "NULL"
    escaped = part.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def array_literals(parts: Sequence[str], delimiter: str) -> Iterable[str]:
    """Empty, NULLs, one and many elements, lower bounds other than 1, two and three dimensions."""

    def array(elements: Iterable[str | None]) -> str:
        return "{" + delimiter.join(quoted(element) for element in elements) + "}"

    yield "{}"
    yield "{NULL}"
    if not parts:
        return
    short = [part for part in parts if len(part) < 500] or list(parts[:1])
    first, second = short[0], short[-1]
    yield array([first])
    yield array(short)
    yield array([first, None, second])
    yield "[2:3]=" + array([first, second])
    yield "[-1:1]=" + array([None, second, first])
    yield "{" + delimiter.join((array([first, None]), array([second, first]))) + "}"
    yield "[0:0][5:6]={" + array([first, second]) + "}"
    yield "{{" + delimiter.join((array([first]), array([second]))) + "}}"
    yield array(["x" if part == "NULL" else part for part in parts[-3:]])
    yield array([short[n % len(short)] for n in range(60)])


def range_literals(parts: Sequence[str]) -> Iterable[str]:
    """Empty and unbounded ranges, and every pair of the given values; the server refuses those the wrong way round."""
    yield "empty"
    yield "(,)"
    for part in parts[:2]:
        yield f"[{quoted(part)},)"
        yield f"(,{quoted(part)}]"
        yield f"[{quoted(part)},{quoted(part)}]"
    for lower, upper in itertools.permutations(parts, 2):
        yield f"[{quoted(lower)},{quoted(upper)})"
        yield f"({quoted(lower)},{quoted(upper)}]"


def multirange_literals(ranges: Sequence[str]) -> Iterable[str]:
    """Empty, of each range, and of many that the server merges and sorts."""
    yield "{}"
    for one in ranges:
        yield "{" + one + "}"
    yield "{" + ",".join(ranges[2:]) + "}"
    yield "{" + ",".join(ranges[-3:]) + "}"


def row_literals(fields: Sequence[Sequence[str]]) -> Iterable[str]:
    """Rows of NULLs and, column by column, a walk through the values of each field."""
    yield "(" + "," * (len(fields) - 1) + ")"
    for n in range(max((len(values) for values in fields), default=0)):
        row = [quoted(values[n % len(values)]) if values and n % 4 != 3 else "" for values in fields]
        yield "(" + ",".join(row) + ")"
    yield "(" + ",".join(quoted(values[-1]) if values else "" for values in fields) + ")"
