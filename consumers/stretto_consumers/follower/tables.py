"""The follower's own tables: which topic belongs to which, and what barriers do to them."""

from __future__ import annotations

import re

from psycopg import sql

from stretto_connectors.postgres.connection import Connection
from stretto_connectors.postgres.targets import Target, find_target, missing_columns, missing_table
from stretto_schemas.errors import Unsupported
from stretto_schemas.frontier import Barrier, SchemaChange, Truncate
from stretto_schemas.names import table_topic
from stretto_schemas.settings import Settings
from stretto_schemas.tables import Column, Table


class Tables:
    """Finds the table of a topic; applies barriers in the caller's transaction."""

    def __init__(self, settings: Settings, conn: Connection) -> None:
        self._settings = settings
        self._conn = conn
        self._targets: dict[str, Target] = {}
        self._by_topic: dict[str, tuple[str, str]] = {}

    def learn(self) -> None:
        """Read the catalog again: names of all tables by the topic that they would have."""
        rows = self._conn.execute(
            "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where c.relkind in ('r', 'p') and c.relpersistence <> 't'"
            " and n.nspname not in ('pg_catalog', 'information_schema', 'stretto')"
        ).fetchall()
        prefix, source = self._settings.prefix, self._settings.source.name
        self._by_topic = {table_topic(prefix, source, schema, name): (schema, name) for schema, name in rows}
        self._targets.clear()

    def of_topic(self, topic: str) -> Target:
        """The table whose rows a topic holds. Raises Divergence when the follower has none."""
        found = self._targets.get(topic)
        if found is None:
            if topic not in self._by_topic:
                self.learn()  # the table may be younger than this session
            schema, name = self._by_topic.get(topic) or self._missing(topic)
            target = find_target(self._conn, schema, name)
            if target is None:
                raise missing_table(schema, name)
            found = self._targets[topic] = target
        return found

    def _missing(self, topic: str) -> tuple[str, str]:
        schema, _, name = topic[len(f"{self._settings.prefix}.{self._settings.source.name}.") :].partition(".")
        raise missing_table(schema, name)

    def apply_barrier(self, barrier: Barrier) -> bool:
        """Do what a barrier says. Returns True when a table changed its shape."""
        if isinstance(barrier, Truncate):
            self._truncate(barrier)
            return False
        return self._change_schema(barrier)

    def _truncate(self, barrier: Truncate) -> None:
        """All tables of the statement together; the source had added those of CASCADE and children to the list."""
        names = []
        for schema, name in barrier.tables:
            target = find_target(self._conn, schema, name)
            if target is None:
                raise missing_table(schema, name)
            names.append(target.identifier)
        restart = sql.SQL(" restart identity") if barrier.restart_identity else sql.SQL("")
        self._conn.execute(sql.SQL("truncate {}{}").format(sql.SQL(", ").join(names), restart))

    def _change_schema(self, barrier: SchemaChange) -> bool:
        table = barrier.table
        target = find_target(self._conn, table.schema, table.name)
        if target is None:
            if not table.created:
                return False  # rows for it, should any come, halt with the table's name
            self._create(table)
            self.learn()
            return True
        dropped = [column for column in barrier.dropped if column in target.columns]
        if dropped:
            raise Unsupported(
                f"column {', '.join(dropped)} of {table.qualified} is gone at the source",
                expected="a change that adds",
                fix="drop (or rename) the column on the follower by hand, then start again; nothing was skipped",
            )
        if table.key and not target.has_key(table.key):
            raise Unsupported(
                f"the log's key of {table.qualified} is now {', '.join(table.key)}, on which the follower's table has no"
                " unique index that is checked at once",
                expected="a primary key or unique index on these columns (or some of them), not deferrable",
                fix="make on the follower the key that the source has, then start again; nothing was skipped",
            )
        changed = False
        for column in table.columns:
            has = target.columns.get(column.name)
            if has is None:
                if column.name not in barrier.added:
                    raise missing_columns(target, [column.name])
                self._add(target, column)
                changed = True
            elif _plain(has) != _plain(column.type_name) and not widens(_plain(column.type_name), _plain(has)):
                self._widen(target, column, has)
                changed = True
        if changed:
            self.learn()
        return changed

    def _widen(self, target: Target, column: Column, has: str) -> None:
        """The column's type is another one at the source: follow it where no value can change, else halt."""
        if not widens(_plain(has), _plain(column.type_name)):
            raise Unsupported(
                f"column {column.name} of {target.schema}.{target.name} is {column.type_name} at the source"
                f" and {has} on the follower",
                expected="the same type, or one at the source that takes every value of the follower's",
                fix="alter the column on the follower by hand as it was altered at the source, then start again;"
                " nothing was skipped",
            )
        self._conn.execute(
            sql.SQL("alter table {} alter column {} type {}").format(
                target.plain,
                sql.Identifier(column.name),
                sql.SQL(column.type_name),  # format_type() of the source, already quoted where needed
            )
        )

    def _create(self, table: Table) -> None:
        columns = [
            sql.SQL("{} {}{}").format(
                sql.Identifier(column.name),
                sql.SQL(column.type_name),  # format_type() of the source, already quoted where needed
                sql.SQL(" not null") if column.not_null else sql.SQL(""),
            )
            for column in table.columns
        ]
        if table.key:
            columns.append(sql.SQL("primary key ({})").format(sql.SQL(", ").join(map(sql.Identifier, table.key))))
        self._conn.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(table.schema)))
        self._conn.execute(
            sql.SQL("create table {} ({})").format(
                sql.Identifier(table.schema, table.name), sql.SQL(", ").join(columns)
            )
        )

    def _add(self, target: Target, column: Column) -> None:
        if column.rewritten:
            raise Unsupported(
                f"column {column.name} was added to {target.schema}.{target.name} with a value of its own for each old row",
                expected="a column without default, or with one and the same for all rows",
                fix="add the column on the follower by hand and copy its values, then start again; nothing was skipped",
            )
        statement = sql.SQL("alter table {} add column {} {}").format(
            target.plain,
            sql.Identifier(column.name),
            sql.SQL(column.type_name),  # format_type() of the source, already quoted where needed
        )
        if column.missing_value is not None:
            statement += sql.SQL(" default {}").format(sql.Literal(column.missing_value))
        if column.not_null:
            statement += sql.SQL(" not null")
        self._conn.execute(statement)


def _plain(type_name: str) -> str:
    """A type's name whatever the session's search path: the two sides may differ in naming schema public."""
    return type_name.removeprefix("public.")


_INTEGERS = ("smallint", "integer", "bigint")
_SIZED = re.compile(r"(character varying|numeric|bit varying)(?:\((\d+)(?:,(-?\d+))?\))?")


def widens(old: str, new: str) -> bool:
    """True when every value of `old` is one of `new`, printed alike: what a follower may alter by itself."""
    if old in _INTEGERS and new in _INTEGERS:
        return _INTEGERS.index(old) < _INTEGERS.index(new)
    before, after = _SIZED.fullmatch(old), _SIZED.fullmatch(new)
    if before and new == "text":
        return before[1] == "character varying"
    if not before or not after or before[1] != after[1]:
        return False
    if after[2] is None:
        return True
    if before[2] is None:
        return False
    if before[1] == "numeric":
        return before[3] == after[3] and int(after[2]) > int(before[2])
    return int(after[2]) > int(before[2])
