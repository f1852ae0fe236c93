"""Compare leader and follower by checksums of key ranges, while writes go on and the follower is behind.

A range is read on the leader and at once on the follower: equal sums are equal rows. What differs is looked at key by
key, under the rules of `verdict`, until each key is equal, different or still changing when time is up.

Ranges are cut by the leader's order. Where the follower sorts otherwise (another collation library), its rows fall into
other ranges, but each into at least one, and single keys decide: the answer stays right, only slower.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import psycopg

from stretto_connectors.postgres.bookkeeping import read_position
from stretto_connectors.postgres.checksum import (
    Key,
    Published,
    Shape,
    Summed,
    Version,
    find_shape,
    published_tables,
)
from stretto_connectors.postgres.connection import connect
from stretto_consumers.verify.report import Report, TableReport
from stretto_consumers.verify.verdict import CONFIRMATIONS, Verdict, judge
from stretto_schemas.errors import CheckFailed, SettingsError, StrettoError, Unreachable, UsageError
from stretto_schemas.lsn import format_lsn, parse_lsn
from stretto_schemas.settings import Settings

Connection = psycopg.Connection[tuple[Any, ...]]

CHUNK_ROWS: Final = 20_000
"""Rows of a range: some ten milliseconds on each side, in which few rows change."""

KEYS_AT_A_TIME: Final = 5_000

POLL_S: Final = 0.02


def verify(
    settings: Settings,
    tables: Sequence[str] | None = None,
    *,
    wait_s: float = 30.0,
    chunk_rows: int = CHUNK_ROWS,
    done: Callable[[TableReport], None] = lambda _: None,
) -> Report:
    """Compare the published tables, or those of them named as `schema.table`; `done` is told each as it is finished.

    Rows are read, nothing is changed; the leader's WAL gets a few logical messages, so that an idle source moves on.
    `wait_s` is how long to wait for the follower to pass an LSN (else CheckFailed), and how long to look at the rows of
    one range that keep changing (else they are `undecided`). Raises UsageError, SettingsError or Unreachable.
    """
    try:
        with ExitStack() as stack:
            return _Comparison(settings, wait_s, chunk_rows, stack).run(tables, done)
    except psycopg.Error as error:
        raise _explain(error) from None


class _Comparison:
    def __init__(self, settings: Settings, wait_s: float, chunk_rows: int, stack: ExitStack) -> None:
        source, follower = settings.source, settings.follower
        self._settings = settings
        self._wait_s = wait_s
        self._chunk_rows = chunk_rows
        self._leader = stack.enter_context(connect(source.dsn, source.password, application="stretto verify"))
        self._follower = stack.enter_context(connect(follower.dsn, follower.password, application="stretto verify"))
        self._passed = 0
        encodings = [(c.execute("show server_encoding").fetchone() or ("",))[0] for c in (self._leader, self._follower)]
        if encodings[0] != encodings[1]:
            raise UsageError(
                f"the leader's encoding is {encodings[0]}, the follower's {encodings[1]}",
                expected="the same encoding: checksums are of bytes",
            )

    def run(self, wanted: Sequence[str] | None, done: Callable[[TableReport], None]) -> Report:
        """Compare table by table."""
        if read_position(self._follower, self._settings.source.name) is None:
            raise UsageError(
                f"the database of {self._settings.follower.name} does not follow source {self._settings.source.name}",
                fix="run `stretto follower add`, or correct section [follower]",
            )
        reports = []
        for table in self._chosen(wanted):
            report = self._compare(table)
            done(report)
            reports.append(report)
        return Report(tuple(reports), self._passed)

    def _chosen(self, wanted: Sequence[str] | None) -> list[Published]:
        found = published_tables(self._leader, self._settings.source.publication)
        if not wanted:
            return found
        by_name = {f"{table.schema}.{table.name}": table for table in found}
        unknown = [name for name in wanted if name not in by_name]
        if unknown:
            raise UsageError(
                f"not published: {', '.join(unknown)}",
                expected="schema.table, as in the publication",
                fix="name one of: " + ", ".join(sorted(by_name)[:10]) if by_name else "add tables to the publication",
            )
        return [by_name[name] for name in dict.fromkeys(wanted)]

    def _compare(self, table: Published) -> TableReport:
        report = TableReport(table.schema, table.name)
        here, there = (find_shape(conn, table.schema, table.name) for conn in (self._leader, self._follower))
        if here is None or there is None:
            report.problem = f"the {'leader' if here is None else 'follower'} has no such table"
            return report
        published = [name for name in here.columns if table.columns is None or name in table.columns]
        lacking = [name for name in published if name not in there.columns and name not in here.generated]
        if lacking:
            report.problem = f"the follower's table lacks column {', '.join(lacking)}"
            return report
        columns = tuple(name for name in published if name in there.columns)
        key = _shared_key(here, there, columns)
        leader = Summed(self._leader, table.schema, table.name, here.kind == "p", columns, key, table.row_filter)
        follower = Summed(self._follower, table.schema, table.name, there.kind == "p", columns, key, None)
        if key:
            self._compare_ranges(leader, follower, report)
        else:
            self._compare_whole(leader, follower, report)
        return report

    def _compare_ranges(self, leader: Summed, follower: Summed, report: TableReport) -> None:
        start: Key | None = None
        while True:
            with _snapshot(self._leader):
                end = leader.boundary(start, self._chunk_rows)
                here = leader.range_sum(start, end)
                report.rows += here.rows
                suspects: list[Key] = []
                if here != follower.range_sum(start, end):
                    rows, others = leader.range_rows(start, end), follower.range_rows(start, end)
                    suspects = [key for key in rows.keys() | others.keys() if rows.get(key) != others.get(key)]
            self._decide(leader, follower, suspects, report)
            if end is None:
                return
            start = end

    def _compare_whole(self, leader: Summed, follower: Summed, report: TableReport) -> None:
        """Without a key: the checksums of the rows are their keys. They come in order, so few are held in memory."""
        with _snapshot(self._leader), _snapshot(self._follower):
            here = leader.range_sum(None, None)
            report.rows = here.rows
            if here == follower.range_sum(None, None):
                return
            suspects = list(_uneven(leader.counted(), follower.counted()))
        self._decide(leader, follower, suspects, report)

    def _decide(self, leader: Summed, follower: Summed, suspects: list[Key], report: TableReport) -> None:
        """Look at single keys until each is decided, or time is up."""
        deadline = time.monotonic() + self._wait_s
        for at in range(0, len(suspects), KEYS_AT_A_TIME):
            keys = suspects[at : at + KEYS_AT_A_TIME]
            before, earlier = leader.versions(keys), dict[Key, Version]()
            different: Counter[Key] = Counter()
            while keys:
                self._pass()
                seen = follower.versions(keys)
                after = leader.versions(keys)
                again = []
                for key in keys:
                    verdict = judge(earlier.get(key), before.get(key), seen.get(key), after.get(key))
                    different[key] = different[key] + 1 if verdict is Verdict.DIFFERENT else 0
                    if different[key] == CONFIRMATIONS:
                        _count(report, leader, key, after.get(key), seen.get(key))
                    elif verdict is not Verdict.EQUAL:
                        again.append(key)
                if again and time.monotonic() > deadline:
                    report.undecided += len(again)
                    break
                keys, before, earlier = again, after, seen

    def _pass(self) -> None:
        """Wait until the follower has passed the place where the leader's WAL ends now. Raises CheckFailed."""
        row = self._leader.execute("select pg_current_wal_insert_lsn()::text").fetchone()
        assert row is not None
        lsn = parse_lsn(row[0])
        deadline = time.monotonic() + self._wait_s
        nudged = False
        while True:
            position = read_position(self._follower, self._settings.source.name)
            if position is not None and position.end_lsn >= lsn:
                self._passed = lsn
                return
            if not nudged:
                # On an idle source nothing would make capture and follower go past the place; this commit does.
                self._leader.execute("select pg_logical_emit_message(true, 'stretto.verify', '')")
                nudged = True
            if time.monotonic() > deadline:
                stands = "has lost its position" if position is None else f"stands at {format_lsn(position.end_lsn)}"
                raise CheckFailed(
                    f"the follower {stands}, and rows that differ can be told only when it has passed {format_lsn(lsn)}",
                    expected=f"to get there within {self._wait_s:g} s",
                    fix="see `stretto status`: run capture and follower, or wait until they have caught up",
                )
            time.sleep(POLL_S)


def _shared_key(here: Shape, there: Shape, columns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The key that both sides have, with the same types; without one, rows are a multiset."""
    if (
        set(here.key) != set(there.key)
        or not set(here.key) <= set(columns)
        or any(here.columns[c] != there.columns[c] for c in here.key)
    ):
        return ()
    return tuple((column, here.columns[column]) for column in here.key)


def _count(report: TableReport, table: Summed, key: Key, leader: Version | None, follower: Version | None) -> None:
    if not table.key:
        more = (leader.content if leader else 0) - (follower.content if follower else 0)
        report.add("missing" if more > 0 else "surplus", (), abs(more))
    elif follower is None:
        report.add("missing", key)
    else:
        report.add("surplus" if leader is None else "changed", key)


def _uneven(leader: Iterator[tuple[int, int]], follower: Iterator[tuple[int, int]]) -> Iterator[Key]:
    """Checksums of which one side has more rows than the other. Both come in order."""
    here, there = next(leader, None), next(follower, None)
    while here is not None or there is not None:
        if there is None or (here is not None and here[0] < there[0]):
            assert here is not None, "one of them is not None"
            yield (str(here[0]),)
            here = next(leader, None)
        elif here is None or there[0] < here[0]:
            yield (str(there[0]),)
            there = next(follower, None)
        else:
            if here[1] != there[1]:
                yield (str(here[0]),)
            here, there = next(leader, None), next(follower, None)


@contextmanager
def _snapshot(conn: Connection) -> Iterator[None]:
    """All statements see one moment."""
    conn.execute("begin isolation level repeatable read read only")
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute("rollback")


def _explain(error: psycopg.Error) -> StrettoError:
    said = error.diag.message_primary
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return SettingsError(f"PostgreSQL refused: {said}", fix="grant select on the table to the role of the DSN")
    if error.sqlstate is None or error.sqlstate[:2] in ("08", "57"):
        return Unreachable(f"PostgreSQL ended a session: {said or 'the connection was lost'}", fix="try again")
    # What a server says of a value that cannot be read may hold the value.
    return CheckFailed(f"a comparison failed on the server ({type(error).__name__}, SQLSTATE {error.sqlstate})")
