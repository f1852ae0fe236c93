"""What both captures see: tables of every kind and type, and changes of every kind to them."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg

SENTINEL = "sentinel"
"""The table whose only row is written last."""

VALUES: dict[str, tuple[str, tuple[str, ...]]] = {
    "an_int2": ("int2", ("1", "-32768", "32767")),
    "an_int4": ("int4", ("1", "-2147483648", "2147483647")),
    "an_int8": ("int8", ("1", "-9223372036854775808", "9223372036854775807")),
    "a_bool": ("bool", ("true", "false")),
    "a_float4": ("float4", ("1.5", "-0", "NaN", "Infinity", "-Infinity", "1e-45", "3.4028235e38", "16777216", "0.1")),
    "a_float8": (
        "float8",
        ("1.5", "-0", "NaN", "Infinity", "-Infinity", "5e-324", "1.7976931348623157e308", "1e21", "0.1", "1e5", "1e-4"),
    ),
    "a_numeric": (
        "numeric",
        ("1.50", "0", "NaN", "Infinity", "-Infinity", "1e-30", "123456789012345678901234567890.0123456789", "1e40"),
    ),
    "a_price": ("numeric(10,2)", ("1.5", "0", "NaN", "12345678.90")),
    "a_rounded": ("numeric(5,-2)", ("12345",)),
    "a_text": (
        "text",
        ("plain", "", 'quote " back \\ slash / newline \n tab \t bell \x07 del \x7f', "Grüße 日本 😀 \u2028", "null"),
    ),
    "a_varchar": ("varchar(20)", ("plain", "", "trailing  ")),
    "a_bpchar": ("char(5)", ("ab", "", "abcde")),
    "a_bytea": ("bytea", ("\\x00ff10", "\\x")),
    "a_date": (
        "date",
        ("2024-02-29", "0044-03-15 BC", "infinity", "-infinity", "1582-10-10", "0001-01-01", "12024-02-29"),
    ),
    "a_time": ("time", ("12:34:56", "12:34:56.123456", "24:00:00", "00:00", "12:34:56.1")),
    "a_time3": ("time(3)", ("12:34:56.1234",)),
    "a_timetz": ("timetz", ("12:34:56+02", "12:34:56.123456-03:30", "23:30:00-05", "00:30:00+05:45")),
    "a_timestamp": (
        "timestamp",
        (
            "2024-02-29 12:34:56",
            "2024-02-29 12:34:56.123456",
            "0044-03-15 10:00:00 BC",
            "infinity",
            "-infinity",
            "294276-12-31 23:59:59.999999",
            "2024-02-29 12:34:56.1",
            "2024-02-29 00:00:00",
        ),
    ),
    "a_timestamp3": ("timestamp(3)", ("2024-02-29 12:34:56.1234", "infinity")),
    "a_timestamptz": (
        "timestamptz",
        (
            "2024-02-29 12:34:56+02",
            "2024-02-29 12:34:56.123456+00",
            "0044-03-15 10:00:00+00 BC",
            "infinity",
            "-infinity",
            "294276-12-31 23:59:59.999999+00",
            "2024-02-29 12:34:56.1+00",
        ),
    ),
    "an_interval": (
        "interval",
        (
            "1 year 2 mons 3 days 04:05:06.789",
            "-1 day",
            "0",
            "1 mon -1 day 00:00:01",
            "infinity",
            "00:00:00.000001",
            "-00:00:01.5",
            "-1 year -2 mons +3 days -04:05:06",
        ),
    ),
    "a_uuid": ("uuid", ("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",)),
    "a_json": ("json", ('{"a": 1,  "b":[1, 2]}', "null", '"x"', '{"a":1,"a":2}')),
    "a_jsonb": ("jsonb", ('{"b": 1.50,  "a":[1, 2]}', "null", '"x"')),
    "an_inet": ("inet", ("192.168.1.5/24", "10.0.0.1", "2001:db8::1")),
    "a_cidr": ("cidr", ("192.168.1.0/24", "2001:db8::/32")),
    "a_macaddr": ("macaddr", ("08:00:2b:01:02:03",)),
    "a_macaddr8": ("macaddr8", ("08:00:2b:01:02:03:04:05",)),
    "an_enum": ("mood", ("happy", "so so")),
    "a_domain": ("positive", ("7",)),
    "a_domain_over_text": ("label", ("x",)),
    "a_domain_over_numeric": ("amount", ("1.50",)),
    "a_composite": ("pair", ('(1,"a b")', "(,)")),
    "ints": ("int[]", ("{1,2,NULL}", "{}", "[2:3]={1,2}", "{{1,2},{3,4}}")),
    "big_ints": ("int8[]", ("{1,9223372036854775807}",)),
    "texts": ("text[]", ('{a,"b c",NULL,"NULL","","q\\"uote"}', "{}")),
    "bools": ("bool[]", ("{t,f,NULL}",)),
    "floats": ("float8[]", ("{1.5,NaN,0.1}",)),
    "numerics": ("numeric[]", ("{1.50,NULL}", "{1.50,NaN}")),
    "dates": ("date[]", ("{2024-02-29,NULL}",)),
    "times": ("time[]", ("{12:34:56}",)),
    "timestamps": ("timestamp[]", ('{"2024-02-29 12:34:56"}',)),
    "timestamptzs": ("timestamptz[]", ('{"2024-02-29 12:34:56+02",NULL}',)),
    "uuids": ("uuid[]", ("{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",)),
    "jsonbs": ("jsonb[]", ('{"{\\"a\\": 1}"}',)),
    "byteas": ("bytea[]", ('{"\\\\x00ff"}',)),
    "inets": ("inet[]", ("{10.0.0.1}",)),
    "intervals": ("interval[]", ('{"1 day"}',)),
    "moneys": ("money[]", ('{"$1,234.50"}',)),
    "enums": ("mood[]", ('{happy,"so so"}',)),
    "composites": ("pair[]", ('{"(1,a)"}',)),
    "ranges": ("int4range[]", ('{"[1,5)"}',)),
    "an_int4range": ("int4range", ("[1,5)", "empty", "(,5)")),
    "a_numrange": ("numrange", ("[1.5,2.5)",)),
    "a_daterange": ("daterange", ("[2024-01-01,2024-02-01)",)),
    "a_tsrange": ("tsrange", ('["2024-01-01 00:00:00","2024-01-02 00:00:00")',)),
    "a_tstzrange": ("tstzrange", ('["2024-01-01 00:00:00+00",infinity)',)),
    "a_multirange": ("int4multirange", ("{[1,3),[5,7)}",)),
    "a_point": ("point", ("(1,2)", "(0.1,3)")),
    "a_line": ("line", ("{1,2,3}",)),
    "an_lseg": ("lseg", ("[(1,2),(3,4)]",)),
    "a_box": ("box", ("(3,4),(1,2)",)),
    "a_path": ("path", ("((1,2),(3,4))", "[(1,2),(3,4)]")),
    "a_polygon": ("polygon", ("((1,2),(3,4),(5,6))",)),
    "a_circle": ("circle", ("<(1,2),3>",)),
    "a_bit": ("bit(1)", ("1", "0")),
    "bits": ("bit(20)", ("10000000000000000001",)),
    "a_varbit": ("varbit", ("101", "", "1000000001")),
    "a_money": ("money", ("1234.56", "-0.5", "92233720368547758.07")),
    "a_tsvector": ("tsvector", ("'a' 'fat':2 'rat':3A",)),
    "a_tsquery": ("tsquery", ("'fat' & 'rat'",)),
    "an_oid": ("oid", ("4294967295", "1")),
    "a_regclass": ("regclass", ("pg_class",)),
    "an_xid": ("xid", ("42",)),
    "an_xid8": ("xid8", ("42",)),
    "a_tid": ("tid", ("(1,2)",)),
    "a_pg_lsn": ("pg_lsn", ("16/B374D848",)),
    "a_char": ('"char"', ("x", "\\200", "")),
    "a_name": ("name", ("pg_class",)),
    "a_jsonpath": ("jsonpath", ("$.a[*]",)),
    "a_snapshot": ("pg_snapshot", ("10:20:10,14",)),
}
"""A column of `kinds`, its type, and what is written into it; each value in a row of its own number."""

_TABLES = """
create type mood as enum ('happy', 'so so');
create domain positive as int check (value > 0);
create domain label as text;
create domain amount as numeric(10,2);
create type pair as (a int, b text);
create schema "Odd-Schema ü";
create table plain (id bigint primary key, name text, note text not null default 'none');
create table composite_key (b text, a int, v text, c date, primary key (a, b, c));
create table keys_of_types (u uuid, d date, n numeric(10,2), t timestamptz, b bool, e text, f float8,
    primary key (u, d, n, t, b, e, f));
create table keyless (a int, b text);
alter table keyless replica identity full;
create table identity_full (id int primary key, v text, n int);
alter table identity_full replica identity full;
create table identity_index (id int primary key, u int not null unique, v text);
alter table identity_index replica identity using index identity_index_u_key;
create table only_index (v text, u int not null unique);
alter table only_index replica identity using index only_index_u_key;
create table defaults (id int primary key, a int default 5, b text not null default 'b', c int not null, d timestamptz);
create table toast (id int primary key, big text, small text, bytes bytea, doc jsonb, texts text[], ints int[]);
alter table toast alter big set storage external, alter bytes set storage external, alter doc set storage external,
    alter texts set storage external, alter ints set storage external;
create table toast_full (id int primary key, big text, small text);
alter table toast_full alter big set storage external, replica identity full;
create table emptied (id int primary key, v text);
create table emptied_child (id int primary key references emptied, v text);
create table "Odd-Schema ü"."Tâble. x" ("Kéy ""1"" é" int primary key, "sp ace" text);
create table "a-b" (id int primary key);
create table "ABC" (id int primary key);
create table "日本" (id int primary key);
create table generated (id int primary key generated always as identity, a int, twice int generated always as (a * 2) stored);
create table parted (id int, region text, v text, primary key (id, region)) partition by list (region);
create table parted_eu partition of parted for values in ('eu');
create table parted_us partition of parted for values in ('us');
create table evolving (id int primary key, a text);
create table refused (id int primary key, t timetz);
create table sentinel (id int primary key);
"""

_BIG = "(select string_agg(md5(i::text), '') from generate_series(1, 200) i)"

_TRANSACTIONS = (
    "insert into plain values (1, 'one', 'n')",
    "insert into plain values (2, null, ''), (3, 'three', 'x')",
    "update plain set name = 'uno' where id = 1",
    "update plain set name = name where id = 2",
    "update plain set id = 10 where id = 1",
    "update plain set id = id + 100",
    "delete from plain where id = 110",
    "insert into plain values (5, 'a', 'b'); update plain set name = 'c' where id = 5; delete from plain where id = 5",
    (
        "insert into plain values (6, 'a', 'b'); insert into composite_key values ('bee', 1, 'v', '2024-01-01');"
        " insert into keyless values (1, 'x'); insert into plain values (7, 'a', 'b')"
    ),
    (
        "insert into plain values (8, 'a', 'b'); savepoint s; insert into plain values (9, 'undone', ''); rollback to s;"
        " insert into plain values (9, 'kept', '')"
    ),
    "update composite_key set v = 'w'",
    "update composite_key set b = 'bea'",
    "delete from composite_key",
    (
        "insert into keys_of_types values ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2024-02-29', 1.5, '2024-02-29 12:00+02', true,"
        " 'e', 1.5)"
    ),
    "delete from keys_of_types",
    "insert into keyless values (1, 'x'), (null, null)",
    "update keyless set b = 'y' where a = 1",
    "delete from keyless",
    "insert into identity_full values (1, 'x', null)",
    "update identity_full set v = 'y'",
    "update identity_full set id = 2",
    "update identity_full set v = v",
    "delete from identity_full",
    "insert into identity_index values (1, 10, 'x')",
    "update identity_index set v = 'y'",
    "update identity_index set u = 11",
    "update identity_index set id = 2",
    "delete from identity_index",
    "insert into only_index values ('x', 10)",
    "update only_index set v = 'y'",
    "update only_index set u = 11",
    "delete from only_index",
    "insert into defaults values (1, default, default, 3, null), (2, null, 'c', 4, '2024-02-29')",
    "update defaults set a = null",
    "delete from defaults",
    (
        f"insert into toast select 1, x, 's', decode(x, 'hex'), jsonb_build_object('a', x), array[x],"
        f" (select array_agg(i) from generate_series(1, 2000) i) from {_BIG} t(x)"
    ),
    "update toast set small = 't'",
    "update toast set id = 2",
    "update toast set big = null",
    "delete from toast",
    f"insert into toast_full values (1, {_BIG}, 's')",
    "update toast_full set small = 't'",
    "update toast_full set id = 2",
    "delete from toast_full",
    "insert into emptied values (1, 'x'); insert into emptied_child values (1, 'y')",
    "truncate emptied cascade",
    "insert into emptied values (2, 'x'); truncate emptied restart identity cascade; insert into emptied values (3, 'x')",
    'insert into "Odd-Schema ü"."Tâble. x" values (1, \'x\')',
    'insert into "a-b" values (1)',
    'insert into "ABC" values (1)',
    'insert into "日本" values (1)',
    "insert into generated (a) values (4)",
    "update generated set a = 5",
    "delete from generated",
    "insert into parted values (1, 'eu', 'x'), (2, 'us', 'y')",
    "update parted set v = 'z' where id = 1",
    "update parted set region = 'us' where id = 1",
    "delete from parted where id = 2",
    "truncate parted",
    "insert into evolving values (1, 'x')",
    "alter table evolving add b int",
    "insert into evolving values (2, 'y', 8)",
    "update evolving set a = 'z' where id = 1",
    "insert into refused values (1, '00:00:00+05:45:30')",
    "select pg_logical_emit_message(true, 'app', 'hello')",
    (
        "select pg_logical_emit_message(true, 'app', '\\x00ff'::bytea); insert into plain values (20, 'm', 'm');"
        " select pg_logical_emit_message(true, 'app', '')"
    ),
    "select pg_logical_emit_message(false, 'loose', 'now', true)",
)


def create(conn: psycopg.Connection) -> None:
    """Make the tables, all empty."""
    columns = ", ".join(f"{name} {kind}" for name, (kind, _) in VALUES.items())
    conn.execute(_TABLES)
    conn.execute(f"create table kinds (id int primary key, {columns})")


def run(conn: psycopg.Connection) -> None:
    """Make the changes, one transaction after the other; `conn` is in autocommit mode."""
    for statements in (*_kinds(), *_TRANSACTIONS):
        conn.execute(f"begin; {statements}; commit")
    conn.execute("select pg_replication_origin_create('elsewhere')")
    conn.execute("select pg_replication_origin_session_setup('elsewhere')")
    conn.execute(
        "begin; select pg_replication_origin_xact_setup('0/2A', '2024-02-29 12:00+00'); insert into plain values (30, 'o', 'o');"
        " commit"
    )
    conn.execute("select pg_replication_origin_session_reset()")
    conn.execute("insert into sentinel values (1)")


def column_types(conn: psycopg.Connection) -> dict[tuple[str, str, str], str]:
    """The type of each column by schema, table and column; of a domain, what it is made of."""
    rows = conn.execute(
        """
        select n.nspname, c.relname, a.attname,
               format_type(coalesce(nullif(t.typbasetype, 0), a.atttypid),
                           case when t.typbasetype = 0 then a.atttypmod else t.typtypmod end)
          from pg_attribute a
          join pg_class c on c.oid = a.attrelid
          join pg_namespace n on n.oid = c.relnamespace
          join pg_type t on t.oid = a.atttypid
         where a.attnum > 0 and c.relkind in ('r', 'p') and n.nspname !~ '^(pg_|information_schema)'
        """
    )
    return {(schema, table, column): kind for schema, table, column, kind in rows}


def _kinds() -> Iterator[str]:
    yield "insert into kinds (id) values (0)"
    for number in range(1, 1 + max(len(values) for _, values in VALUES.values())):
        row = {name: _literal(values[number - 1]) for name, (_, values) in VALUES.items() if len(values) >= number}
        yield f"insert into kinds (id, {', '.join(row)}) values ({number}, {', '.join(row.values())})"
    yield "update kinds set a_text = 'changed' where id = 1"
    yield "delete from kinds where id = 1"


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
