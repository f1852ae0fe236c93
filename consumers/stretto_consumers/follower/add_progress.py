"""Who is told how far the making of a follower is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PlannedTable:
    """A table that will be copied. Sizes are the server's, before; `rows` is its estimate."""

    name: str
    size_bytes: int
    rows: int


class ProgressSink(Protocol):
    """Told by `add_follower`. `copied` and `finished` come from several threads at a time."""

    def stage(self, text: str) -> None:
        """A stage begins; the sentence says which."""

    def note(self, text: str) -> None:
        """Something worth telling happened."""

    def waiting(self, text: str) -> None:
        """Until the next stage begins nothing can be done, for others must end first; the sentence says who.

        May be told again, with newer words.
        """

    def planned(self, tables: Sequence[PlannedTable]) -> None:
        """These tables' rows come next."""

    def copied(self, table: str, rows: int, text_bytes: int) -> None:
        """So many more rows of the table have gone over, as so many bytes of COPY text."""

    def finished(self, table: str, rows: int) -> None:
        """All rows of the table are on the follower."""


class Silent:
    """Tells nobody."""

    def stage(self, text: str) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def waiting(self, text: str) -> None:
        """Nothing."""

    def planned(self, tables: Sequence[PlannedTable]) -> None:
        """Nothing."""

    def copied(self, table: str, rows: int, text_bytes: int) -> None:
        """Nothing."""

    def finished(self, table: str, rows: int) -> None:
        """Nothing."""
