"""`stretto init`: topics, replica identities, publication, slot, first frontier, in this order.

The order matters. Replica identities come before the publication, for publishing a table without one makes the leader's
own updates fail. The publication comes before the slot, for decoding needs it at every place of the WAL. The slot comes
before the first frontier, which says from where on the log is complete. Run again it makes what is missing, as long as
nothing was lost by its being missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from confluent_kafka.admin import AdminClient
from psycopg.sql import SQL, Composed

from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import await_leaders, topic_configs
from stretto_connectors.kafka.topics import (
    compacted_config,
    ensure_topics,
    followers_config,
    frontiers_config,
    rows_config,
)
from stretto_connectors.postgres import publication as publications
from stretto_connectors.postgres import slot as slots
from stretto_connectors.postgres.connection import connect, where
from stretto_connectors.postgres.publication import Members
from stretto_connectors.postgres.server import refusals
from stretto_producers.source.genesis import make_genesis, write_genesis
from stretto_producers.source.shapes import read_shapes
from stretto_producers.source.state import SourceState, captured_topics, check_server, inspect
from stretto_schemas.errors import CheckFailed, Gap, SettingsError, StrettoError
from stretto_schemas.lsn import format_lsn, parse_lsn
from stretto_schemas.settings import Settings

REPAIR = "start over: `stretto destroy --yes`, `stretto init`, and `stretto follower add --replace` for each follower"

LOCK_TIMEOUT_MS = 5000
"""ALTER TABLE queues behind readers and everybody queues behind it: rather fail than stop the leader."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the pipeline needs. `make` is None when it is there."""

    what: str
    statement: str
    """What would be run, as `--dry-run` prints it."""
    make: Callable[[], str] | None
    """Makes it; returns what more there is to say, or an empty text."""


def init(settings: Settings, say: Say, *, dry_run: bool = False, alter: bool = True) -> bool:
    """Make what is missing and say what is there; return True when something was (or, dry, would be) made.

    Safe to run again at any time. With `dry_run` nothing is changed. Without `alter` a table that needs another replica
    identity is refused with CheckFailed. Raises Gap where something is missing that cannot be made without losing data.
    """
    with connect(settings.source.dsn, settings.source.password, application="stretto-init") as sql:
        client = admin(settings.kafka)
        state = inspect(settings, sql, client)
        check_server(settings, state)
        _check_whole(settings, state)
        _check_topics(settings, client, state)
        _check_tables(state, alter=alter)
        comment = "-- " if dry_run else ""
        for note in state.selection.notes:
            say(f"{comment}note: {note}")
        steps = Plan(settings, sql, client, state).steps()
        for step in steps:
            if step.make is None:
                say(f"{comment}there: {step.what}")
            elif dry_run:
                say(step.statement)
            else:
                said = step.make()
                say(f"made:  {step.what}{said and ' ' + said}")
        return any(step.make for step in steps)


def _check_whole(settings: Settings, state: SourceState) -> None:
    """Half a pipeline is one that lost its other half, or an init that was killed: neither can be completed safely."""
    slot_name, topic = settings.source.slot_name, state.topics.transactions
    if state.slot and (state.slot.plugin != "pgoutput" or state.slot.database != state.server.database):
        raise SettingsError(
            f"slot {slot_name} is for plugin {state.slot.plugin or 'none (physical)'}"
            f" in database {state.slot.database or 'none'}",
            expected=f"pgoutput in database {state.server.database}",
            fix="set another `slot` in section [source]",
        )
    if state.slot and state.frontier is None:
        raise Gap(
            f"slot {slot_name} exists, but topic {topic} holds no frontier",
            expected="both or neither",
            fix="either the log lost its frontiers, or an init was killed half-way (then nothing is lost); " + REPAIR,
        )
    if state.frontier and state.slot is None:
        raise Gap(
            f"topic {topic} ends with a frontier at {format_lsn(state.frontier.end_lsn)}, but slot {slot_name} does not exist",
            expected="both or neither",
            fix="changes since the slot was dropped are missing in the log; " + REPAIR,
        )
    if state.slot and state.slot.wal_status == "lost":
        raise Gap(f"slot {slot_name} has lost WAL that the log needs", fix="raise max_slot_wal_keep_size; " + REPAIR)
    if state.slot and state.publication is None:
        raise Gap(
            f"publication {settings.source.publication} does not exist, but slot {slot_name} does",
            expected="a publication that is older than the slot",
            fix="changes since it was dropped cannot be decoded; " + REPAIR,
        )


def _check_topics(settings: Settings, client: AdminClient, state: SourceState) -> None:
    """Topics that are there must be as init makes them, and those that were written to must be there."""
    topics = state.topics
    if state.frontier is not None:
        captured = captured_topics(settings, topics, state.partitions)
        gone = [topic for topic in (topics.schema, *sorted(captured)) if topic not in state.partitions]
        if gone:
            raise Gap(
                f"topic {gone[0]} does not exist, but the log has frontiers",
                expected="all topics that were written to",
                fix="its records are lost; " + REPAIR,
            )
    there = [topic for topic in (topics.transactions, *topics.rows) if topic in state.partitions]
    for topic, config in topic_configs(client, settings.kafka, there).items():
        if "compact" in config.get("cleanup.policy", ""):
            raise CheckFailed(
                f"topic {topic} has cleanup.policy = {config['cleanup.policy']}",
                expected="delete: compaction takes records out of frontiers",
                fix="delete the topic if it is not of this pipeline's making, or set another `prefix`",
            )
    for topic in (topics.transactions, topics.schema):
        if state.partitions.get(topic, 1) != 1:
            raise CheckFailed(
                f"topic {topic} has {state.partitions[topic]} partitions",
                expected="1: its records are one order",
                fix="delete it if it is not of this pipeline's making, or set another `prefix`",
            )


def _check_tables(state: SourceState, *, alter: bool) -> None:
    selection, server = state.selection, state.server
    if selection.unfit:
        raise CheckFailed(
            "the leader's own updates would fail once these tables are published: "
            + "; ".join(f"{relation.qualified}: {why}" for relation, why in selection.unfit),
            expected="a primary key, or a unique index on columns that are not null, without generated columns",
            fix="add one (alter table ... replica identity using index ...), or leave the table out of `tables`",
        )
    if selection.set_full and not alter:
        raise CheckFailed(
            "the leader's own updates would fail once these tables are published: "
            + ", ".join(relation.qualified for relation in selection.set_full),
            expected="a primary key that is not deferrable, or REPLICA IDENTITY FULL",
            fix="run without --no-alter, which sets REPLICA IDENTITY FULL; or add a primary key",
        )
    foreign = [relation.qualified for relation in selection.set_full if not (relation.owned or server.superuser)]
    if foreign:
        raise SettingsError(
            f"role {server.role} may not set REPLICA IDENTITY FULL on {', '.join(foreign)}",
            expected="their owner",
            fix="run `stretto init` as the tables' owner, or set it yourself",
        )


class Plan:
    """The steps for a state, in order."""

    def __init__(
        self, settings: Settings, sql: psycopg.Connection[tuple[Any, ...]], client: AdminClient, state: SourceState
    ) -> None:
        self._settings = settings
        self._sql = sql
        self._client = client
        self._state = state
        self._slot_lsn = 0
        self._made_topics: list[str] = []
        self._place = where(settings.source.dsn)

    def steps(self) -> list[Step]:
        """Everything that the pipeline needs, what is there included."""
        return [*self._topics(), *self._identities(), *self._publication(), self._slot(), self._genesis()]

    # --- topics -------------------------------------------------------------------------------------------------------

    def _topics(self) -> list[Step]:
        kafka, topics = self._settings.kafka, self._state.topics
        steps = [
            self._topic(topics.transactions, 1, frontiers_config(kafka)),
            self._topic(topics.schema, 1, compacted_config(kafka)),
            self._topic(topics.followers, 1, followers_config(kafka)),
        ]
        for topic in topics.tables:
            if self._state.frontier is not None and topic not in self._state.partitions:
                continue  # capture makes it with the table's first row and says in the frontier where it begins
            steps.append(self._topic(topic, kafka.partitions, rows_config(kafka)))
        return steps

    def _topic(self, topic: str, partitions: int, config: dict[str, str]) -> Step:
        there = self._state.partitions.get(topic)
        many = there or partitions
        what = f"topic {topic} ({many} partition{'s' if many > 1 else ''}, {config['cleanup.policy']})"
        listed = " ".join(f"{key}={value}" for key, value in config.items())
        replicas = self._settings.kafka.replication_factor
        statement = f"-- topic {topic}: partitions={partitions} replication.factor={replicas} {listed}"

        def make() -> str:
            made = ensure_topics(self._client, self._settings.kafka, [topic], partitions=partitions, config=config)
            await_leaders(self._client, self._settings.kafka, made)
            self._made_topics += made
            return ""

        return Step(what, statement, None if there else make)

    # --- tables and publication ---------------------------------------------------------------------------------------

    def _execute(self, statement: Composed, doing: str) -> list[tuple[Any, ...]]:
        with refusals(self._place, doing):
            cursor = self._sql.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _sql_step(self, what: str, statement: Composed, doing: str) -> Step:
        def make() -> str:
            self._execute(statement, doing)
            return ""

        return Step(what, statement.as_string(self._sql) + ";", make)

    def _identities(self) -> list[Step]:
        steps = []
        for relation in self._state.selection.set_full:
            statement = SQL(
                "set lock_timeout = {}; alter table only {} replica identity full; set lock_timeout = 0"
            ).format(LOCK_TIMEOUT_MS, relation.identifier)
            what = (
                f"REPLICA IDENTITY FULL of {relation.qualified}, which has no usable key: without it updates would fail"
            )
            steps.append(self._sql_step(what, statement, f"altering {relation.qualified}"))
        return steps

    def _publication(self) -> list[Step]:
        source, selection, found = self._settings.source, self._state.selection, self._state.publication
        many = len(selection.published)
        what = f"publication {source.publication} ({many} table{'' if many == 1 else 's'} now)"
        if found is None:
            self._check_ownership(selection.members)
            via_root = source.publish_via_partition_root
            statement = publications.create_statement(source.publication, selection.members, via_root=via_root)
            return [self._sql_step(what, statement, "making the publication")]
        if found.via_root != source.publish_via_partition_root:
            raise CheckFailed(
                f"publication {found.name} has publish_via_partition_root = {str(found.via_root).lower()}",
                expected=f"{str(source.publish_via_partition_root).lower()}, as the settings say",
                fix="set publish_via_partition_root in section [source] to what the publication has; to change it, "
                + REPAIR,
            )
        steps = []
        if set(found.actions) != set(publications.ACTIONS):
            statement = publications.set_actions_statement(found.name)
            what_more = f"publication {found.name}: all of {', '.join(publications.ACTIONS)}"
            steps.append(self._sql_step(what_more, statement, "altering the publication"))
        missing = set(selection.published) - found.tables
        more = self._missing_members(missing)
        if more is not None:
            steps.append(self._add_step(more))
        return steps or [Step(what, "", None)]

    def _missing_members(self, missing: set[tuple[str, str]]) -> Members | None:
        """What ALTER PUBLICATION must add so that `missing` tables are published."""
        found, members = self._state.publication, self._state.selection.members
        if found is None or found.all_tables:
            return None
        tables = tuple(table for table in members.tables if (table.schema, table.name) in missing)
        if members.all_tables:
            tables = tuple(publications.PublishedTable(schema, name) for schema, name in sorted(missing))
        schemas = tuple(schema for schema in members.schemas if schema not in found.schemas)
        return Members(schemas=schemas, tables=tables) if tables or schemas else None

    def _add_step(self, more: Members) -> Step:
        publication = self._settings.source.publication
        self._check_ownership(more)
        statement = publications.add_statement(publication, more)
        added = [f"{table.schema}.{table.name}" for table in more.tables] + [f"{schema}.*" for schema in more.schemas]

        def make() -> str:
            self._execute(statement, "altering the publication")
            empty = publications.empty_tables(self._sql, more.tables)
            filled = [f"{table.schema}.{table.name}" for table in more.tables if table not in empty]
            if not filled:
                return ""
            return f"(rows that {', '.join(filled)} had before are not in the log: copy them to followers)"

        return Step(f"publication {publication}: {', '.join(added)}", statement.as_string(self._sql) + ";", make)

    def _check_ownership(self, members: Members) -> None:
        server = self._state.server
        if server.superuser:
            return
        rows = self._execute(
            SQL(
                "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
                " where not pg_has_role(c.relowner, 'usage') and (n.nspname, c.relname) in"
                " (select * from unnest({}::text[], {}::text[]))"
            ).format([table.schema for table in members.tables], [table.name for table in members.tables]),
            "reading the catalog",
        )
        if rows:
            raise SettingsError(
                f"role {server.role} does not own {', '.join(sorted(row[0] for row in rows))}",
                expected="the tables' owner (or a superuser), for PostgreSQL lets nobody else publish them",
                fix="run `stretto init` as their owner, or list only your own tables in `tables` of section [source]",
            )
        if not server.may_create:
            raise SettingsError(
                f"role {server.role} may not make a publication in database {server.database}",
                fix=f"grant create on database {server.database} to {server.role}",
            )

    # --- slot and first frontier --------------------------------------------------------------------------------------

    def _slot(self) -> Step:
        source, found = self._settings.source, self._state.slot
        statement = slots.create_statement(source.slot_name, failover=source.failover_slot)
        what = f"slot {source.slot_name}"

        def make() -> str:
            [(lsn,)] = self._execute(statement, "making the slot")
            self._slot_lsn = parse_lsn(lsn)
            return f"at {lsn}"

        if found is not None:
            return Step(f"{what} at {format_lsn(found.confirmed_flush_lsn)}", "", None)
        return Step(what, statement.as_string(self._sql) + ";", make)

    def _genesis(self) -> Step:
        topics, found = self._state.topics, self._state.frontier
        if found is not None:
            return Step(f"frontier {found.sequence} at {format_lsn(found.end_lsn)}", "", None)

        def make() -> str:
            try:
                kafka = self._settings.kafka
                partitions = {topic: self._state.partitions.get(topic, kafka.partitions) for topic in topics.tables}
                if topics.message in self._state.partitions:
                    partitions[topics.message] = self._state.partitions[topics.message]
                frontier = make_genesis(
                    self._settings, self._sql, self._client, self._slot_lsn, partitions, fresh=self._made_topics
                )
                write_genesis(self._settings, frontier, read_shapes(self._settings, self._sql, frontier.end_lsn))
            except (StrettoError, psycopg.Error, KeyboardInterrupt):
                # A slot without frontier cannot be told from a log that lost its frontiers, and nothing hangs on it yet.
                self._execute(slots.drop_statement(self._settings.source.slot_name), "dropping the slot again")
                raise
            return f"at {format_lsn(frontier.end_lsn)}"

        return Step("first frontier", f"-- first frontier into topic {topics.transactions}", make)
