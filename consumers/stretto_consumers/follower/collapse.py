"""The net effect of a batch on each table, by key. Pure: changes in, rows to write out.

Changes of one key come in order. Only a key change links two keys, whose records may lie in two partitions: then the
changes are sorted by (transaction, total_order) before they come here.
"""

from __future__ import annotations

from typing import Any

from stretto_consumers.follower.decode import UNCHANGED_VALUE, Change, Row
from stretto_schemas.envelope import text_of

CHUNK_ROWS = 2000
"""Rows that are checked together for characters that COPY wants escaped."""


class KeyedNet:
    """Net effect on a table whose rows have a key.

    An entry says whether the key's row existed before the batch and what it is after it (None: gone). `partial` names,
    for rows with unsent values, the key before the batch whose row has them.
    """

    def __init__(self) -> None:
        self.entries: dict[bytes, tuple[bool, Row | None]] = {}
        self.partial: dict[bytes, bytes] = {}
        self._moved: dict[bytes, tuple[Row | None, bytes | None]] = {}

    def insert(self, key: bytes, row: Row) -> None:
        """A whole row came."""
        before = self.entries.get(key)
        self.entries[key] = (before is not None and before[0], row)
        if self.partial:
            self.partial.pop(key, None)

    def update(self, key: bytes, row: Row) -> None:
        """A row was replaced by a whole row."""
        before = self.entries.get(key)
        self.entries[key] = (before is None or before[0], row)
        if self.partial:
            self.partial.pop(key, None)

    def delete(self, key: bytes) -> None:
        """A row went."""
        before = self.entries.get(key)
        if before is None or before[0]:
            self.entries[key] = (True, None)
        else:
            del self.entries[key]
        if self.partial:
            self.partial.pop(key, None)

    def feed(self, change: Change) -> None:
        """Any change, also halves of a key change and rows with unsent values."""
        key, row = change.key, change.after
        if row is None:
            if change.new_key is not None:
                before = self.entries.get(key)
                held = before[1] if before is not None else None
                self._moved[change.new_key] = (held, key if before is None else self.partial.get(key))
            self.delete(key)
        elif change.op == "c":
            source = None
            if change.old_key is not None:
                held, source = self._moved.pop(key, (None, change.old_key))
                row = _filled(row, held)
            self.insert(key, row)
            if change.partial and UNCHANGED_VALUE in row:
                self.partial[key] = source or key
        elif not change.partial:
            self.update(key, row)
        else:
            before = self.entries.get(key)
            source = key if before is None else self.partial.get(key, key)
            row = _filled(row, before[1] if before is not None else None)
            self.update(key, row)
            if UNCHANGED_VALUE in row:
                self.partial[key] = source


def _filled(row: Row, held: Row | None) -> Row:
    """The row with its unsent values taken from what the same row held before in this batch."""
    if held is None or len(held) != len(row):
        return row
    return tuple(old if new is UNCHANGED_VALUE else new for new, old in zip(row, held, strict=True))


class KeylessNet:
    """Net effect on a table without key: how many times more or less each whole row is there."""

    def __init__(self) -> None:
        self.added: list[Row] = []
        self.taken: list[Row] = []

    def feed(self, change: Change) -> None:
        """An insert adds its row, a delete takes one, an update does both."""
        if change.before is not None and change.op != "c":
            self.taken.append(change.before)
        if change.after is not None:
            self.added.append(change.after)

    def rows(self) -> tuple[list[Row], list[Row]]:
        """Rows to add, and rows to remove, each of these followed by how many copies of it."""
        if not self.taken:
            return self.added, []
        counts: dict[Row, int] = {}
        for rows, step in ((self.added, 1), (self.taken, -1)):
            for row in rows:
                typed = tuple((type(cell).__name__, cell) if type(cell) is not str else cell for cell in row)
                counts[typed] = counts.get(typed, 0) + step
        added: list[Row] = []
        removed: list[Row] = []
        for typed, count in counts.items():
            row = tuple(cell if type(cell) is str else cell[1] for cell in typed)
            if count > 0:
                added += [row] * count
            elif count < 0:
                removed.append((*row, -count))
        return added, removed


def copy_text(rows: list[Row], columns: int, at_once: int = CHUNK_ROWS) -> list[bytes]:
    """Rows in the text format of COPY, in chunks. Source: PostgreSQL documentation, COPY, "Text Format".

    Most rows hold nothing to escape: a chunk is printed at once and looked through at once, and printed again with its
    nulls, or value by value when it holds a backslash or a line's end.
    """
    template = "\t".join(["%s"] * columns) + "\n"
    chunks = []
    for start in range(0, len(rows), at_once):
        part = rows[start : start + at_once]
        text = "".join([template % row for row in part])
        if (
            "\\" in text
            or "\r" in text
            or text.count("\n") != len(part)
            or text.count("\t") != len(part) * (columns - 1)
        ):
            text = "".join(["\t".join([copy_cell(cell) for cell in row]) + "\n" for row in part])
        elif "None" in text:
            text = "".join([template % tuple(["\\N" if cell is None else cell for cell in row]) for row in part])
        chunks.append(text.encode())
    return chunks


_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def copy_cell(value: Any) -> str:
    """One value in COPY's text format."""
    if value is None:
        return "\\N"
    text = text_of(value)
    assert text is not None, "only None has no text"
    return text.translate(_ESCAPES)
