"""Checks of the captured database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from stretto.doctor.check import Check, each, fail, ok, warn
from stretto_connectors.postgres.connection import where
from stretto_connectors.postgres.publication import ACTIONS, Publication, read_publication
from stretto_connectors.postgres.relations import Relation, list_relations
from stretto_connectors.postgres.server import OLDEST, Server, read_server, refusals
from stretto_connectors.postgres.slot import FAILOVER_SINCE, Slot, read_slot
from stretto_producers.source.selection import OWN_SCHEMA, Selection, select
from stretto_producers.source.state import check_replication
from stretto_schemas.settings import Settings

SOURCE = "source"

LOW_KEEP_BYTES = 1 << 30
"""Below this, `max_slot_wal_keep_size` is soon used up: a busy server writes 1 GB of WAL within minutes."""


Connection = psycopg.Connection[tuple[Any, ...]]


class SourceChecks:
    """Checks of one source over one session."""

    def __init__(self, settings: Settings, conn: Connection) -> None:
        self._settings = settings
        self._source = settings.source
        self._conn = conn
        with refusals(where(self._source.dsn), "reading the catalog"):
            self.server: Server = read_server(conn)
            self.relations: list[Relation] = list_relations(conn)
            self.publication: Publication | None = read_publication(conn, self._source.publication)
            self.slot: Slot | None = read_slot(conn, self._source.slot_name)

    def run(self) -> Iterator[Check]:
        """All of them."""
        return each(
            SOURCE,
            (
                ("version", self._version),
                ("wal_level", self._wal_level),
                ("role", self._role),
                ("rights", self._rights),
                ("row-level security", self._row_security),
                ("slots and senders", self._room),
                ("tables", self._tables),
                ("publication", self._publication),
                ("replica identities", self._identities),
                ("slot", self._slot),
                ("WAL kept for the slot", self._keep),
                ("commit timestamps", self._commit_timestamps),
            ),
        )

    def _ask(self, query: str, *params: object) -> list[tuple[Any, ...]]:
        with refusals(where(self._source.dsn), "reading the catalog"):
            return self._conn.execute(query.encode(), params or None).fetchall()

    def _setting(self, name: str) -> str:
        rows = self._ask("select current_setting(%s, true)", name)
        return rows[0][0] or ""

    def _version(self) -> Iterator[Check]:
        version = self.server.version_text
        if self.server.version < OLDEST:
            yield fail(
                SOURCE, "version", f"PostgreSQL {version}, and 14 is the oldest that works", "upgrade the server"
            )
        elif self.server.in_recovery:
            yield fail(SOURCE, "version", "this is a physical standby", "name the primary in `dsn` of [source]")
        else:
            yield ok(SOURCE, "version", f"PostgreSQL {version}")

    def _wal_level(self) -> Iterator[Check]:
        level = self.server.wal_level
        if level == "logical":
            yield ok(SOURCE, "wal_level", "logical")
        else:
            fix = "alter system set wal_level = logical; then restart the server"
            yield fail(SOURCE, "wal_level", f"{level}: the WAL lacks what logical decoding needs", fix)

    def _role(self) -> Iterator[Check]:
        check_replication(self._source, self.server)
        yield ok(SOURCE, "role", f"{self.server.role} may replicate")

    def published(self) -> list[Relation]:
        """Relations under whose names rows are published now, or would be."""
        names = self.publication.tables if self.publication else frozenset(self._selection().published)
        return [relation for relation in self.relations if (relation.schema, relation.name) in names]

    def _selection(self) -> Selection:
        return select(
            self._source.tables,
            self.relations,
            server_version=self.server.version,
            superuser=self.server.superuser,
            via_root=self._source.publish_via_partition_root,
        )

    def _rights(self) -> Iterator[Check]:
        unreadable = [relation.qualified for relation in self.published() if not relation.readable]
        if unreadable:
            yield fail(
                SOURCE,
                "rights",
                f"{self.server.role} may not read {_some(unreadable)}, which `stretto follower add` and `verify` do",
                f"grant select on those tables to {self.server.role}",
            )
        else:
            yield ok(SOURCE, "rights", f"{self.server.role} may read all published tables")

    def _row_security(self) -> Iterator[Check]:
        guarded = [relation.qualified for relation in self.published() if relation.row_security]
        if guarded and not self.server.bypass_rls:
            yield fail(
                SOURCE,
                "row-level security",
                f"policies would hide rows of {_some(guarded)} from a copy, so the copy will be refused",
                f"alter role {self.server.role} bypassrls",
            )
        elif guarded:
            yield ok(
                SOURCE, "row-level security", f"{len(guarded)} tables have policies, which {self.server.role} bypasses"
            )

    def _room(self) -> Iterator[Check]:
        [(slots, senders, max_slots, max_senders)] = self._ask(
            "select (select count(*) from pg_replication_slots), (select count(*) from pg_stat_replication),"
            " current_setting('max_replication_slots')::int, current_setting('max_wal_senders')::int"
        )
        mine = 1 if self.slot else 0
        active = 1 if self.slot and self.slot.active_pid else 0
        needed = 2 - mine  # the pipeline's own, and one for the time of `stretto follower add`
        if max_slots - slots < needed:
            yield fail(
                SOURCE,
                "slots",
                f"{slots} of {max_slots} replication slots are taken",
                f"set max_replication_slots to {slots + needed} or more and restart, or drop slots nobody uses",
            )
        else:
            yield ok(SOURCE, "slots", f"{max_slots - slots} of {max_slots} replication slots are free")
        needed = 2 - active
        if max_senders - senders < needed:
            yield fail(
                SOURCE,
                "WAL senders",
                f"{senders} of {max_senders} WAL senders are taken",
                f"set max_wal_senders to {senders + needed} or more and restart",
            )
        else:
            yield ok(SOURCE, "WAL senders", f"{max_senders - senders} of {max_senders} WAL senders are free")

    def _tables(self) -> Iterator[Check]:
        selection = self._selection()
        yield ok(SOURCE, "tables", f"{len(selection.published)} tables match `tables` of the settings")
        for note in selection.notes:
            yield warn(SOURCE, "tables", note, "name those tables in `tables` of [source], if their rows are wanted")

    def _publication(self) -> Iterator[Check]:
        name, found = self._source.publication, self.publication
        if found is None:
            if self.slot is not None:
                fix = "changes since it was dropped cannot be decoded: `stretto destroy --yes` and start over"
                yield fail(SOURCE, "publication", f"{name} does not exist, but the slot does", fix)
            else:
                yield warn(SOURCE, "publication", f"{name} does not exist yet", "run `stretto init`")
            return
        silent = [action for action in ACTIONS if action not in found.actions]
        if silent:
            yield fail(SOURCE, "publication", f"{name} does not publish {', '.join(silent)}", "run `stretto init`")
        if found.via_root != self._source.publish_via_partition_root:
            yield fail(
                SOURCE,
                "publication",
                f"{name} has publish_via_partition_root = {str(found.via_root).lower()}, the settings say otherwise",
                "set publish_via_partition_root in section [source] to what the publication has",
            )
        if found.narrowed:
            yield warn(
                SOURCE,
                "publication",
                f"only some rows or columns are published of {_some([f'{s}.{t}' for s, t in sorted(found.narrowed)])}",
                "drop the filter or the column list, unless followers shall have no more",
            )
        missing = sorted(f"{s}.{t}" for s, t in set(self._selection().published) - found.tables)
        if missing:
            yield fail(SOURCE, "publication", f"{name} lacks {_some(missing)}", "run `stretto init`, which adds them")
        own = [table for schema, table in found.tables if schema == OWN_SCHEMA]
        if own:
            yield fail(
                SOURCE,
                "publication",
                f"{name} publishes {OWN_SCHEMA}.{own[0]}: this database is a follower too, and that is its own position",
                "list tables or schemas in `tables` of [source] instead of *.*, then start over",
            )
        if not (silent or missing or own):
            yield ok(SOURCE, "publication", f"{name} publishes {len(found.tables)} tables")

    def _identities(self) -> Iterator[Check]:
        selection, live = self._selection(), self.publication is not None
        for relation, why in selection.unfit:
            yield fail(
                SOURCE,
                "replica identities",
                f"{relation.qualified}: {why}; UPDATE and DELETE {'fail' if live else 'would fail'} on the leader",
                f"alter table {relation.qualified} replica identity using index ... (unique, not null, no generated column)",
            )
        for relation in selection.set_full:
            said = f"{relation.qualified} has no usable key; UPDATE and DELETE {'fail' if live else 'would fail'} on the leader"
            fix = f"alter table {relation.qualified} replica identity full, or add a primary key; `stretto init` does the former"
            yield (fail if live else warn)(SOURCE, "replica identities", said, fix)
        if not selection.unfit and not selection.set_full:
            yield ok(SOURCE, "replica identities", "every published table has one")

    def _slot(self) -> Iterator[Check]:
        name, slot = self._source.slot_name, self.slot
        if slot is None:
            yield warn(SOURCE, "slot", f"{name} does not exist", "run `stretto init`")
        elif slot.plugin != "pgoutput" or slot.database != self.server.database:
            yield fail(
                SOURCE, "slot", f"{name} is for {slot.plugin or 'physical replication'} in {slot.database or 'no database'}",
                "set another `slot` in section [source]",
            )  # fmt: skip
        elif slot.wal_status == "lost":
            yield fail(
                SOURCE, "slot", f"{name} has lost WAL that the log needs", "`stretto destroy --yes` and start over"
            )
        elif slot.wal_status == "unreserved":
            fix = "start capture now, or raise max_slot_wal_keep_size"
            yield warn(SOURCE, "slot", f"{name} is about to lose WAL at the next checkpoint", fix)
        elif slot.active_pid is None:
            said = f"{name} is read by nobody and keeps {slot.retained_bytes} bytes of WAL"
            yield warn(SOURCE, "slot", said, "run `stretto run capture`")
        else:
            yield ok(SOURCE, "slot", f"{name} is active, WAL {slot.wal_status}, {slot.retained_bytes} bytes kept")
        if slot and self._source.failover_slot and not slot.failover:
            said = f"failover_slot is set, {name} was made without"
            fix = f"alter it over a replication connection: ALTER_REPLICATION_SLOT {name} (FAILOVER true)"
            yield warn(SOURCE, "slot", said, fix if self.server.version >= FAILOVER_SINCE else "needs PostgreSQL 17")

    def _keep(self) -> Iterator[Check]:
        [(keep,)] = self._ask(
            "select case when setting::bigint < 0 then -1 else setting::bigint * 1024 * 1024 end"
            " from pg_settings where name = 'max_slot_wal_keep_size'"
        )
        name = "WAL kept for the slot"
        if keep < 0:
            yield warn(
                SOURCE,
                name,
                "max_slot_wal_keep_size is unlimited: while capture is down, the leader's disk fills",
                "set it to what the disk can spare; beyond that the slot is lost and followers must be copied again",
            )
        elif keep < LOW_KEEP_BYTES:
            yield warn(
                SOURCE,
                name,
                f"max_slot_wal_keep_size is {self._setting('max_slot_wal_keep_size')}: a short outage of capture loses the slot",
                "raise it to what the disk can spare",
            )
        else:
            yield ok(SOURCE, name, f"at most {self._setting('max_slot_wal_keep_size')}")
        idle = self._setting("idle_replication_slot_timeout")
        if idle not in ("", "0"):
            said = f"idle_replication_slot_timeout is {idle}: an outage of capture that lasts longer loses the slot"
            yield warn(SOURCE, name, said, "set it to 0, or longer than any outage")

    def _commit_timestamps(self) -> Iterator[Check]:
        if self._setting("track_commit_timestamp") == "on":
            yield ok(SOURCE, "commit timestamps", "tracked")
        else:
            yield ok(
                SOURCE,
                "commit timestamps",
                "not tracked; only a leader among leaders needs track_commit_timestamp = on",
            )


def _some(names: list[str], most: int = 5) -> str:
    """The first few of many names."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
