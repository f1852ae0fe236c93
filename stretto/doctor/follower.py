"""Checks of the follower database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from stretto.doctor.check import Check, each, fail, ok, warn
from stretto_connectors.postgres.bookkeeping import read_position
from stretto_connectors.postgres.catalog import read_columns
from stretto_connectors.postgres.connection import where
from stretto_connectors.postgres.relations import Relation
from stretto_connectors.postgres.server import OLDEST, Server, read_server, refusals
from stretto_connectors.postgres.targets import find_target
from stretto_schemas.errors import SettingsError
from stretto_schemas.lsn import format_lsn
from stretto_schemas.settings import Settings

FOLLOWER = "follower"

PARAMETER_RIGHTS_SINCE = 150000
"""`grant set on parameter` came with PostgreSQL 15; before, only a superuser can set session_replication_role."""

ORIGIN_FUNCTIONS = (
    "pg_replication_origin_create(text)",
    "pg_replication_origin_session_setup(text)",
    "pg_replication_origin_xact_setup(pg_lsn, timestamptz)",
)

Connection = psycopg.Connection[tuple[Any, ...]]


class FollowerChecks:
    """Checks of one follower over one session; `source` is None when the source does not answer."""

    def __init__(
        self,
        settings: Settings,
        conn: Connection,
        source: Connection | None,
        published: list[Relation],
        source_version: int,
    ) -> None:
        self._settings = settings
        self._conn = conn
        self._source = source
        self._published = published
        self._source_version = source_version
        with refusals(where(settings.follower.dsn), "reading the catalog"):
            self._server: Server = read_server(conn)
            self._position = read_position(conn, settings.source.name)

    def run(self) -> Iterator[Check]:
        """All of them."""
        return each(
            FOLLOWER,
            (
                ("version", self._version),
                ("replication role", self._replication_role),
                ("replication origins", self._origins),
                ("position", self._standing),
                ("tables", self._tables),
            ),
        )

    def _ask(self, query: str, *params: object) -> list[tuple[Any, ...]]:
        with refusals(where(self._settings.follower.dsn), "reading the catalog"):
            return self._conn.execute(query.encode(), params or None).fetchall()

    def _version(self) -> Iterator[Check]:
        version = self._server.version_text
        if self._server.version < OLDEST:
            yield fail(
                FOLLOWER, "version", f"PostgreSQL {version}, and 14 is the oldest that works", "upgrade the server"
            )
        elif self._server.in_recovery:
            said = "this is a physical standby, which takes no writes"
            yield fail(FOLLOWER, "version", said, "name a primary in `dsn` of [follower]")
        elif self._server.version // 10000 < self._source_version // 10000:
            said = f"PostgreSQL {version} is older than the source: it may not know all of its types"
            yield warn(FOLLOWER, "version", said, "upgrade the follower to the source's version")
        else:
            yield ok(FOLLOWER, "version", f"PostgreSQL {version}")

    def _replication_role(self) -> Iterator[Check]:
        role, name = self._server.role, "replication role"
        if self._may_be_replica():
            yield ok(FOLLOWER, name, f"{role} may set session_replication_role")
        elif self._server.version < PARAMETER_RIGHTS_SINCE:
            said = "only a superuser can set session_replication_role before PostgreSQL 15"
            yield fail(FOLLOWER, name, said, f"alter role {role} superuser, or upgrade the server")
        else:
            said = f"{role} may not set session_replication_role: triggers and foreign keys would fire again"
            yield fail(FOLLOWER, name, said, f"grant set on parameter session_replication_role to {role}")

    def _may_be_replica(self) -> bool:
        """Tried and taken back: an extension of a service may let a role that lacks PostgreSQL's own privilege."""
        try:
            with (
                refusals(where(self._settings.follower.dsn), "setting session_replication_role"),
                self._conn.transaction(force_rollback=True),
            ):
                self._conn.execute("set session_replication_role = replica")
        except SettingsError:
            return False
        return True

    def _origins(self) -> Iterator[Check]:
        role, name = self._server.role, "replication origins"
        lacking = [
            function
            for function in ORIGIN_FUNCTIONS
            if self._ask("select has_function_privilege(%s, 'execute')", function) != [(True,)]
        ]
        if lacking:
            said = f"{role} may not call {', '.join(lacking)}"
            yield fail(FOLLOWER, name, said, f"grant execute on function {', '.join(lacking)} to {role}")
        limit = "max_active_replication_origins" if self._server.version >= 180000 else "max_replication_slots"
        [(most,)] = self._ask("select current_setting(%s)::int", limit)
        if most == 0:
            yield fail(FOLLOWER, name, f"{limit} is 0", f"set {limit} to 10 and restart the server")
        elif not lacking:
            yield ok(FOLLOWER, name, f"{role} may use them, {limit} is {most}")

    def _standing(self) -> Iterator[Check]:
        if self._position is None:
            said = f"this database holds no copy of source {self._settings.source.name} yet"
            yield warn(FOLLOWER, "position", said, "run `stretto follower add`")
            return
        yield ok(FOLLOWER, "position", f"at {format_lsn(self._position.end_lsn)}, term {self._position.term}")
        [(usable,)] = self._ask("select has_table_privilege('stretto.position', 'select, update')")
        if not usable:
            said = f"{self._server.role} may not update stretto.position"
            yield fail(FOLLOWER, "position", said, f"grant select, update on stretto.position to {self._server.role}")
        [(readable,)] = self._ask(
            "select coalesce((select has_table_privilege(oid, 'select') from pg_class"
            " where oid = to_regclass('stretto.control')), true)"
        )
        if not readable:
            said = f"{self._server.role} may not read stretto.control"
            yield fail(FOLLOWER, "control", said, f"grant select on stretto.control to {self._server.role}")

    def _tables(self) -> Iterator[Check]:
        if self._source is None or self._position is None:
            return
        troubles = [trouble for relation in self._published for trouble in self._compare(self._source, relation)]
        yield from troubles
        if not troubles:
            yield ok(FOLLOWER, "tables", f"all {len(self._published)} are there, with the source's columns")

    def _compare(self, source: Connection, relation: Relation) -> Iterator[Check]:
        with refusals(where(self._settings.source.dsn), "reading the catalog"):
            columns = read_columns(source, relation.oid)
        with refusals(where(self._settings.follower.dsn), "reading the catalog"):
            target = find_target(self._conn, relation.schema, relation.name)
        name = relation.qualified
        if target is None:
            fix = f"make table {name} as the source has it, or run `stretto follower add --replace`"
            yield fail(FOLLOWER, "tables", f"{name} is missing", fix)
            return
        lacking = [column for column in columns if column not in target.columns]
        if lacking:
            said = f"{name} lacks {', '.join(lacking)}"
            yield fail(FOLLOWER, "tables", said, f"alter table {name} add the columns, with the source's types")
        for column in columns.values():
            here = target.columns.get(column.name)
            if here is not None and here != column.type_name:
                said = f"{name}.{column.name} is {here}, at the source {column.type_name}"
                yield warn(FOLLOWER, "tables", said, "give it the source's type, unless every value fits")
        rights = self._ask(
            "select has_table_privilege(%s::oid, 'select, insert, update, delete, truncate')", target.oid
        )
        owner = self._ask("select pg_has_role(relowner, 'usage') from pg_class where oid = %s", target.oid)
        if rights != [(True,)] or owner != [(True,)]:
            said = f"{self._server.role} does not own {name}"
            yield warn(
                FOLLOWER, "tables", said, f"alter table {name} owner to {self._server.role}: schema changes need it"
            )
