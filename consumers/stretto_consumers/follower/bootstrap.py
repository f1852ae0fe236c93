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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from stretto_connectors.failpoints import failpoint
from stretto_connectors.postgres import connection, dump, made
from stretto_connectors.postgres.bookkeeping import ensure_schema, read_position, write_new_position
from stretto_connectors.postgres.copy import CHUNK_BYTES, Piece, cut
from stretto_connectors.postgres.published import Stored, publication_exists, stored_tables
from stretto_connectors.postgres.sequences import copy_sequences
from stretto_connectors.postgres.snapshot import LOCK_TIMEOUT_MS, SharedSnapshot, SnapshotDisturbed
from stretto_connectors.postgres.tools import Tools, find_tools
from stretto_consumers.follower import fit
from stretto_consumers.follower.add_progress import PlannedTable, ProgressSink
from stretto_consumers.follower.copy_rows import copy_rows
from stretto_consumers.follower.start_position import check_log, start_position
from stretto_schemas.errors import SettingsError, StrettoError, Unreachable
from stretto_schemas.lag.words import number
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
    with _explained(), ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stretto-add-")))
        adding = _Adding(settings, progress, folder, stack, pg_bin)
        adding.check_and_clear(replace)
        adding.copy(chunk_bytes)
        adding.make_keys()
        adding.finish()


def follows(settings: Settings) -> bool:
    """True when the follower's database has a position for the source: it was copied, whole. Raises as `add_follower`."""
    follower, source = settings.follower, settings.source.name
    with (
        _explained(),
        connection.connect(follower.dsn, follower.password, application=fit.first_session_name(source)) as conn,
    ):
        return read_position(conn, source) is not None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What was decided when the snapshot was taken."""

    snapshot: SharedSnapshot
    read_at_us: int
    tables: list[Stored]
    schema_too: bool
    """True when the schema is made too, False when the tables were there, empty."""


class _Adding:
    """One run: its sessions, which `stack` closes, and what the steps hand to one another."""

    def __init__(
        self, settings: Settings, progress: ProgressSink, folder: Path, stack: ExitStack, pg_bin: Path | None
    ) -> None:
        self._settings = settings
        self._name = settings.source.name
        self._progress = progress
        self._stack = stack
        self._archive = folder / "schema"
        self._script = folder / "script.sql"
        progress.stage("Checking the log, the source and the follower")
        check_log(settings)
        self._source = self._on_source(fit.first_session_name(self._name))
        self._follower = self._on_follower(fit.first_session_name(self._name))
        self._tools: Tools = find_tools(_major(self._source), pg_bin)
        self._plan: _Plan | None = None

    def check_and_clear(self, replace: bool) -> None:
        """Steps 1 and 2."""
        source, follower, settings = self._source, self._follower, self._settings
        if not publication_exists(source, settings.source.publication):
            raise SettingsError(
                f"the source has no publication {settings.source.publication}",
                fix="run `stretto init`, or correct `publication` in section [source]",
            )
        fit.check_encoding(source, follower)
        fit.check_not_itself(source, follower)
        fit.become_the_only_one(follower, self._name)
        ensure_schema(follower)
        earlier = fit.earlier_copy(follower, self._name, replace)
        fit.check_readable(stored_tables(source, settings.source.publication), source.info.user)
        if earlier is not None:
            interrupted = earlier.state == "copying"
            self._progress.stage(
                "Clearing what an interrupted copy left" if interrupted else "Clearing the earlier copy"
            )
            cleared = made.clear_copy(follower, self._name)
            self._progress.note(f"{cleared} objects of the earlier copy cleared")
        tables = stored_tables(source, settings.source.publication)
        if fit.tables_already_there(follower, tables):
            fit.check_keys(source, follower, tables)
        else:
            fit.check_extensions_and_roles(source, follower)

    def copy(self, chunk_bytes: int) -> None:
        """Steps 3 to 5."""
        plan = self._plan = self._take_snapshot()
        snapshot = plan.snapshot
        self._progress.note(
            f"the copy will hold everything that was committed before {format_lsn(snapshot.consistent_point)}"
        )
        failpoint("add.after_slot")
        filled = [] if plan.schema_too else list(dict.fromkeys(table.published for table in plan.tables))
        made.begin_copy(self._follower, self._name, self._settings.follower.name, filled)
        if plan.schema_too:
            self._progress.stage("Making the schema")
            self._run_section("pre-data", "making the schema")
        block_size = int(_one(self._source, "select current_setting('block_size')"))
        pieces: list[Piece] = []
        for table in plan.tables:
            target = table.identifier if plan.schema_too else sql.Identifier(*table.published)
            pieces += cut(table, target, block_size, chunk_bytes)
        self._progress.stage(f"Copying {len(plan.tables)} tables in {len(pieces)} pieces")
        self._progress.planned([PlannedTable(t.qualified, t.size_bytes, t.estimated_rows) for t in plan.tables])
        # Rows that come from elsewhere fire no triggers and check no foreign keys.
        replica = {"session_replication_role": "replica"}
        writers = [self._on_follower(fit.session_name(self._name), **replica) for _ in snapshot.sessions]
        rows = copy_rows(snapshot.sessions, writers, pieces, self._progress)
        snapshot.close()
        self._progress.note(f"{rows:,} rows copied")
        failpoint("add.after_rows")

    def make_keys(self) -> None:
        """Step 6."""
        plan = self._planned
        if plan.schema_too:
            self._progress.stage("Making indexes, keys and triggers")
            self._run_section("post-data", "making indexes, keys and triggers")
        self._progress.stage("Analyzing")
        for name in dict.fromkeys(table.published for table in plan.tables):
            self._follower.execute(sql.SQL("analyze {}").format(sql.Identifier(*name)))
        if plan.schema_too:
            self._refresh_views()
        sequences = copy_sequences(self._source, self._follower)
        self._progress.note(f"{sequences} sequences set, with headroom")
        failpoint("add.after_keys")

    def finish(self) -> None:
        """Step 7."""
        plan = self._planned
        self._progress.stage("Looking up where the log goes on")
        position = start_position(self._settings, plan.snapshot.consistent_point, plan.read_at_us)
        with self._follower.transaction():
            write_new_position(self._follower, position, self._settings.follower.name)
            made.end_copy(self._follower, self._name)
        self._progress.stage(
            f"Follower {self._settings.follower.name} is made; `stretto run follower` keeps it up to date"
        )

    @property
    def _planned(self) -> _Plan:
        assert self._plan is not None, "make_keys and finish come after copy"
        return self._plan

    def _take_snapshot(self) -> _Plan:
        settings = self._settings
        for left in reversed(range(SNAPSHOT_TRIES)):
            self._progress.stage("Taking a snapshot of the source")
            read_at_us = _one(self._source, "select (extract(epoch from clock_timestamp()) * 1000000)::bigint")
            snapshot = SharedSnapshot.take(
                settings.source.dsn,
                settings.source.password,
                application=fit.first_session_name(self._name),
                sessions=settings.follower.copy_workers,
                waiting=lambda writing: self._progress.waiting(
                    f"waiting for the source's open transactions to end ({number(writing, 'session')} writing)"
                ),
            )
            self._stack.callback(snapshot.close)
            self._progress.stage("Locking the source's tables")
            try:
                tables = stored_tables(snapshot.sessions[0], settings.source.publication)
                fit.check_readable(tables, self._source.info.user)
                snapshot.hold([table.relid for table in tables])
                schema_too = not fit.tables_already_there(self._follower, tables)
                if schema_too:
                    self._progress.stage("Reading the source's schema")
                    source = connection.connection_string(
                        settings.source.dsn, settings.source.password, application=fit.first_session_name(self._name)
                    )
                    dump.dump_schema(self._tools, source, snapshot.name, self._archive, lock_timeout_ms=LOCK_TIMEOUT_MS)
            except (SnapshotDisturbed, dump.LockNotGranted) as disturbed:
                snapshot.close()
                if not left:
                    raise
                self._progress.note(f"{disturbed.found}; taking another snapshot")
            else:
                check_log(settings, snapshot.system_id)
                return _Plan(snapshot, read_at_us, tables, schema_too)
        raise AssertionError("the last try returns or raises")

    def _run_section(self, section: dump.Section, doing: str) -> None:
        script = dump.section_sql(self._tools, self._archive, section, _major(self._follower))
        follower = self._settings.follower
        text = connection.connection_string(follower.dsn, follower.password, application=fit.session_name(self._name))
        dump.run_script(self._tools, text, made.recording(script, self._name), self._script, doing)

    def _refresh_views(self) -> None:
        """Fill the materialized views that are filled on the source; one that reads another one comes after it."""
        waiting = [(row[0], row[1]) for row in self._source.execute(_FILLED_VIEWS).fetchall()]
        while waiting:
            again = []
            for name in waiting:
                try:
                    self._follower.execute(sql.SQL("refresh materialized view {}").format(sql.Identifier(*name)))
                except psycopg.errors.ObjectNotInPrerequisiteState:
                    again.append(name)
                except psycopg.DatabaseError as error:
                    if error.sqlstate is None:
                        raise
                    self._progress.note(f"materialized view {'.'.join(name)} is not filled (SQLSTATE {error.sqlstate})")
            if len(again) == len(waiting):
                return
            waiting = again

    def _on_source(self, application: str) -> Connection:
        source = self._settings.source
        return self._stack.enter_context(connection.connect(source.dsn, source.password, application=application))

    def _on_follower(self, application: str, **parameters: str) -> Connection:
        follower = self._settings.follower
        return self._stack.enter_context(
            connection.connect(follower.dsn, follower.password, application=application, parameters=parameters)
        )


_FILLED_VIEWS: Final = (
    "select n.nspname::text, c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace"
    " where c.relkind = 'm' and c.relispopulated and n.nspname <> 'stretto' order by c.oid"
)


def _major(conn: Connection) -> int:
    return conn.info.server_version // 10_000


def _one(conn: Connection, query: str) -> Any:
    row = conn.execute(query).fetchone()
    assert row is not None, "a select of one value gives one row"
    return row[0]


@contextmanager
def _explained() -> Iterator[None]:
    """What a server says becomes an error of ours."""
    try:
        yield
    except psycopg.Error as error:
        raise _explain(error) from None


def _explain(error: psycopg.Error) -> StrettoError:
    """A statement of ours that a server refused, or a connection that broke."""
    said = error.diag.message_primary or "the connection was lost"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return SettingsError(
            f"PostgreSQL refused: {said}", fix="see docs/security.md for the rights that each role needs"
        )
    return Unreachable(f"PostgreSQL ended a session: {said}", fix="run `stretto follower add` again: it begins anew")
