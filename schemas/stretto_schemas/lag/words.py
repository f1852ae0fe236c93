"""Figures in sentences: durations, sizes, counts, one way everywhere a reason is given."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """`4 ms`, `0.3 s`, `42 s`, `12 min`, `3.5 h`, `2.1 d`."""
    if 0.0005 < seconds < 0.05:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 2 * 86_400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} d"


def size(count: int) -> str:
    """`17 B`, `4.2 MB`; powers of 1024, as PostgreSQL's pg_size_pretty counts."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TB"


def number(count: int, thing: str) -> str:
    """`1 record`, `2,000 records`."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"
