"""A source transaction larger than a batch: in parts that are applied one after another in one PostgreSQL transaction.

Its records are merged by `total_order`, so every part ends at a row of the source's own order. At each such row the
source's own unique keys held (those that are not deferrable are checked row by row there), so they hold here after each
part; deferrable ones are not checked by a session in replica role.
"""

from __future__ import annotations

from collections.abc import Iterator

from stretto_consumers.follower.accounting import Accounting, Batch, Partition
from stretto_consumers.follower.prepare import merge
from stretto_consumers.follower.waiting import PartitionQueue, Waiting
from stretto_schemas.envelope import OLD_KEY

READ_AT_ONCE = 500
"""Records taken from a queue at a time: what the merge holds of each partition."""


def parts(batch: Batch, accounting: Accounting, batch_rows: int) -> Iterator[Batch]:
    """The batch itself, or the parts of a large one; the last part has `more` False and the offsets to go on from."""
    if not batch.large:
        yield batch
        return
    ends: dict[Partition, int] = {}
    sources = {place: _drain(place, queue, count, ends) for place, (queue, count) in batch.queues.items()}
    rows: dict[Partition, list[Waiting]] = {}
    count, barriers = 0, list(batch.barriers)
    for (_, number), place, row in merge(batch, sources):
        if count >= batch_rows and not _belongs_to_the_one_before(row):
            due = [barrier for barrier in barriers if barrier.total_order < number]
            barriers = barriers[len(due) :]
            yield Batch(batch.transactions, batch.dropped, rows, due, batch.position, count, more=True)
            rows, count = {}, 0
        rows.setdefault(place, []).append(row)
        count += 1
    accounting.taken_large(batch, ends)
    yield Batch(batch.transactions, batch.dropped, rows, barriers, batch.position, batch.records)


def _belongs_to_the_one_before(row: Waiting) -> bool:
    """True for the insert half of a key change, which may need values of the row that the other half deletes, and for
    the tombstone that lies between the two."""
    return row[2] is None or (row[3] is not None and any(name == OLD_KEY for name, _ in row[3]))


def _drain(place: Partition, queue: PartitionQueue, count: int, ends: dict[Partition, int]) -> Iterator[Waiting]:
    while count:
        taken = queue.take(min(count, READ_AT_ONCE))
        count -= len(taken)
        ends[place] = taken[-1][0] + 1
        yield from taken
