"""Leader and follower compared while they move."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from stretto.cli import app
from stretto_connectors.postgres.checksum import Version
from stretto_consumers.verify import verify
from stretto_consumers.verify.verdict import Verdict, judge
from stretto_schemas.errors import CheckFailed, UsageError
from tests.fix_add import Adding

TABLES = """
create table items (id int primary key, label text, done bool default false, twice int generated always as (id * 2) virtual);
create table "Paare" (a text, "ü b" int, note text, primary key ("ü b", a));
create table keyless (a int, b text);
create table parts (id int primary key, note text) partition by range (id);
create table parts_1 partition of parts for values from (0) to (500);
create table parts_2 partition of parts for values from (500) to (100000);
insert into items select i, 'label ' || i from generate_series(1, 5000) i;
insert into "Paare" select chr(65 + i % 50) || ' %s', i / 7, null from generate_series(1, 2000) i;
insert into keyless select i % 10, 'b' from generate_series(1, 100) i;
insert into parts select i, 'note' from generate_series(1, 1000) i;
"""

Counts = dict[str, tuple[int, int, int, int]]


@pytest.fixture
def made(adding: Adding) -> Adding:
    adding.leader.execute(TABLES)
    adding.init()
    adding.add()
    return adding


@pytest.fixture
def followed(made: Adding) -> Iterator[Adding]:
    with made.running():
        made.settled()
        yield made


def counts(adding: Adding, *tables: str) -> Counts:
    """By table not equal: missing, surplus, changed, undecided."""
    report = verify(adding.settings, tables or None, chunk_rows=300, wait_s=10)
    assert report.equal is (not report.differing)
    return {t.name: (t.missing, t.surplus, t.changed, t.undecided) for t in report.differing}


def test_equal_tables_are_equal_even_when_nothing_runs(made: Adding) -> None:
    report = verify(made.settings, chunk_rows=300)
    assert {t.name: (t.rows, t.equal) for t in report.tables} == {
        "items": (5000, True),
        "Paare": (2000, True),
        "keyless": (100, True),
        "parts": (1000, True),
    }
    assert report.equal


def test_rows_that_are_missing_surplus_and_changed_are_counted_and_found(followed: Adding) -> None:
    followed.follower.execute(
        "delete from items where id in (1, 2500); insert into items values (5001, 'mine');"
        " update items set done = true where id = 300; update \"Paare\" set note = '' where a = 'B %s' and \"ü b\" = 0;"
        " update parts set note = null where id in (499, 500)"
    )
    report = verify(followed.settings, chunk_rows=300, wait_s=10)
    assert counts(followed) == {"items": (2, 1, 1, 0), "Paare": (0, 0, 1, 0), "parts": (0, 0, 2, 0)}
    [items] = [table for table in report.tables if table.name == "items"]
    assert sorted((each.kind, each.key) for each in items.differences) == [
        ("changed", ("300",)),
        ("missing", ("1",)),
        ("missing", ("2500",)),
        ("surplus", ("5001",)),
    ]
    assert counts(followed, "public.items") == {"items": (2, 1, 1, 0)}


def test_keyless_rows_are_counted_one_by_one(followed: Adding) -> None:
    followed.follower.execute(
        "insert into keyless values (1, 'b'), (1, 'b'); delete from keyless where a = 7; insert into keyless values (11, null)"
    )
    assert counts(followed) == {"keyless": (10, 3, 0, 0)}


@contextmanager
def writing(adding: Adding) -> Iterator[None]:
    stop = threading.Event()

    def write() -> None:
        n = 0
        with adding.connect_leader() as conn:
            while not stop.is_set():
                n += 1
                with conn.transaction():
                    conn.execute("update items set done = not done where id in (%s, 17)", (n % 4000 + 1,))
                    conn.execute("update items set id = -id where id in (4500, -4500)")
                    conn.execute("insert into items values (%s, 'new')", (10_000 + n,))
                    conn.execute("delete from items where id = %s", (10_000 + n - 50,))
                    conn.execute("insert into keyless values (%s, 'new')", (n % 100,))
                with conn.transaction():
                    conn.execute("delete from keyless where b = 'new'")
                stop.wait(0.002)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_under_writes_only_what_really_differs_is_different(followed: Adding) -> None:
    with writing(followed):
        for table in ("items", "keyless"):
            missing, surplus, changed, _ = counts(followed, f"public.{table}").get(table, (0, 0, 0, 0))
            assert (missing, surplus, changed) == (0, 0, 0)
        followed.follower.execute("update items set label = 'other' where id = 4900; delete from items where id = 4901")
        missing, surplus, changed, _ = counts(followed, "public.items")["items"]
        assert (missing, surplus, changed) == (1, 0, 1)
        followed.follower.execute("delete from keyless where a = 7 and b = 'b'")
        missing, surplus, changed, _ = counts(followed, "public.keyless")["keyless"]
        assert (missing, surplus, changed) == (10, 0, 0)


def test_a_follower_that_does_not_move_cannot_be_judged(made: Adding) -> None:
    made.leader.execute("update items set done = true where id = 1")
    with pytest.raises(CheckFailed, match="can be told only when it has passed"):
        verify(made.settings, wait_s=0.5)


def test_a_database_that_follows_nothing_is_refused(adding: Adding) -> None:
    with pytest.raises(UsageError, match="does not follow source leader"):
        verify(adding.settings)


def test_a_table_that_is_not_published_is_refused(made: Adding) -> None:
    with pytest.raises(UsageError, match=r"not published: public\.nowhere"):
        verify(made.settings, ["public.items", "public.nowhere"])


def test_a_table_or_column_that_the_follower_lacks_is_a_problem_of_that_table(made: Adding) -> None:
    made.follower.execute("drop table keyless; alter table items drop label; alter table parts add mine int")
    assert {table.name: table.problem for table in verify(made.settings).tables} == {
        "items": "the follower's table lacks column label",
        "Paare": None,
        "keyless": "the follower has no such table",
        "parts": None,
    }


def test_a_follower_without_the_key_is_compared_as_a_multiset(followed: Adding) -> None:
    followed.follower.execute("alter table items drop constraint items_pkey; insert into items values (5, 'label 5')")
    assert counts(followed, "public.items") == {"items": (0, 1, 0, 0)}


def test_the_command_shows_keys_only_when_asked(followed: Adding, monkeypatch: pytest.MonkeyPatch) -> None:
    followed.follower.execute("""update "Paare" set note = 'secret' where a = 'B %s' and "ü b" = 0""")
    settings = followed.settings
    for name, value in {
        "PREFIX": settings.prefix,
        "SOURCE__DSN": followed.leader.dsn,
        "SOURCE__SLOT": settings.source.slot_name,
        "FOLLOWER__DSN": followed.follower.dsn,
        "KAFKA__BOOTSTRAP": settings.kafka.bootstrap,
    }.items():
        monkeypatch.setenv(f"STRETTO_{name}", value)
    hidden = CliRunner().invoke(app, ["verify"])
    assert hidden.exit_code == 1
    assert "public.Paare: 2,000 rows, 1 with other values\n  changed: key hash " in hidden.stdout
    assert "B %s" not in hidden.stdout
    shown = CliRunner().invoke(app, ["verify", "--show-keys", "public.Paare", "-f", "json"])
    assert '"key": ["0", "B %s"]' in shown.stdout
    assert "secret" not in shown.stdout
    assert CliRunner().invoke(app, ["verify", "public.items"]).exit_code == 0


def row(content: int, written_by: str = "1") -> Version:
    return Version(content, written_by)


@pytest.mark.parametrize(
    ("earlier_follower", "before", "follower", "after", "verdict"),
    [
        (None, row(1), row(1, "f"), row(1), Verdict.EQUAL),
        (None, row(1), row(1, "f"), row(2, "2"), Verdict.EQUAL),
        (None, row(1), row(2, "f"), row(2, "2"), Verdict.EQUAL),
        (None, None, None, row(1), Verdict.EQUAL),
        (None, row(1), row(3, "f"), row(1), Verdict.DIFFERENT),
        (None, row(1), None, row(1), Verdict.DIFFERENT),
        (None, row(1), row(3, "f"), row(2, "2"), Verdict.UNDECIDED),
        (None, row(1, "1"), row(2, "f"), row(1, "2"), Verdict.UNDECIDED),
        (None, None, row(1, "f"), None, Verdict.UNDECIDED),
        (row(1, "e"), None, row(1, "f"), None, Verdict.UNDECIDED),
        (row(1, "f"), None, row(1, "f"), None, Verdict.DIFFERENT),
        (row(3, "f"), row(1), row(3, "f"), row(2, "2"), Verdict.DIFFERENT),
    ],
)
def test_a_key_is_different_only_when_one_side_rested_meanwhile(
    earlier_follower: Version | None,
    before: Version | None,
    follower: Version | None,
    after: Version | None,
    verdict: Verdict,
) -> None:
    assert judge(earlier_follower, before, follower, after) is verdict


def test_the_wait_for_the_follower_ends_in_time(made: Adding) -> None:
    made.leader.execute("insert into items values (9000)")
    begun = time.monotonic()
    with pytest.raises(CheckFailed):
        verify(made.settings, wait_s=0.3)
    assert time.monotonic() - begun < 5
