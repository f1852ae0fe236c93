"""The followers' table: only cells that changed are drawn, and the chosen follower stays chosen wherever it moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import DataTable
from textual.widgets.data_table import RowKey

from stretto.top.trail import Key
from stretto.top.words import COLUMNS

Rows = Sequence[tuple[Key, tuple[Text, ...]]]
"""In the order in which they are shown."""


class Board(DataTable[Text]):
    """Followers, one a row."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "down", show=False),
        Binding("k", "cursor_up", "up", show=False),
        Binding("g", "scroll_top", "top", show=False),
        Binding("G", "scroll_bottom", "bottom", show=False),
    ]

    class Chosen(Message):
        """Another follower was chosen."""

    def __init__(self) -> None:
        super().__init__(cursor_type="row", zebra_stripes=False)
        self.chosen: Key | None = None
        """None while there are no followers."""
        self.written = 0
        """Cells drawn so far, those of new rows included."""
        self._cells: dict[Key, tuple[Text, ...]] = {}
        self._order: list[Key] = []

    def on_mount(self) -> None:
        """Columns of fixed width, so that nothing moves when figures change."""
        for name, width in COLUMNS.items():
            self.add_column(name, key=name, width=width)

    def show(self, rows: Rows) -> None:
        """Make the table these rows."""
        wanted = dict(rows)
        for key in [key for key in self._cells if key not in wanted]:
            self.remove_row(_row_key(key))
            del self._cells[key]
        for key, cells in rows:
            before = self._cells.get(key)
            if before is None:
                self.add_row(*cells, key=_row_key(key))
                self.written += len(cells)
            else:
                for column, cell, old in zip(COLUMNS, cells, before, strict=True):
                    if cell != old:
                        self.update_cell(_row_key(key), column, cell)
                        self.written += 1
            self._cells[key] = cells
        self._arrange([key for key, _ in rows])

    def _arrange(self, order: list[Key]) -> None:
        if order != self._order:
            place = {key: index for index, key in enumerate(order)}
            before = {_row_key(key): place[key] for key in order}
            self._row_locations_by(before)
        self._order = order
        if self.chosen not in self._cells:
            self.chosen = order[0] if order else None
            self.post_message(self.Chosen())
        if self.chosen is not None:
            self.move_cursor(row=order.index(self.chosen))

    def _row_locations_by(self, place: dict[str, int]) -> None:
        """Sort by place. The first column's names are what `sort` gives its key; a row's own key it does not."""
        names = {str(self._cells[key][0]): place[_row_key(key)] for key in self._cells}
        self.sort("follower", key=lambda name: names[str(name)])

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Somebody moved the cursor; what is told late, of rows that have moved since, is passed over."""
        event.stop()
        if not self.is_valid_row_index(event.cursor_row) or event.cursor_row != self.cursor_row:
            return
        if self._order and event.row_key == RowKey(_row_key(self._order[event.cursor_row])):
            chosen = self._order[event.cursor_row]
            if chosen != self.chosen:
                self.chosen = chosen
                self.post_message(self.Chosen())


def _row_key(key: Key) -> str:
    return "/".join(key)
