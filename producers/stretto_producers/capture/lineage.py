"""Is the source still the one whose WAL the log continues? Step 2 of capture: a gap halts, nothing is skipped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import psycopg

from stretto_connectors.postgres.connection import where
from stretto_connectors.postgres.publication import names_of, read_published
from stretto_connectors.postgres.replication import Identity, ReplicationConnection
from stretto_schemas.errors import Divergence, Gap, SettingsError, Unreachable
from stretto_schemas.frontier import Frontier, Published
from stretto_schemas.lsn import format_lsn, parse_lsn
from stretto_schemas.repairs import START_OVER
from stretto_schemas.settings import SourceSettings

REPAIR = f"copy the source again: {START_OVER}"


def check_lineage(
    frontier: Frontier,
    identity: Identity,
    stream: ReplicationConnection,
    sql: psycopg.Connection[tuple[Any, ...]],
    source: SourceSettings,
) -> None:
    """Raise Gap when what follows the frontier cannot be had from this server, or is not its continuation.

    Raises Unreachable while the server is a standby: in a failover its address may come before its promotion.
    """
    end = format_lsn(frontier.end_lsn)
    if identity.system_id != frontier.system_id:
        raise Gap(
            f"the log continues system {frontier.system_id}, this server is system {identity.system_id}",
            expected="the server that `stretto init` saw, or a physical copy of it",
            fix=f"correct `dsn` of section [source]; for a new server {REPAIR}",
        )
    if sql.execute("select pg_is_in_recovery()").fetchone() == (True,):
        raise Unreachable(
            f"PostgreSQL at {where(source.dsn)} is a standby",
            expected="the primary",
            fix="promote it, or name the primary in `dsn` of section [source]; this is tried again",
        )
    if identity.timeline != frontier.timeline:
        switch = _switch_lsn(stream, frontier.timeline, identity.timeline)
        if switch is None or switch < frontier.end_lsn:
            raise Gap(
                f"the server is on timeline {identity.timeline}, which left timeline {frontier.timeline}"
                f" at {format_lsn(switch) if switch else 'an unknown place'}, before the frontier at {end}",
                expected="a promotion after the frontier",
                fix=f"the log holds transactions that this server never had; {REPAIR}",
            )
    if identity.flushed_lsn < frontier.end_lsn:
        raise Gap(
            f"the server's WAL ends at {format_lsn(identity.flushed_lsn)}, before the frontier at {end}",
            expected="a server that has everything the log has",
            fix=f"this server was restored to an earlier time; {REPAIR}",
        )
    _check_slot(frontier, sql, source)


def check_partitions(full: Frontier, counts: Mapping[str, int]) -> None:
    """Raise Divergence when a topic has another number of partitions (`counts`) than the full frontier names.

    A key's place is its hash modulo that number: its older and newer changes would lie in two partitions, without order.
    """
    named = Counter(place.topic for place in full.offsets or ())
    for topic, expected in sorted(named.items()):
        if counts.get(topic, expected) != expected:
            raise Divergence(
                f"topic {topic} has {counts[topic]} partitions, the log was written to {expected}",
                expected="a number of partitions that never changes, for the order of a key's changes hangs on it",
                fix=f"a topic's partitions cannot be taken back; {REPAIR}",
            )


def check_publication(name: str, before: Published | None, sql: psycopg.Connection[tuple[Any, ...]]) -> Published:
    """The publication as it is now. Raise Gap when it lacks what it published `before` (None: nothing is known).

    A table that was taken out and put back, or dropped and made again with the publication, has changes in between that
    nobody decoded. What was added is fine, and so is a table that is gone altogether.
    """
    now = read_published(sql, name)
    repair = f"changes in between may be missing in the log; {REPAIR}"
    if now is None:
        raise Gap(f"publication {name} does not exist", expected="the publication that `stretto init` made", fix=repair)
    if before is None:
        return now
    if now.oid != before.oid:
        raise Gap(
            f"publication {name} was dropped and made again", expected="the one that `stretto init` made", fix=repair
        )
    lost = names_of(sql, [named for oid, named in set(before.members) - set(now.members)])
    if lost:
        raise Gap(
            f"publication {name} was altered: {', '.join(lost)} was taken out, or is published otherwise now",
            expected="a publication that only grows",
            fix=repair,
        )
    if set(before.actions) - set(now.actions) or now.via_root != before.via_root:
        raise Gap(
            f"publication {name} was altered: it publishes {now.actions} (via root: {now.via_root}),"
            f" and published {before.actions} (via root: {before.via_root})",
            expected="all of insert, update, delete and truncate, and partitions under the same names as before",
            fix=repair,
        )
    return now


def _check_slot(frontier: Frontier, sql: psycopg.Connection[tuple[Any, ...]], source: SourceSettings) -> None:
    row = sql.execute(
        "select plugin, database, confirmed_flush_lsn::text, wal_status, current_database() from pg_replication_slots"
        " where slot_name = %s",
        (source.slot_name,),
    ).fetchone()
    if row is None:
        raise Gap(
            f"slot {source.slot_name} does not exist",
            expected="the slot that `stretto init` made",
            fix=f"changes since it was dropped are missing in the log; {REPAIR}",
        )
    plugin, database, confirmed, wal_status, here = row
    if plugin != "pgoutput" or database != here:
        raise SettingsError(
            f"slot {source.slot_name} is for plugin {plugin} in database {database}",
            expected=f"pgoutput in database {here}",
            fix="set another `slot` in section [source]",
        )
    if wal_status == "lost":
        raise Gap(
            f"slot {source.slot_name} has lost WAL that the log needs",
            expected="max_slot_wal_keep_size above what an outage writes",
            fix=REPAIR,
        )
    if confirmed is not None and parse_lsn(confirmed) > frontier.end_lsn:
        raise Gap(
            f"slot {source.slot_name} stands at {confirmed}, past the log's last frontier at {format_lsn(frontier.end_lsn)}",
            expected="a slot at or before the last frontier",
            fix=f"somebody else advanced the slot, or the log lost its end; {REPAIR}",
        )


def _switch_lsn(stream: ReplicationConnection, old: int, new: int) -> int | None:
    """Where the new timeline left the old one, from its history file; None when it did not descend from it."""
    if new < old:
        return None  # the first one has no history file
    _, content = stream.command(f"TIMELINE_HISTORY {new}")
    for line in content.splitlines():
        fields = line.split("\t")
        if len(fields) >= 2 and fields[0].strip() == str(old):
            return parse_lsn(fields[1].strip())
    return None
