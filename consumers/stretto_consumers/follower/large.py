"""A source transaction larger than a batch, in records or in bytes: in parts that are applied one after another in one PostgreSQL transaction.

Its records are merged by `total_order`, so every part ends at a row of the source's own order. At each such row the
source's own unique keys held (those that are not deferrable are checked row by row there), so they hold here after each
part; deferrable ones are not checked by a session in replica role.
"""

from __future__ import annotations

from collections.abc import Iterator

from stretto_consumers.follower.accounting import Accounting, Batch, Partition
from stretto_consumers.follower.prepare import merge
from stretto_consumers.follower.waiting import OVERHEAD, PartitionQueue, Waiting
from stretto_schemas.envelope import OLD_KEY

READ_AT_ONCE = 500
"""Records taken from a queue at a time: what the merge holds of each partition, within all partitions' share of bytes."""


def parts(batch: Batch, accounting: Accounting, batch_rows: int, batch_bytes: int) -> Iterator[Batch]:
    """The batch itself, or the parts of a large one; the last part has `more` False and the offsets to go on from."""
    if not batch.large:
        yield batch
        return
    ends: dict[Partition, int] = {}
    share = batch_bytes // max(1, len(batch.queues))
    sources = {place: _drain(place, queue, count, share, ends) for place, (queue, count) in batch.queues.items()}
    rows: dict[Partition, list[Waiting]] = {}
    count, size, barriers = 0, 0, list(batch.barriers)
    for (_, number), place, row in merge(batch, sources):
        if (count >= batch_rows or size >= batch_bytes) and not _belongs_to_the_one_before(row):
            due = [barrier for barrier in barriers if barrier.total_order < number]
            barriers = barriers[len(due) :]
            yield Batch(batch.transactions, batch.dropped, rows, due, batch.position, count, more=True)
            rows, count, size = {}, 0, 0
        rows.setdefault(place, []).append(row)
        count += 1
        size += len(row[1]) + len(row[2] or b"") + OVERHEAD
    accounting.taken_large(batch, ends)
    yield Batch(batch.transactions, batch.dropped, rows, barriers, batch.position, batch.records)


def _belongs_to_the_one_before(row: Waiting) -> bool:
    """True for the insert half of a key change, which may need values of the row that the other half deletes, and for
    the tombstone that lies between the two."""
    return row[2] is None or (row[3] is not None and any(name == OLD_KEY for name, _ in row[3]))


def _drain(
    place: Partition, queue: PartitionQueue, count: int, share: int, ends: dict[Partition, int]
) -> Iterator[Waiting]:
    while count:
        taken = queue.take(queue.fitting(min(count, READ_AT_ONCE), share))
        count -= len(taken)
        ends[place] = taken[-1][0] + 1
        yield from taken
