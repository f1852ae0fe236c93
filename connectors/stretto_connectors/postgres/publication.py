"""Publications: which tables the source's walsender sends, and under which names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from stretto_schemas.frontier import Published

Connection = psycopg.Connection[tuple[Any, ...]]

ACTIONS = ("insert", "update", "delete", "truncate")
"""All that a publication can publish; leaving one out would make followers differ without a word."""


@dataclass(frozen=True, slots=True)
class PublishedTable:
    """A table that CREATE PUBLICATION names. `only`: without its inheritance children."""

    schema: str
    name: str
    only: bool = False


@dataclass(frozen=True, slots=True)
class Members:
    """What a publication takes in."""

    all_tables: bool = False
    schemas: tuple[str, ...] = ()
    tables: tuple[PublishedTable, ...] = ()

    @property
    def clause(self) -> sql.Composable:
        """The `FOR ...` of CREATE PUBLICATION; empty when nothing is taken in."""
        if self.all_tables:
            return sql.SQL("for all tables")
        objects = self.objects()
        return sql.SQL("for ") + objects if objects is not None else sql.SQL("")

    def objects(self) -> sql.Composable | None:
        """What ALTER PUBLICATION ... ADD takes; None when nothing is named."""
        parts: list[sql.Composable] = []
        if self.tables:
            named = [
                sql.SQL("only {}" if table.only else "{}").format(sql.Identifier(table.schema, table.name))
                for table in self.tables
            ]
            parts.append(sql.SQL("table ") + sql.SQL(", ").join(named))
        if self.schemas:
            parts.append(sql.SQL("tables in schema ") + sql.SQL(", ").join(map(sql.Identifier, self.schemas)))
        return sql.SQL(", ").join(parts) if parts else None


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication as the catalog has it."""

    name: str
    all_tables: bool
    actions: tuple[str, ...]
    via_root: bool
    tables: frozenset[tuple[str, str]]
    """Schema and name under which rows are published now (`pg_publication_tables`)."""
    schemas: frozenset[str]
    narrowed: frozenset[tuple[str, str]]
    """Tables of which only some rows or columns are published."""


def read_publication(conn: Connection, name: str) -> Publication | None:
    """The publication, or None when there is none of this name."""
    row = conn.execute(
        "select puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot from pg_publication where pubname = %s",
        (name,),
    ).fetchone()
    if row is None:
        return None
    tables = conn.execute(
        "select schemaname, tablename from pg_publication_tables where pubname = %s", (name,)
    ).fetchall()
    schemas: list[tuple[Any, ...]] = []
    narrowed: list[tuple[Any, ...]] = []
    if conn.info.server_version >= 150000:
        schemas = conn.execute(
            "select n.nspname from pg_publication p join pg_publication_namespace pn on pn.pnpubid = p.oid"
            " join pg_namespace n on n.oid = pn.pnnspid where p.pubname = %s",
            (name,),
        ).fetchall()
        narrowed = conn.execute(
            "select n.nspname, c.relname from pg_publication p join pg_publication_rel pr on pr.prpubid = p.oid"
            " join pg_class c on c.oid = pr.prrelid join pg_namespace n on n.oid = c.relnamespace"
            " where p.pubname = %s and (pr.prqual is not null or pr.prattrs is not null)",
            (name,),
        ).fetchall()
    return Publication(
        name=name,
        all_tables=row[0],
        actions=tuple(action for action, published in zip(ACTIONS, row[1:5], strict=True) if published),
        via_root=row[5],
        tables=frozenset((schema, table) for schema, table in tables),
        schemas=frozenset(schema for (schema,) in schemas),
        narrowed=frozenset((schema, table) for schema, table in narrowed),
    )


def read_published(conn: Connection, name: str) -> Published | None:
    """What tells the publication from another, later one of the same name; None when there is none."""
    schemas = (
        "select oid, pnnspid from pg_publication_namespace where pnpubid = p.oid"
        if conn.info.server_version >= 150000
        else "select 0::oid, 0::oid where false"
    )
    row = conn.execute(
        sql.SQL(
            "select p.oid::bigint, concat(case when pubinsert then 'i' end, case when pubupdate then 'u' end,"
            " case when pubdelete then 'd' end, case when pubtruncate then 't' end), pubviaroot,"
            " array(select array[m.oid::bigint, m.named::bigint] from (select oid, prrelid from pg_publication_rel"
            " where prpubid = p.oid union all {}) m(oid, named) order by 1)"
            " from pg_publication p where pubname = %s"
        ).format(sql.SQL(schemas)),
        (name,),
    ).fetchone()
    if row is None:
        return None
    return Published(row[0], row[1], row[2], [(oid, named) for oid, named in row[3]])


def names_of(conn: Connection, oids: Sequence[int]) -> list[str]:
    """Names of those tables and schemas that are still there."""
    return [
        row[0]
        for row in conn.execute(
            "select oid::regclass::text from pg_class where oid = any(%(oids)s)"
            " union all select quote_ident(nspname) || '.*' from pg_namespace where oid = any(%(oids)s) order by 1",
            {"oids": list(oids)},
        ).fetchall()
    ]


def create_statement(name: str, members: Members, *, via_root: bool) -> sql.Composed:
    """CREATE PUBLICATION. Generated columns stay out (the default since PostgreSQL 18, the only way before)."""
    return sql.SQL("create publication {} {} with (publish = {}, publish_via_partition_root = {})").format(
        sql.Identifier(name), members.clause, sql.Literal(", ".join(ACTIONS)), sql.SQL("true" if via_root else "false")
    )


def set_actions_statement(name: str) -> sql.Composed:
    """ALTER PUBLICATION that publishes all actions."""
    return sql.SQL("alter publication {} set (publish = {})").format(
        sql.Identifier(name), sql.Literal(", ".join(ACTIONS))
    )


def add_statement(name: str, members: Members) -> sql.Composed:
    """ALTER PUBLICATION that takes in more. `members` names tables or schemas, not all tables."""
    return sql.SQL("alter publication {} add {}").format(sql.Identifier(name), members.objects() or sql.SQL(""))


def drop_statement(name: str) -> sql.Composed:
    """DROP PUBLICATION."""
    return sql.SQL("drop publication {}").format(sql.Identifier(name))


def empty_tables(conn: Connection, tables: Iterable[PublishedTable]) -> Sequence[PublishedTable]:
    """Those of `tables` that hold no row now."""
    empty = []
    for table in tables:
        row = conn.execute(
            sql.SQL("select not exists (select from {})").format(sql.Identifier(table.schema, table.name))
        ).fetchone()
        if row == (True,):
            empty.append(table)
    return empty
