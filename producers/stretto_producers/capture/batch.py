"""What waits for the next Kafka transaction, and the frontier that closes it."""

from __future__ import annotations

from dataclasses import dataclass

from stretto_connectors.kafka.writer import LogRecord, RowRecord
from stretto_producers.capture.encoder import PartitionRows, Tally
from stretto_schemas.frontier import Barrier, Frontier, Transaction

Partition = tuple[str, int]


@dataclass(slots=True)
class Sealed:
    """One Kafka transaction, ready to be written. `frontier` is None for an inner part of a large source transaction."""

    records: dict[Partition, list[RowRecord]]
    frontier: Frontier | None
    waiting: dict[Partition, int]
    """Number of records by partition."""
    uncounted: dict[Partition, int]
    """Records at the end of a partition's list that the frontier does not count: the next one does."""
    shapes: list[LogRecord]
    rows: int
    size: int


class Batch:
    """Gathers whole source transactions. Not thread-safe.

    1. The encoder counts each record of the open source transaction in `tally`; `commit()` makes it whole.
    2. `seal()` takes the records; where a whole transaction waits it closes them with a frontier.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self.transactions: list[Transaction] = []
        self.barriers: list[Barrier] = []
        self.shapes: list[LogRecord] = []
        self.heartbeat_us: int | None = None
        self._open_here: dict[PartitionRows, int] = {}
        """Records of the open source transaction that wait now."""
        self._open_barriers: list[Barrier] = []
        self._counts: dict[PartitionRows, int] = {}
        """Records since the last frontier, of whole transactions (and messages outside of any)."""
        self._index: dict[PartitionRows, int] = {}
        self._open_shapes: list[LogRecord] = []

    @property
    def complete(self) -> bool:
        """True when a frontier would say something new."""
        return bool(self.transactions or self._counts or self.barriers or self.heartbeat_us is not None)

    @property
    def rows(self) -> int:
        """Records that wait."""
        return self.tally.rows

    @property
    def size(self) -> int:
        """Bytes of their values."""
        return self.tally.size

    def add_outside(self, rows: PartitionRows, size: int) -> None:
        """Count a record that belongs to no source transaction."""
        self._counts[rows] = self._counts.get(rows, 0) + 1
        self.tally.rows += 1
        self.tally.size += size

    def add_barrier(self, barrier: Barrier) -> None:
        """A barrier inside the open source transaction."""
        self._open_barriers.append(barrier)

    def add_shape(self, record: LogRecord) -> None:
        """A record of the schema topic, written with the source transaction that brought the new shape."""
        self._open_shapes.append(record)

    def commit(self, xid: int, commit_lsn: int, end_lsn: int, commit_ts_us: int, origin: str) -> None:
        """The open source transaction is whole. One without records and barriers leaves no trace."""
        touched = self.tally.touched
        if touched or self._open_barriers:
            counts, index, flat = self._counts, self._index, []
            for rows in touched:
                counts[rows] = counts.get(rows, 0) + rows.open
                flat.append(index.setdefault(rows, len(index)))
                flat.append(rows.open)
                rows.open = 0
            touched.clear()
            self.transactions.append(Transaction(xid, commit_lsn, end_lsn, commit_ts_us, flat, origin))
            self.barriers += self._open_barriers
            self.shapes += self._open_shapes
            self._open_here = {}
            self._open_barriers = []
            self._open_shapes = []

    def note_open(self) -> None:
        """Called before `seal()` inside a source transaction: how many of its records wait now."""
        self._open_here = {rows: min(rows.open, len(rows.rows)) for rows in self.tally.touched}

    def seal(self, partitions: list[PartitionRows], frontier: Frontier | None) -> Sealed:
        """Take everything that waits. With a frontier, its counts, transactions and barriers are filled in."""
        records = {(rows.topic, rows.partition): rows.take() for rows in partitions if rows.rows}
        waiting = {place: len(rows) for place, rows in records.items()}
        uncounted: dict[Partition, int] = {}
        if frontier is not None:
            index = self._index
            for rows in self._counts:
                index.setdefault(rows, len(index))
            frontier.partitions = [(rows.topic, rows.partition) for rows in index]
            frontier.counts = [self._counts.get(rows, 0) for rows in index]
            frontier.transactions = self.transactions
            frontier.barriers = self.barriers
            frontier.heartbeat_us = self.heartbeat_us
            uncounted = {(rows.topic, rows.partition): count for rows, count in self._open_here.items() if count}
            self.transactions, self.barriers, self._counts, self._index = [], [], {}, {}
            self.heartbeat_us = None
        shapes, self.shapes = self.shapes, []
        sealed = Sealed(records, frontier, waiting, uncounted, shapes, self.rows, self.size)
        self.tally.rows = self.tally.size = 0
        self._open_here = {}
        return sealed
