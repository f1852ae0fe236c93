"""Rows from one server to another, COPY to COPY, as the text that PostgreSQL printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

from stretto_connectors.postgres.published import Stored
from stretto_schemas.errors import CheckFailed, StrettoError, Unreachable

Connection = psycopg.Connection[tuple[Any, ...]]

CHUNK_BYTES: Final = 128 * 1024 * 1024
"""A table larger than two of these is copied in pieces of this size, so that several workers share it."""

BUFFER_BYTES: Final = 256 * 1024
"""Rows are handed over in parcels of about this size: one call each, instead of one a row."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some or all rows of one table: pages from `first_page` (0: from the start) to before `end_page` (None: the end)."""

    table: Stored
    target: sql.Identifier
    """Where the rows go."""
    first_page: int
    end_page: int | None
    size_bytes: int


def cut(table: Stored, target: sql.Identifier, block_size: int, chunk_bytes: int = CHUNK_BYTES) -> list[Piece]:
    """Cut a table into pieces of about `chunk_bytes`. Together they are the table, whatever is written meanwhile."""
    pages = max(1, table.size_bytes // block_size)
    step = max(1, chunk_bytes // block_size)
    if not table.splittable or pages <= 2 * step:
        return [Piece(table, target, 0, None, table.size_bytes)]
    starts = range(0, pages, step)
    return [
        Piece(
            table, target, start, start + step if start + step < pages else None, min(step, pages - start) * block_size
        )
        for start in starts
    ]


def copy_piece(
    source: Connection,
    follower: Connection,
    piece: Piece,
    moved: Callable[[int, int], None],
    stopped: Callable[[], bool],
) -> int:
    """Copy a piece in one statement on each side; return its rows.

    `moved` is told rows and bytes now and then. When `stopped` turns true, or anything fails, the follower has none of
    the piece's rows. Raises CheckFailed or Unreachable, never with a cell's value.
    """
    rows = 0
    with source.cursor() as reading, follower.cursor() as writing:
        try:
            with reading.copy(_out(piece)) as out, writing.copy(_into(piece)) as into:
                parcel: list[bytes | bytearray | memoryview] = []
                size = 0
                for row in out:
                    parcel.append(row)
                    size += len(row)
                    if size >= BUFFER_BYTES:
                        into.write(b"".join(parcel))
                        moved(len(parcel), size)
                        rows += len(parcel)
                        parcel, size = [], 0
                        if stopped():
                            raise Stopped
                if parcel:
                    into.write(b"".join(parcel))
                    moved(len(parcel), size)
                    rows += len(parcel)
        except psycopg.Error as error:
            raise explain_copy(error, piece.table.qualified) from None
    return rows


class Stopped(Exception):
    """Another worker failed, or somebody asked to stop."""


def _out(piece: Piece) -> sql.Composed:
    table, columns = piece.table, _columns(piece.table)
    conditions = []
    if piece.first_page:
        conditions.append(sql.SQL("ctid >= {}::tid").format(sql.Literal(f"({piece.first_page},0)")))
    if piece.end_page is not None:
        conditions.append(sql.SQL("ctid < {}::tid").format(sql.Literal(f"({piece.end_page},0)")))
    if table.row_filter is not None:
        # Printed by the server, with a search_path in which it says the same again.
        conditions.append(sql.Composed([sql.SQL("("), sql.SQL(table.row_filter), sql.SQL(")")]))
    if not conditions and table.columns:
        return sql.SQL("copy {} ({}) to stdout").format(table.identifier, columns)
    where = sql.SQL(" where ") + sql.SQL(" and ").join(conditions) if conditions else sql.SQL("")
    return sql.SQL("copy (select {} from only {}{}) to stdout").format(columns, table.identifier, where)


def _into(piece: Piece) -> sql.Composed:
    # A table without columns takes no list of columns, and an empty line a row.
    columns = sql.SQL(" ({})").format(_columns(piece.table)) if piece.table.columns else sql.SQL("")
    return sql.SQL("copy {}{} from stdin").format(piece.target, columns)


def _columns(table: Stored) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column) for column in table.columns)


def explain_copy(error: psycopg.Error, table: str) -> StrettoError:
    """What a failed COPY means. The server's own text is shown only where it cannot hold a value of a row."""
    state = error.sqlstate
    if state is None:
        return Unreachable(
            f"a server closed the connection while {table} was copied",
            fix="run `stretto follower add` again: it clears what is half done and begins anew",
        )
    said = error.diag.message_primary or ""
    if state[:2] in ("22", "23", "P0"):
        named = [
            f"{kind} {name}"
            for kind, name in (("column", error.diag.column_name), ("constraint", error.diag.constraint_name))
            if name
        ]
        return CheckFailed(
            f"the follower refused a row of {table} ({type(error).__name__}{', ' if named else ''}{', '.join(named)})",
            expected="a table with the same types, and no constraint that the source does not have",
            fix="make the follower's table as the source's, or begin with an empty database",
        )
    if state[:2] in ("57", "08"):
        return Unreachable(f"copying {table} was ended by a server: {said}", fix="run `stretto follower add` again")
    return CheckFailed(
        f"copying {table} failed: {said} (SQLSTATE {state})", fix="correct it, then run `stretto follower add` again"
    )
