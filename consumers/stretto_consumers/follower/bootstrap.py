"""A new follower without downtime: schema and rows as of one exact LSN, then on from the log without a gap.

The steps, and what is true when the process is killed in each:

1. Check the log, the follower and the source. Nothing has been changed.
2. Clear what an interrupted copy left (it is known by its row of `stretto.copy`).
3. Take a snapshot that several sessions share; lock its tables against TRUNCATE and ALTER TABLE; dump the schema.
4. Make the schema without indexes and keys, in one transaction that also lists what it made.
5. Copy the rows, several tables and several parts of large tables at a time. The locks end here.
6. Make indexes, keys, triggers, in one transaction; analyze; set sequences.
7. Write the position and the end of the copy, in one transaction.

Until 7 there is no position: a follower process refuses to start, and the next `add_follower` begins again at 2.
Writes go on at the source all the time. Capture may run or not.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from stretto_connectors.failpoints import failpoint
from stretto_connectors.postgres import dump, made
from stretto_connectors.postgres.bookkeeping import ensure_schema, write_new_position
from stretto_connectors.postgres.connection import connect, connection_string
from stretto_connectors.postgres.copy import CHUNK_BYTES, Piece, cut
from stretto_connectors.postgres.published import Stored, publication_exists, stored_tables
from stretto_connectors.postgres.sequences import copy_sequences
from stretto_connectors.postgres.snapshot import LOCK_TIMEOUT_MS, SharedSnapshot, SnapshotDisturbed
from stretto_connectors.postgres.tools import Tools, find_tools
from stretto_consumers.follower import fit
from stretto_consumers.follower.add_progress import PlannedTable, ProgressSink
from stretto_consumers.follower.copy_rows import copy_rows
from stretto_consumers.follower.start_position import check_log, start_position
from stretto_schemas.errors import SettingsError
from stretto_schemas.lsn import format_lsn
from stretto_schemas.settings import Settings

Connection = psycopg.Connection[tuple[Any, ...]]

SNAPSHOT_TRIES: Final = 10
"""Somebody who truncates a table every second is outrun within a few; who alters tables for ever is told to wait."""


def add_follower(
    settings: Settings,
    *,
    progress: ProgressSink,
    replace: bool = False,
    pg_bin: Path | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> None:
    """Make the follower's database a follower of the source, from nothing or from empty tables.

    Blocks until the position is written. `replace` drops what an earlier copy made, and only that, and copies again.
    `pg_bin` is the folder of pg_dump, pg_restore and psql; None looks for them. Raises UsageError, SettingsError,
    Unreachable, CheckFailed or Halted; after any of them, and after a kill, it can be run again.
    """
    with ExitStack() as stack, tempfile.TemporaryDirectory(prefix="stretto-add-") as folder:
        adding = _Adding(settings, progress, pg_bin, Path(folder), stack)
        adding.check(replace)
        adding.clear()
        with SnapshotOf(adding) as snapshot:
            pieces, targets, schema_too = adding.make_schema(snapshot, chunk_bytes)
            adding.copy(snapshot, pieces)
        adding.make_keys(schema_too, targets)
        adding.finish(snapshot.consistent_point)
