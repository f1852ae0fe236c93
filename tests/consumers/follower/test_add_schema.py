"""What `stretto follower add` brings to a follower, besides rows."""

from __future__ import annotations

import pytest

from tests.fix_add import Adding

SCHEMA = """
create schema "Müller & Söhne";
create type mood as enum ('sad', 'ok', 'happy');
create domain positive as int check (value > 0);
create type pair as (a int, b text);
create type span as range (subtype = float8);
create function twice(n int) returns int language sql immutable as 'select n * 2';
create table parents (id int primary key, name text not null unique, mood mood default 'ok', size positive);
create table children (
    id bigint generated always as identity primary key,
    parent int references parents on delete cascade,
    both_ways int generated always as (parent * 2) stored,
    at_read int generated always as (parent + 1) virtual,
    pair pair, span span, n int default twice(4) check (n < 1000)
);
alter table parents add favourite bigint references children;
create index children_by_pair on children (((pair).a)) where n > 3;
create table serials (id serial primary key, "Größe 100%" text default 'x''y');
comment on table serials is 'a comment with "quotes"';
create sequence free increment by -5 minvalue -1000000 start with -10;
create sequence tiny as smallint;
create table "Müller & Söhne"."Straße.1" ("select" int primary key, "ö.ä" text);
create table parts (id int not null, day date not null, note text, primary key (id, day)) partition by range (day);
create table parts_old partition of parts for values from (minvalue) to ('2024-01-01');
create table parts_new partition of parts for values from ('2024-01-01') to (maxvalue) partition by list (id);
create table parts_new_1 partition of parts_new for values in (30, 31, 32);
create table parts_new_rest partition of parts_new default;
create table base (id int primary key, what text);
create table derived (more text) inherits (base);
create table nothing ();
create view happy as select * from parents where mood = 'happy';
create materialized view counted as select count(*) from parents;
create materialized view counted_twice as select count * 2 as n from counted;
create materialized view not_filled as select 1 as x with no data;
create function noted() returns trigger language plpgsql as $$ begin raise 'a trigger fired'; end $$;
create trigger never before insert on serials for each row execute function noted();
alter table serials disable trigger never;
alter table serials replica identity using index serials_pkey;
create statistics two_columns on name, mood from parents;
create operator === (leftarg = int, rightarg = int, function = int4eq);
create cast (span as text) with inout;
create event trigger quiet on ddl_command_end when tag in ('CREATE SEQUENCE') execute function event_noted();
"""

EVENT = "create function event_noted() returns event_trigger language plpgsql as $$ begin end $$"

ROWS = """
insert into parents select i, 'parent ' || i, 'happy', i from generate_series(1, 20) i;
insert into children (parent, pair, span) select i, (i, 'b')::pair, span(i, i + 0.5) from generate_series(1, 20) i;
update parents set favourite = id where id < 5;
insert into serials ("Größe 100%") select repeat('ü', i) from generate_series(1, 30) i;
insert into "Müller & Söhne"."Straße.1" values (1, E'tab\\t new\\n line \\\\ back'), (2, null), (3, ''), (4, '\\N');
insert into parts select i, '2023-06-01'::date + i * 10, 'note' from generate_series(1, 60) i;
insert into base values (1, 'base');
insert into derived values (2, 'derived', 'more');
insert into nothing default values;
insert into nothing default values;
select nextval('free'), nextval('free'), nextval('tiny');
refresh materialized view counted;
refresh materialized view counted_twice;
"""

OBJECTS = """
select name from (
    select pg_describe_object(classid, objid, 0) from (
        select 'pg_class'::regclass, oid from pg_class
        union all select 'pg_constraint'::regclass, oid from pg_constraint
        union all select 'pg_proc'::regclass, oid from pg_proc
        union all select 'pg_type'::regclass, oid from pg_type
        union all select 'pg_trigger'::regclass, oid from pg_trigger where not tgisinternal
        union all select 'pg_operator'::regclass, oid from pg_operator
        union all select 'pg_cast'::regclass, oid from pg_cast
        union all select 'pg_event_trigger'::regclass, oid from pg_event_trigger
        union all select 'pg_statistic_ext'::regclass, oid from pg_statistic_ext
        union all select 'pg_namespace'::regclass, oid from pg_namespace
    ) o (classid, objid) where objid >= 16384
) d (name) where name !~ 'pg_toast|pg_temp|stretto' order by 1
"""

DEFINITIONS = (
    "select pg_get_constraintdef(oid) from pg_constraint where connamespace::regnamespace::text <> 'stretto' order by 1",
    "select indexdef from pg_indexes where schemaname <> 'stretto' order by 1",
    (
        "select attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,"
        " pg_get_expr(adbin, adrelid) from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum"
        " where attrelid >= 16384 and attnum > 0 and not attisdropped and attrelid::regclass::text !~ '^(stretto|pg_)' order by 1, 2"
    ),
    "select pg_get_viewdef(oid) from pg_class where relkind in ('v', 'm') and oid >= 16384 order by 1",
    "select obj_description('serials'::regclass)",
    (
        "select relname, relreplident, pg_get_expr(relpartbound, oid) from pg_class where relkind in ('r', 'p')"
        " and relnamespace = 'public'::regnamespace order by 1"
    ),
    "select tgname, tgenabled from pg_trigger where not tgisinternal",
)

TABLES = (
    "parents", "children", "serials", '"Müller & Söhne"."Straße.1"', "parts", "parts_old", "parts_new_1",
    "parts_new_rest", "only base", "derived", "nothing", "counted", "counted_twice",
)  # fmt: skip


@pytest.fixture
def added(adding: Adding) -> Adding:
    adding.leader.execute(EVENT)
    adding.leader.execute(SCHEMA)
    adding.leader.execute(ROWS)
    adding.init()
    adding.add()
    return adding


def test_every_kind_of_object_and_every_row_arrives(added: Adding) -> None:
    leader, follower = added.both(OBJECTS)
    assert follower == leader
    assert len(leader) > 60
    for query in DEFINITIONS:
        leader, follower = added.both(query)
        assert follower == leader
    for table in TABLES:
        leader, follower = added.both(f"select t::text from {table} t order by 1")
        assert follower == leader
        assert leader


def test_a_materialized_view_that_is_empty_on_the_leader_stays_empty(added: Adding) -> None:
    assert added.follower.fetch("select relispopulated from pg_class where relname = 'not_filled'") == [(False,)]


def test_sequences_stand_ahead_of_the_leaders(added: Adding) -> None:
    added.follower.execute("set session_replication_role = replica")
    assert added.follower.fetch("select nextval('serials_id_seq')") == [(10_031,)]
    assert added.follower.fetch("insert into children (parent) values (1) returning id") == [(10_021,)]
    assert added.follower.fetch("select nextval('free')") == [(-15 - 5 * 10_000 - 5,)]
    [(tiny,)] = added.follower.fetch("select nextval('tiny')")
    assert tiny == 1 + (32_767 - 1) // 4 + 1


def test_statistics_are_there(added: Adding) -> None:
    assert added.follower.fetch("select reltuples::int from pg_class where relname = 'parents'") == [(20,)]
