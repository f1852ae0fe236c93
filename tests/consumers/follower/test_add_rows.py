"""Rows of a new follower: exactly those of one LSN, whatever is written meanwhile, and on from there without a gap."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import LiteralString

import pytest

from stretto.embedded.processes import wait_until
from stretto_connectors.postgres.pgoutput import Begin, Commit, Insert, decode
from stretto_connectors.postgres.snapshot import SharedSnapshot, SnapshotDisturbed
from stretto_consumers.follower.add_progress import Silent
from stretto_producers.capture.capture import Capture
from tests.fix_add import Adding

TABLES = """
create table accounts (id int primary key, balance int not null);
create table journal (xid bigint primary key, account int not null references accounts, note text);
create table scratch (x int);
alter table scratch replica identity full;
insert into accounts select i, 1000 from generate_series(1, 200) i;
insert into journal select -i, i % 200 + 1, repeat('x', 100) from generate_series(1, 20000) i;
"""

MOVE: tuple[LiteralString, ...] = (
    "update accounts set balance = balance - 7 where id = %(one)s",
    "update accounts set balance = balance + 7 where id = %(other)s",
    "insert into journal values (pg_current_xact_id()::text::bigint, %(one)s, 'moved')",
    "delete from journal where xid = -%(n)s",
    "insert into scratch values (%(n)s)",
)
TRUNCATE: LiteralString = "truncate scratch"


@contextmanager
def writing(adding: Adding, *now_and_then: LiteralString) -> Iterator[Callable[[int], None]]:
    """Transactions that move money, one after another, until the block ends; yields a wait for so many more."""
    stop = threading.Event()
    done = 0

    def write() -> None:
        nonlocal done
        with adding.connect_leader() as conn:
            while not stop.is_set():
                values = {"one": done % 200 + 1, "other": done * 7 % 199 + 1, "n": done + 1}
                with conn.transaction():
                    for statement in (*MOVE, *(now_and_then if done % 100 == 0 else ())):
                        conn.execute(statement, values)
                done += 1

    def wait(count: int) -> None:
        wanted = done + count
        assert wait_until(lambda: done >= wanted, 30.0), "the writer stands still"

    thread = threading.Thread(target=write)
    thread.start()
    try:
        wait(20)
        yield wait
    finally:
        stop.set()
        thread.join()


def committed(adding: Adding, slot: str) -> dict[int, int]:
    """By xid, the end_lsn of every transaction that wrote to the journal since the slot was made."""
    found: dict[int, int] = {}
    xid, writes = 0, False
    for (raw,) in adding.leader.fetch(
        "select data from pg_logical_slot_get_binary_changes(%s, null, null, 'proto_version', '1',"
        " 'publication_names', 'stretto')",
        slot,
    ):
        message = decode(raw)
        if isinstance(message, Begin):
            xid, writes = message.xid, False
        elif isinstance(message, Insert):
            writes = True
        elif isinstance(message, Commit) and writes:
            found[xid] = message.end_lsn
    return found


@pytest.fixture
def ready(adding: Adding) -> Adding:
    adding.leader.execute(TABLES)
    adding.init()
    return adding


def test_the_copy_holds_exactly_the_transactions_up_to_its_position(ready: Adding, prefix: str) -> None:
    ready.leader.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", f"exact_{prefix}")
    with writing(ready) as wait:
        ready.add()
        wait(20)
    position = ready.position()
    assert position is not None
    all_of_them = committed(ready, f"exact_{prefix}")
    expected = sorted(xid for xid, end_lsn in all_of_them.items() if end_lsn <= position.end_lsn)
    copied = [xid for (xid,) in ready.follower.fetch("select xid from journal where xid > 0 order by xid")]
    assert copied == expected
    assert 0 < len(copied) < len(all_of_them)
    assert ready.follower.fetch("select sum(balance) from accounts") == [(200_000,)]
    assert ready.follower.fetch("select count(*) from journal where xid < 0") == [(20_000 - len(copied),)]


def test_a_transaction_open_when_the_copy_begins_is_waited_for_and_is_in_it(ready: Adding) -> None:
    waiting = threading.Event()

    class Told(Silent):
        def waiting(self, text: str) -> None:
            if "waiting for the source's open transactions" in text:
                waiting.set()

    with ready.connect_leader() as conn:
        conn.execute("begin")
        conn.execute("insert into accounts values (1001, 0)")
        thread = threading.Thread(target=ready.add, kwargs={"progress": Told()})
        thread.start()
        assert waiting.wait(30)
        conn.execute("commit")
        thread.join(60)
    assert ready.follower.fetch("select count(*) from accounts where id = 1001") == [(1,)]


def test_a_large_table_is_shared_by_the_workers(ready: Adding) -> None:
    workers: set[str] = set()

    class Told(Silent):
        def copied(self, table: str, rows: int, text_bytes: int) -> None:  # noqa: ARG002
            if table == "public.big":
                workers.add(threading.current_thread().name)

    ready.leader.execute(
        "create table big (i int primary key, t text);"
        " insert into big select i, repeat(md5(i::text), 5) from generate_series(1, 60000) i;"
        " delete from big where i % 10 = 0"
    )
    ready.add(progress=Told(), chunk_bytes=256 * 1024)
    leader, follower = ready.both("select count(*), sum(hashtextextended(t::text, 0)) from big t")
    assert follower == leader == [(54_000, follower[0][1])]
    assert len(workers) == ready.settings.follower.copy_workers


def test_only_published_rows_and_columns_are_copied(adding: Adding) -> None:
    adding.leader.execute(
        "create table picked (id int primary key, a text, b text); insert into picked select i, 'a', 'b' from generate_series(1, 9) i;"
        " create table parts (id int primary key) partition by range (id);"
        " create table parts_1 partition of parts for values from (0) to (5);"
        " create table parts_2 partition of parts for values from (5) to (10);"
        " insert into parts select generate_series(1, 9);"
        " create table private (x int); insert into private values (1);"
    )
    adding.init()
    adding.leader.execute(
        "drop publication stretto; create publication stretto for table picked (id, a) where (id > 4), parts"
        " with (publish_via_partition_root)"
    )
    adding.add()
    assert adding.follower.fetch("select * from picked order by id") == [(i, "a", None) for i in range(5, 10)]
    assert adding.follower.fetch("select * from parts order by id") == [(i,) for i in range(1, 10)]
    assert adding.follower.fetch("select * from private") == []


def test_a_table_truncated_after_the_snapshot_is_noticed(ready: Adding) -> None:
    source = ready.settings.source
    snapshot = SharedSnapshot.take(source.dsn, None, application="test", sessions=2, waiting=lambda _: None)
    try:
        ready.leader.execute("truncate scratch")
        [(relid,)] = ready.leader.fetch("select 'scratch'::regclass::oid::bigint")
        with pytest.raises(SnapshotDisturbed, match="scratch of the source was truncated"):
            snapshot.hold([relid])
    finally:
        snapshot.close()


def test_no_slot_of_the_copy_is_left_and_none_holds_wal_back_during_it(ready: Adding) -> None:
    source = ready.settings.source
    snapshot = SharedSnapshot.take(source.dsn, None, application="test", sessions=2, waiting=lambda _: None)
    try:
        assert ready.leader.fetch(
            "select count(*) from pg_replication_slots where database = current_database() and temporary"
        ) == [(0,)]
        ready.leader.execute("insert into scratch values (1)")
        assert [session.execute("select count(*) from public.scratch").fetchone() for session in snapshot.sessions] == [
            (0,),
            (0,),
        ]
    finally:
        snapshot.close()


def test_the_follower_goes_on_from_the_log_without_a_gap(ready: Adding) -> None:
    with writing(ready, TRUNCATE) as wait:
        ready.add()
        with ready.running():
            wait(100)
            ready.settled()
    with ready.running():
        ready.settled()
    for table in ("accounts", "journal", "scratch"):
        leader, follower = ready.both(f"select t::text from {table} t order by 1")
        assert follower == leader


def test_capture_that_runs_during_the_copy_leaves_no_gap(ready: Adding) -> None:
    stop = threading.Event()
    capture = threading.Thread(target=Capture(ready.settings).run, args=(stop,))
    capture.start()
    try:
        with writing(ready, TRUNCATE) as wait:
            wait(100)
            ready.add()
    finally:
        stop.set()
        capture.join(30)
    with ready.running():
        ready.settled()
    for table in ("accounts", "journal", "scratch"):
        leader, follower = ready.both(f"select t::text from {table} t order by 1")
        assert follower == leader
