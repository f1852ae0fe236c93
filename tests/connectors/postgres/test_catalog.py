"""Reading the source's catalog."""

from __future__ import annotations

import psycopg
from pydantic import SecretStr

from stretto_connectors.postgres.catalog import read_columns
from stretto_connectors.postgres.connection import connect
from tests.fix_stack import Database

TABLE = """
create type mood as enum ('well', 'ill');
create function one() returns int immutable language sql as 'select 1';
create table t (
    id serial primary key, a text default 'x''y', b int default one() + 2, c timestamptz default now(), d mood default 'well',
    e int[] default '{1,2}', f int generated always as (b * 2) stored, g text default (current_user || 'x')::varchar(9), h int
);
"""


def test_columns_of_a_locked_table_are_read_without_waiting(leader_db: Database) -> None:
    leader_db.execute(TABLE)
    [(relid,)] = leader_db.fetch("select 't'::regclass::oid::bigint")
    dsn = SecretStr(leader_db.dsn)
    with connect(dsn, application="test") as conn, psycopg.connect(leader_db.dsn) as holder:
        shown = conn.execute(
            "select a.attname, pg_get_expr(d.adbin, d.adrelid) from pg_attribute a left join pg_attrdef d"
            " on d.adrelid = a.attrelid and d.adnum = a.attnum where a.attrelid = %s and a.attnum > 0 and attgenerated = ''",
            (relid,),
        ).fetchall()
        holder.execute("alter table t add z int")
        conn.execute("set lock_timeout = '2s'")
        assert {name: column.default for name, column in read_columns(conn, relid).items()} == dict(shown)
        holder.rollback()
    assert len(shown) == 8
