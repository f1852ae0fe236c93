"""What a copy made on a follower, so that exactly that can be taken away again, and nothing of anybody else's.

`stretto.copy` has one row a source: `copying` from before the first object is made, `done` in the transaction that
writes the position. `stretto.copy_object` lists what the copy made (`made`), or which empty tables it found and filled.
Both stay when the copy is done: copying everything again needs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql

from stretto_schemas.errors import CheckFailed

Connection = psycopg.Connection[tuple[Any, ...]]

_TABLES: Final = """
create table if not exists stretto.copy (
    source text primary key,
    follower text not null,
    state text not null check (state in ('copying', 'done')),
    started_at timestamptz not null default clock_timestamp(),
    finished_at timestamptz
);
create table if not exists stretto.copy_object (
    source text not null references stretto.copy on delete cascade,
    classid oid not null,
    objid oid not null,
    type text not null,
    identity text not null,
    made boolean not null,
    primary key (source, classid, objid)
);
comment on table stretto.copy is 'Copies of sources into this database, under way or done';
comment on table stretto.copy_object is 'What a copy made here (made) or found empty and filled';
"""

# Objects that stand by themselves, in the catalogs whose entries a schema dump makes. Members of extensions belong to
# their extension. 16384 is FirstNormalObjectId: below it are the server's own.
_OBJECTS: Final = """
select o.classid, o.objid from (
    select 'pg_catalog.pg_class'::pg_catalog.regclass::oid, oid from pg_catalog.pg_class
     where relkind in ('r', 'p', 'v', 'm', 'S', 'f', 'c') and relpersistence <> 't'
    union all select 'pg_catalog.pg_type'::pg_catalog.regclass::oid, oid from pg_catalog.pg_type
     where typtype in ('e', 'd', 'r') or (typtype = 'b' and typcategory <> 'A')
    union all select 'pg_catalog.pg_proc'::pg_catalog.regclass::oid, oid from pg_catalog.pg_proc
    union all select 'pg_catalog.pg_namespace'::pg_catalog.regclass::oid, oid from pg_catalog.pg_namespace
     where nspname !~ '^pg_' and nspname <> 'stretto'
    union all select 'pg_catalog.pg_operator'::pg_catalog.regclass::oid, oid from pg_catalog.pg_operator
    union all select 'pg_catalog.pg_opclass'::pg_catalog.regclass::oid, oid from pg_catalog.pg_opclass
    union all select 'pg_catalog.pg_opfamily'::pg_catalog.regclass::oid, oid from pg_catalog.pg_opfamily
    union all select 'pg_catalog.pg_collation'::pg_catalog.regclass::oid, oid from pg_catalog.pg_collation
    union all select 'pg_catalog.pg_conversion'::pg_catalog.regclass::oid, oid from pg_catalog.pg_conversion
    union all select 'pg_catalog.pg_cast'::pg_catalog.regclass::oid, oid from pg_catalog.pg_cast
    union all select 'pg_catalog.pg_transform'::pg_catalog.regclass::oid, oid from pg_catalog.pg_transform
    union all select 'pg_catalog.pg_language'::pg_catalog.regclass::oid, oid from pg_catalog.pg_language
    union all select 'pg_catalog.pg_am'::pg_catalog.regclass::oid, oid from pg_catalog.pg_am
    union all select 'pg_catalog.pg_ts_config'::pg_catalog.regclass::oid, oid from pg_catalog.pg_ts_config
    union all select 'pg_catalog.pg_ts_dict'::pg_catalog.regclass::oid, oid from pg_catalog.pg_ts_dict
    union all select 'pg_catalog.pg_ts_parser'::pg_catalog.regclass::oid, oid from pg_catalog.pg_ts_parser
    union all select 'pg_catalog.pg_ts_template'::pg_catalog.regclass::oid, oid from pg_catalog.pg_ts_template
    union all select 'pg_catalog.pg_foreign_data_wrapper'::pg_catalog.regclass::oid, oid from pg_catalog.pg_foreign_data_wrapper
    union all select 'pg_catalog.pg_foreign_server'::pg_catalog.regclass::oid, oid from pg_catalog.pg_foreign_server
    union all select 'pg_catalog.pg_event_trigger'::pg_catalog.regclass::oid, oid from pg_catalog.pg_event_trigger
    union all select 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass::oid, oid from pg_catalog.pg_statistic_ext
    union all select 'pg_catalog.pg_extension'::pg_catalog.regclass::oid, oid from pg_catalog.pg_extension
) o (classid, objid)
where o.objid >= 16384
  and not exists (select from pg_catalog.pg_depend d where d.classid = o.classid and d.objid = o.objid and d.deptype = 'e')
"""


@dataclass(frozen=True, slots=True)
class Copy:
    """A row of `stretto.copy`."""

    follower: str
    state: str


def find_copy(conn: Connection, source: str) -> Copy | None:
    """The copy of this source, under way, interrupted or done; None when there never was one."""
    if conn.execute("select to_regclass('stretto.copy')").fetchone() == (None,):
        return None
    row = conn.execute("select follower, state from stretto.copy where source = %s", (source,)).fetchone()
    return None if row is None else Copy(*row)


def begin_copy(conn: Connection, source: str, follower: str, filled: Sequence[tuple[str, str]]) -> None:
    """Note that a copy begins, before anything is made. `filled`: tables that are there already, empty."""
    with conn.transaction():
        conn.execute(_TABLES)
        conn.execute(
            "insert into stretto.copy (source, follower, state) values (%s, %s, 'copying')", (source, follower)
        )
        for schema, name in filled:
            conn.execute(
                "insert into stretto.copy_object select %s, 'pg_class'::regclass, c.oid, i.type, i.identity, false"
                " from pg_class c join pg_namespace n on n.oid = c.relnamespace"
                " cross join lateral pg_identify_object('pg_class'::regclass, c.oid, 0) i"
                " where n.nspname = %s and c.relname = %s",
                (source, schema, name),
            )


def end_copy(conn: Connection, source: str) -> None:
    """Note that the copy is done, in the caller's transaction: the one that writes the position."""
    conn.execute("update stretto.copy set state = 'done', finished_at = clock_timestamp() where source = %s", (source,))


def recording(script: str, source: str) -> str:
    """Wrap a script for psql: one transaction, in which what it makes is also listed in `stretto.copy_object`."""
    name = "'" + source.replace("'", "''") + "'"
    return _RECORDING.format(objects=_OBJECTS, script=script, source=name)


_RECORDING: Final = """
begin;
create temporary table stretto_before on commit drop as {objects};
{script}
insert into stretto.copy_object
select {source}, n.classid, n.objid, i.type, i.identity, true
from ({objects} except select classid, objid from pg_temp.stretto_before) n
cross join lateral pg_catalog.pg_identify_object(n.classid, n.objid, 0) i;
commit;
"""


def clear_copy(conn: Connection, source: str) -> int:
    """Take away what the copy made, empty what it filled, forget it, and the position with it; return how many objects.

    Killed in the middle, it goes on the next time. Nothing is dropped by CASCADE, so nothing that others made goes
    along: what they made upon it stops this with CheckFailed.
    """
    conn.execute("update stretto.copy set state = 'copying' where source = %s", (source,))
    conn.execute("delete from stretto.position where source = %s", (source,))
    cleared = _empty(conn, source) + _drop(conn, source)
    conn.execute("delete from stretto.copy where source = %s", (source,))
    return cleared


_LISTED: Final = """
select i.type, i.identity, o.objid::bigint
from stretto.copy_object o
cross join lateral pg_identify_object(o.classid, o.objid, 0) i
where o.source = %s and o.made = %s and i.identity = o.identity and i.type = o.type
order by o.objid desc
"""


def _empty(conn: Connection, source: str) -> int:
    filled = conn.execute(_LISTED, (source, False)).fetchall()
    if filled:
        names = sql.SQL(", ").join(_printed(identity) for _, identity, _ in filled)
        try:
            conn.execute(sql.SQL("truncate {}").format(names))
        except psycopg.Error as error:
            raise _kept(error, filled[0][0], filled[0][1]) from None
    return len(filled)


def _drop(conn: Connection, source: str) -> int:
    """Drop in reverse order of making, again and again, as long as something goes: what hangs on others goes later."""
    dropped = 0
    _cut_cycles(conn, source)
    while listed := conn.execute(_LISTED, (source, True)).fetchall():
        gone = 0
        refusal: tuple[psycopg.Error, str, str] | None = None
        for kind, identity, _ in listed:
            try:
                conn.execute(
                    sql.SQL("drop {} if exists {}").format(
                        _printed("type" if kind == "composite type" else kind), _printed(identity)
                    )
                )
                gone += 1
            except psycopg.errors.DependentObjectsStillExist as error:
                refusal = refusal or (error, kind, identity)
            except psycopg.Error as error:
                raise _kept(error, kind, identity) from None
        dropped += gone
        if not gone and refusal is not None:
            raise _kept(*refusal)
    return dropped


_FOREIGN_KEYS: Final = """
select o.identity, c.conname from stretto.copy_object o
join pg_constraint c on c.conrelid = o.objid and c.contype = 'f' and c.conparentid = 0
where o.source = %s and o.made and o.classid = 'pg_class'::regclass
"""

_DEFAULTS: Final = """
select o.identity, a.attname from stretto.copy_object o
join pg_attribute a on a.attrelid = o.objid and a.atthasdef and a.attgenerated = '' and not a.attisdropped
where o.source = %s and o.made and o.classid = 'pg_class'::regclass and o.type in ('table', 'foreign table')
"""


def _cut_cycles(conn: Connection, source: str) -> None:
    """Two tables may refer to one another, and a default to a function that reads the table."""
    for identity, constraint in conn.execute(_FOREIGN_KEYS, (source,)).fetchall():
        conn.execute(
            sql.SQL("alter table if exists {} drop constraint if exists {}").format(
                _printed(identity), sql.Identifier(constraint)
            )
        )
    for identity, column in conn.execute(_DEFAULTS, (source,)).fetchall():
        conn.execute(
            sql.SQL("alter table if exists {} alter column {} drop default").format(
                _printed(identity), sql.Identifier(column)
            )
        )


def _printed(text: str) -> sql.SQL:
    """Words and identities that the server itself printed, quoted as it wants them."""
    return sql.SQL(text)


def _kept(error: psycopg.Error, kind: str, identity: str) -> CheckFailed:
    said = error.diag.message_primary or type(error).__name__
    return CheckFailed(
        f"{kind} {identity}, which an earlier copy made, cannot be taken away: {said}",
        expected="nothing that others made upon what the copy made",
        fix="drop or move what depends on it, then run `stretto follower add` again",
    )
