from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from stretto.demo import wide
from stretto.demo.literals import BASE_LITERALS, GENERIC_LITERALS
from stretto.demo.wide import Wide

Connection = psycopg.Connection[Any]


@pytest.fixture
def conn(leader_db: Any) -> Iterator[Connection]:
    with psycopg.connect(leader_db.dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def table(conn: Connection) -> Wide:
    return wide.create(conn)


def whole_rows(conn: Connection) -> list[tuple[str]]:
    return conn.execute("select wide::text from wide order by id").fetchall()


def test_every_type_of_the_server_is_a_column_or_a_named_exception(conn: Connection, table: Wide) -> None:
    used = "select atttypid from pg_attribute where attrelid = 'wide'::regclass and attnum > 0"
    missing = conn.execute(
        f"""
        select case n.nspname when 'pg_catalog' then t.typname else n.nspname || '.' || t.typname end
        from pg_type t join pg_namespace n on n.oid = t.typnamespace
        where t.oid not in ({used}) and n.nspname in ('pg_catalog', 'information_schema')
        """
    )
    assert {name for (name,) in missing} == set(table.exceptions)


def test_of_types_made_here_every_kind_and_its_array_is_a_column(table: Wide) -> None:
    names = {column.name for column in table.columns}
    assert names >= {*wide.OWN_TYPE_NAMES, *(f"_{name}" for name in wide.OWN_TYPE_NAMES)}


def test_types_left_out_for_want_of_input_do_refuse_every_literal(conn: Connection, table: Wide) -> None:
    accepted = conn.execute(
        "select t, l from unnest(%s::text[]) t, unnest(%s::text[]) l where pg_temp.printed(l, t) is not null",
        [[name for name in wide.NO_INPUT if name in table.exceptions], list(GENERIC_LITERALS)],
    )
    assert accepted.fetchall() == []


def test_every_listed_literal_is_accepted_and_every_column_has_some(conn: Connection, table: Wide) -> None:
    if conn.info.server_version >= 180000:
        assert table.refused == {}
    assert table.without_values == ()
    assert min(len(column.literals) for column in table.columns) >= 2


def test_a_type_that_nobody_listed_gets_values_by_trying(conn: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wide, "BASE_LITERALS", {"text": BASE_LITERALS["text"]})
    table = wide.create(conn)
    assert table.without_values == ()


def test_enough_rows_hold_every_literal_and_null(conn: Connection, table: Wide) -> None:
    n = 1 + max(len(column.literals) for column in table.columns)
    assert table.insert_rows(conn, n, random.Random(1)) == n
    for column in table.columns:
        distinct = sql.SQL("select distinct {}::text from wide").format(sql.Identifier(column.name))
        printed = conn.execute(
            "select pg_temp.printed(l, %s) from unnest(%s::text[]) l",
            [column.declaration.as_string(conn), list(column.literals)],
        )
        assert {*conn.execute(distinct)} == {*printed, (None,)}, column.name


def test_the_rows_text_read_back_gives_the_same_rows(conn: Connection, table: Wide) -> None:
    table.insert_rows(conn, 60, random.Random(2))
    conn.execute("create table again (like wide)")
    columns = sql.SQL(", ").join(sql.Identifier(c.name) for c in table.columns)
    with conn.cursor().copy("copy wide to stdout") as copy:
        text = b"".join(bytes(block) for block in copy)
    with conn.cursor().copy(sql.SQL("copy again (id, {}) from stdin").format(columns)) as copy:
        copy.write(text)
    assert conn.execute("select again::text from again order by id").fetchall() == whole_rows(conn)


def test_the_same_seed_writes_the_same_rows(conn: Connection, table: Wide) -> None:
    contents = []
    for _ in range(2):
        conn.execute("truncate wide restart identity")
        rng = random.Random(7)
        table.insert_rows(conn, 50, rng)
        assert table.update_rows(conn, 10, rng) > 0
        assert table.rekey_rows(conn, 3, rng) > 0
        assert table.delete_rows(conn, 5, rng) > 0
        contents.append(whole_rows(conn))
    assert contents[0] == contents[1]


def test_updates_and_deletes_of_an_empty_table_do_nothing(conn: Connection, table: Wide) -> None:
    rng = random.Random(1)
    assert table.update_rows(conn, 3, rng) == table.rekey_rows(conn, 3, rng) == table.delete_rows(conn, 3, rng) == 0
