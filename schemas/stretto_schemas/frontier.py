"""Frontier records: the only thing in the log that says what may be applied.

One record of the transactions topic closes a batch of whole source transactions. A follower applies rows up to a
frontier, all of them or none. Which rows: `counts` of each partition's next records, after the void ranges are skipped.

Partitions are named once a record, in `partitions`; everything else refers to them by index.
"""

from __future__ import annotations

import msgspec

from stretto_schemas.tables import Table


class Transaction(msgspec.Struct, array_like=True, gc=False):
    """One source transaction: who, where it ends in the WAL, and how many records it wrote to which partitions."""

    xid: int
    commit_lsn: int
    end_lsn: int
    commit_ts_us: int
    """Commit time by the source's clock, microseconds since 1970."""
    counts: list[int]
    """Flat pairs: index into the frontier's `partitions`, number of records."""
    origin: str = ""
    """Name of the replication origin under which the source wrote it; empty: written there first."""

    @property
    def id(self) -> str:
        """What the rows carry as `transaction.id`."""
        return f"{self.xid}:{self.commit_lsn}"


class PartitionOffset(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A place in one partition: the offset of the next record."""

    topic: str
    partition: int
    offset: int


class Truncate(msgspec.Struct, tag="truncate", tag_field="barrier"):
    """A TRUNCATE statement: all its tables together, at its place in the order."""

    commit_lsn: int
    total_order: int
    tables: list[tuple[str, str]]
    cascade: bool = False
    restart_identity: bool = False


class SchemaChange(msgspec.Struct, tag="schema", tag_field="barrier"):
    """A table has this shape from here on."""

    commit_lsn: int
    total_order: int
    table: Table
    dropped: list[str] = []
    """Columns that the version before had and this one has not."""
    added: list[str] = []
    """Columns that this version has and the one before had not. A follower adds these and no others."""


Barrier = Truncate | SchemaChange


class Published(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What makes a publication the same one: where something is taken away and given back, numbers differ."""

    oid: int
    actions: str
    """Letters of what it publishes: i insert, u update, d delete, t truncate."""
    via_root: bool
    members: list[tuple[int, int]]
    """Of each table or schema that it names: OID of the membership, OID of the table or schema."""


class Frontier(msgspec.Struct, omit_defaults=True, tag="frontier", tag_field="record"):
    """Everything up to `end_lsn` is in the log, in the partitions' records that `counts` count."""

    source: str
    epoch: int
    system_id: str
    timeline: int
    commit_lsn: int
    """Of the newest transaction in this or an earlier frontier; 0 when there was none yet."""
    end_lsn: int
    """Where capture starts again: the next transaction has `commit_lsn >= end_lsn`."""
    commit_ts_us: int
    """Commit time of the newest transaction, microseconds since 1970."""
    sequence: int
    """Counts the source's frontiers, without gaps: a missing one is seen."""
    partitions: list[tuple[str, int]] = []
    counts: list[int] = []
    """Records since the frontier before, aligned with `partitions`."""
    transactions: list[Transaction] = []
    barriers: list[Barrier] = []
    previous_offsets: list[PartitionOffset] = []
    """Next offset of each partition that the frontier before counted."""
    offsets: list[PartitionOffset] | None = None
    """In a full frontier: next offset of every partition as of `offsets_lsn`."""
    offsets_lsn: int = 0
    commit_lsn_before: int | None = None
    """In a full frontier: of the newest transaction before it. Who has that one needs nothing before this frontier."""
    resume_offsets: list[PartitionOffset] | None = None
    """In the first frontier after a start: records below these that no frontier counted are void."""
    start_offsets: list[PartitionOffset] = []
    """Of partitions that are counted for the first time (or again after the table had left): where they begin."""
    heartbeat_us: int | None = None
    """Clock of the source at the newest heartbeat that this frontier covers, microseconds since 1970."""
    clock_us: int = 0
    """What the source's clock showed at least when this frontier was made, microseconds since 1970; 0: not known yet."""
    publication: Published | None = None
    """In a full frontier: the publication as capture knew it. A later one must have all that is in it."""

    @property
    def next_offsets(self) -> dict[tuple[str, int], int]:
        """`offsets` by topic and partition; empty when this is no full frontier."""
        return {(place.topic, place.partition): place.offset for place in self.offsets or ()}


class Open(msgspec.Struct, tag="open", tag_field="record"):
    """Begins every Kafka transaction, before its first row: a transaction whose first part was voided cannot commit."""

    source: str
    epoch: int
    instance: str = ""
    """Random name of the process that wrote it: one that comes back knows whether another took over meanwhile."""


Record = Frontier | Open

encode_record = msgspec.json.Encoder().encode
decode_record = msgspec.json.Decoder(Record).decode
