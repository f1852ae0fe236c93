"""The position moves only under the term of the process that holds it."""

from __future__ import annotations

import msgspec
import pytest
from pydantic import SecretStr

from stretto_connectors.postgres.bookkeeping import (
    advance_position,
    ensure_schema,
    raise_term,
    read_position,
    write_new_position,
)
from stretto_connectors.postgres.connection import Connection, connect
from stretto_schemas.errors import Fenced
from stretto_schemas.position import Position
from tests.fix_stack import Database

FIRST = Position("leader", 1, 10, 0, 10, 3, 2, {("topic", 0): 7})


def write_under(conn: Connection, position: Position) -> None:
    """A row and the position, as one transaction."""
    with conn.transaction():
        conn.execute("insert into public.t values (2)")
        advance_position(conn, position)


def test_a_process_that_was_overtaken_is_fenced_and_its_rows_are_gone(follower_db: Database) -> None:
    follower_db.execute("create table t (id int primary key)")
    dsn = SecretStr(follower_db.dsn)
    with (
        connect(dsn, application="one") as one,
        connect(dsn, application="two") as two,
    ):
        ensure_schema(one)
        write_new_position(one, FIRST, "follower")
        raise_term(one, "leader")
        mine = read_position(one, "leader")
        assert mine is not None
        with one.transaction():
            one.execute("insert into public.t values (1)")
            advance_position(one, msgspec.structs.replace(mine, end_lsn=20))
        raise_term(two, "leader")
        advanced = msgspec.structs.replace(mine, end_lsn=30)
        with pytest.raises(Fenced, match="another follower process took over source 'leader'"):
            write_under(one, advanced)
        left = read_position(two, "leader")
    assert left is not None
    assert (left.end_lsn, left.term) == (20, mine.term + 1)
    assert follower_db.fetch("select id from t") == [(1,)]
