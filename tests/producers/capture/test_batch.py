"""Whole source transactions become Kafka transactions and frontiers that count their records."""

from __future__ import annotations

from stretto_producers.capture.batch import Batch, Sealed
from stretto_producers.capture.encoder import PartitionRows
from stretto_schemas.frontier import Frontier, Truncate

A, B = ("a", 0), ("b", 0)


def frontier() -> Frontier:
    return Frontier("s", 1, "1", 1, 0, 0, 0, 0)


class Source:
    """A batch and two partitions."""

    def __init__(self) -> None:
        self.batch = Batch()
        self.a, self.b = PartitionRows(*A), PartitionRows(*B)

    def rows(self, rows: PartitionRows, count: int) -> None:
        for _ in range(count):
            rows.append((b"value", b"key"))
            self.batch.tally.add(rows, 5)

    def commit(self, xid: int) -> None:
        self.batch.commit(xid, xid * 10, xid * 10 + 1, 0, "")

    def seal(self, made: Frontier | None, *, inside: bool = False) -> Sealed:
        if inside:
            self.batch.note_open()
        return self.batch.seal([self.a, self.b], made)


def test_counts_are_those_of_whole_transactions() -> None:
    source = Source()
    source.rows(source.a, 2)
    source.commit(1)
    source.rows(source.b, 1)
    source.rows(source.a, 3)
    source.commit(2)
    assert (source.batch.rows, source.batch.size) == (6, 30)
    made = frontier()
    sealed = source.seal(made)
    assert made.partitions == [A, B]
    assert made.counts == [5, 1]
    assert [(t.xid, t.counts) for t in made.transactions] == [(1, [0, 2]), (2, [1, 1, 0, 3])]
    assert {place: len(rows) for place, rows in sealed.records.items()} == sealed.waiting == {A: 5, B: 1}
    assert sealed.uncounted == {}
    assert (source.batch.rows, source.batch.size, source.batch.complete) == (0, 0, False)


def test_a_transaction_that_wrote_nothing_leaves_no_trace() -> None:
    source = Source()
    source.commit(1)
    assert not source.batch.complete
    assert source.batch.transactions == []


def test_a_barrier_alone_is_worth_a_frontier() -> None:
    source = Source()
    barrier = Truncate(10, 0, [("public", "a")])
    source.batch.add_barrier(barrier)
    source.commit(1)
    assert source.batch.complete
    made = frontier()
    source.seal(made)
    assert made.barriers == [barrier]
    assert [t.xid for t in made.transactions] == [1]


def test_parts_of_a_large_transaction_are_counted_by_the_frontier_that_closes_it() -> None:
    source = Source()
    source.rows(source.a, 4)
    first = source.seal(None, inside=True)
    assert first.waiting == {A: 4}
    source.rows(source.a, 3)
    source.rows(source.b, 1)
    source.commit(1)
    made = frontier()
    last = source.seal(made)
    assert made.partitions == [A, B]
    assert made.counts == [7, 1]
    assert last.waiting == {A: 3, B: 1}


def test_rows_of_an_open_transaction_behind_a_frontier_are_counted_by_the_next() -> None:
    source = Source()
    source.rows(source.a, 2)
    source.commit(1)
    source.rows(source.a, 3)
    source.rows(source.b, 4)
    made = frontier()
    sealed = source.seal(made, inside=True)
    assert dict(zip(made.partitions, made.counts, strict=True)) == {A: 2}
    assert sealed.waiting == {A: 5, B: 4}
    assert sealed.uncounted == {A: 3, B: 4}
    source.rows(source.b, 1)
    source.commit(2)
    after = frontier()
    source.seal(after)
    assert dict(zip(after.partitions, after.counts, strict=True)) == {A: 3, B: 5}


def test_shapes_travel_with_the_transaction_that_brought_them() -> None:
    source = Source()
    source.batch.add_shape(("schema", b"shape", b"key", 0))
    source.rows(source.a, 1)
    assert source.seal(None, inside=True).shapes == []
    source.commit(1)
    assert source.seal(frontier()).shapes == [("schema", b"shape", b"key", 0)]


def test_a_message_outside_of_transactions_is_counted_too() -> None:
    source = Source()
    source.a.append((b"value", b"key"))
    source.batch.add_outside(source.a, 5)
    assert source.batch.complete
    made = frontier()
    source.seal(made)
    assert (made.partitions, made.counts, made.transactions) == ([A], [1], [])
