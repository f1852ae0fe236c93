"""Which records make a batch: the numbered rules of the module, one by one."""

from __future__ import annotations

import pytest

from stretto_consumers.follower.accounting import Accounting, Batch
from stretto_consumers.follower.large import parts
from stretto_consumers.follower.waiting import Budget, Waiting
from stretto_schemas.errors import Divergence, Gap
from stretto_schemas.frontier import Frontier, PartitionOffset, Transaction
from stretto_schemas.position import Position

A, B = ("p.s.public.a", 0), ("p.s.public.b", 0)


class Log:
    """An accounting with its subscriptions, and frontiers with increasing numbers."""

    def __init__(self, position: Position | None = None, budget: int = 1 << 30) -> None:
        self.subscribed: dict[tuple[str, int], int] = {}
        self.accounting = Accounting(
            position or Position("s", 1, 0, 0, 0, 0, 0, {}),
            Budget(budget, None),
            frozenset({"p.s.message"}),
            self.subscribed.__setitem__,
        )
        self.sequence = 0

    def frontier(self, *transactions: dict[tuple[str, int], int], end_lsn: int = 0, **more: object) -> None:
        """A frontier of transactions, each the number of its records by partition. LSNs are 10, 20, 30, ..."""
        self.sequence += 1
        places = sorted({place for transaction in transactions for place in transaction})
        listed = []
        for transaction in transactions:
            lsn = self._lsn = getattr(self, "_lsn", 0) + 10
            flat = [part for place, count in transaction.items() for part in (places.index(place), count)]
            listed.append(Transaction(lsn, lsn, lsn, lsn, flat))
        fields: dict[str, object] = {
            "source": "s",
            "epoch": 1,
            "system_id": "1",
            "timeline": 1,
            "commit_lsn": getattr(self, "_lsn", 0),
            "end_lsn": end_lsn or getattr(self, "_lsn", 0),
            "commit_ts_us": 0,
            "sequence": self.sequence,
            "partitions": places,
            "counts": [sum(t.get(place, 0) for t in transactions) for place in places],
            "transactions": listed,
        }
        self.accounting.add_frontier(Frontier(**(fields | more)), self.sequence)  # type: ignore[arg-type]

    def rows(self, place: tuple[str, int], start: int, end: int, size: int = 0) -> None:
        """Records with these offsets came, with a value of `size` bytes."""
        rows: list[Waiting] = [(offset, b"", bytes(size), None) for offset in range(start, end)]
        self.accounting.queues[place].extend(rows)

    def batch(self, batch_rows: int = 100, careful_until: int = 0, batch_bytes: int = 1 << 30) -> Batch | None:
        return self.accounting.next_batch(batch_rows, batch_bytes, careful_until)


def test_a_batch_waits_for_the_last_of_its_records() -> None:
    log = Log()
    log.frontier({A: 2, B: 1})
    log.rows(A, 0, 2)
    assert log.batch() is None
    assert log.accounting.missing() == {B: 1}
    log.rows(B, 0, 1)
    batch = log.batch()
    assert batch is not None
    assert [t.xid for t in batch.transactions] == [10]
    assert {place: len(rows) for place, rows in batch.rows.items()} == {A: 2, B: 1}
    assert batch.position.offsets == {A: 2, B: 1}
    assert (batch.position.end_lsn, batch.position.sequence, batch.position.frontier_offset) == (10, 1, 2)


def test_records_of_the_next_frontier_wait() -> None:
    log = Log()
    log.frontier({A: 1})
    log.rows(A, 0, 3)
    batch = log.batch()
    assert batch is not None
    assert batch.position.offsets == {A: 1}
    assert log.batch() is None


def test_whole_frontiers_are_joined_up_to_the_size_of_a_batch() -> None:
    log = Log()
    for _ in range(3):
        log.frontier({A: 2})
    log.rows(A, 0, 6)
    batch = log.batch(4)
    assert batch is not None
    assert [t.xid for t in batch.transactions] == [10, 20]
    assert batch.position.sequence == 2


def test_a_frontier_larger_than_a_batch_is_cut_at_a_transaction() -> None:
    log = Log()
    log.frontier({A: 2}, {A: 2}, {A: 2})
    log.rows(A, 0, 6)
    first, second = log.batch(5), log.batch(5)
    assert first is not None
    assert second is not None
    assert [t.xid for t in first.transactions] == [10, 20]
    assert (first.position.end_lsn, first.position.sequence, first.position.frontier_offset) == (20, 0, 1)
    assert [t.xid for t in second.transactions] == [30]
    assert (second.position.end_lsn, second.position.sequence, second.position.frontier_offset) == (30, 1, 2)


def test_after_a_cut_a_new_reader_drops_what_it_has() -> None:
    log = Log()
    log.frontier({A: 2}, {A: 2})
    log.rows(A, 0, 4)
    first = log.batch(2)
    assert first is not None
    again = Log(first.position)
    assert again.subscribed == {A: 2}
    again.frontier({A: 2}, {A: 2})
    again.rows(A, 2, 4)
    rest = again.batch()
    assert rest is not None
    assert [t.xid for t in rest.transactions] == [20]
    assert rest.dropped == set()


def test_what_a_copy_has_already_is_read_and_dropped() -> None:
    log = Log(
        Position("s", 1, end_lsn=10, commit_ts_us=0, offsets_lsn=0, frontier_offset=0, sequence=-1, offsets={A: 0})
    )
    log.frontier({A: 1}, {A: 1})
    log.rows(A, 0, 2)
    batch = log.batch()
    assert batch is not None
    assert [t.xid for t in batch.transactions] == [20]
    assert batch.dropped == {"10:10"}
    assert len(batch.rows[A]) == 2


def test_a_missing_frontier_is_a_gap() -> None:
    log = Log()
    log.sequence += 1
    log.frontier({A: 1})
    log.rows(A, 0, 1)
    with pytest.raises(Gap, match="goes from frontier 0 to 2"):
        log.batch()


def test_offsets_that_do_not_agree_with_the_count_halt() -> None:
    log = Log()
    log.frontier({A: 2})
    log.rows(A, 0, 2)
    assert log.batch() is not None
    log.frontier({A: 1}, previous_offsets=[PartitionOffset(*A, 3)])
    log.rows(A, 2, 3)
    with pytest.raises(Divergence, match="offset 3, but counting its records came to 2"):
        log.batch()


def test_a_partition_begins_where_the_frontier_that_names_it_first_says() -> None:
    log = Log()
    log.frontier({A: 1}, start_offsets=[PartitionOffset(*A, 7)])
    assert log.subscribed == {A: 7}


def test_a_void_is_skipped_uncounted() -> None:
    log = Log()
    log.frontier({A: 1})
    log.rows(A, 0, 1)
    assert log.batch() is not None
    log.rows(A, 1, 5)  # the first part of a transaction, then a crash
    log.frontier(resume_offsets=[PartitionOffset(*A, 6)])
    log.frontier({A: 2})
    log.rows(A, 6, 8)
    batch = log.batch()
    assert batch is not None
    assert [row[0] for row in batch.rows[A]] == [6, 7]


def test_a_reader_that_starts_again_after_a_void_begins_behind_it() -> None:
    log = Log()
    log.frontier({A: 1})
    log.rows(A, 0, 1)
    assert log.batch() is not None
    log.frontier(resume_offsets=[PartitionOffset(*A, 6), PartitionOffset(*B, 3)])
    batch = log.batch()
    assert batch is not None
    assert batch.position.offsets == {A: 6, B: 3}


def test_a_void_in_a_partition_that_no_frontier_named_yet_is_skipped() -> None:
    log = Log()
    log.frontier(resume_offsets=[PartitionOffset(*B, 3)])
    log.frontier({B: 1})
    assert log.subscribed == {B: 3}


def test_logical_messages_are_no_rows() -> None:
    log = Log()
    log.frontier({A: 1, ("p.s.message", 0): 1}, previous_offsets=[PartitionOffset("p.s.message", 0, 9)])
    log.rows(A, 0, 1)
    batch = log.batch()
    assert batch is not None
    assert set(batch.rows) == {A}


def test_a_transaction_larger_than_a_batch_is_handed_over_undecoded() -> None:
    log = Log()
    log.frontier({A: 5, B: 5})
    log.rows(A, 0, 5)
    log.rows(B, 0, 5)
    batch = log.batch(4)
    assert batch is not None
    assert batch.large
    assert batch.rows == {}
    assert {place: count for place, (_, count) in batch.queues.items()} == {A: 5, B: 5}
    log.accounting.taken_large(batch, {A: 5, B: 5})
    assert batch.position.offsets == {A: 5, B: 5}


def test_looking_for_a_refused_transaction_nothing_joins_a_frontier_without_one() -> None:
    log = Log()
    log.frontier()
    log.frontier({A: 1}, {A: 1})
    log.rows(A, 0, 2)
    batches = [log.batch(careful_until=20) for _ in range(3)]
    assert [[t.xid for t in batch.transactions] for batch in batches if batch is not None] == [[], [10], [20]]


MB = 1 << 20


def test_frontiers_are_joined_up_to_the_bytes_of_a_batch() -> None:
    log = Log()
    for _ in range(5):
        log.frontier({A: 1, B: 1})
    log.rows(A, 0, 5, MB)
    log.rows(B, 0, 5, MB)
    batches = [log.batch(batch_bytes=5 * MB) for _ in range(3)]
    assert [[t.xid for t in batch.transactions] for batch in batches if batch is not None] == [[10, 20], [30, 40], [50]]


def test_a_frontier_of_more_bytes_than_a_batch_is_cut_at_a_transaction() -> None:
    log = Log()
    log.frontier({A: 2}, {A: 2}, {A: 1}, {A: 1})
    log.rows(A, 0, 6, MB)
    batches = [log.batch(batch_bytes=3 * MB) for _ in range(3)]
    assert [[t.xid for t in batch.transactions] for batch in batches if batch is not None] == [[10], [20], [30, 40]]
    assert not any(batch.large for batch in batches if batch is not None)


def test_a_transaction_of_more_bytes_than_a_batch_goes_in_parts_of_at_least_a_row() -> None:
    log = Log(budget=4 * MB)
    log.frontier({A: 3, B: 4})
    for offset in range(4):
        value = b'{"transaction":{"id":"10:10","total_order":%d},"pad":"%s"}'
        log.accounting.queues[B].extend([(offset, b"", value % (2 * offset + 1, b"x" * MB), None)])
        if offset < 3:
            log.accounting.queues[A].extend([(offset, b"", value % (2 * offset + 2, b"x" * 10), None)])
    batch = log.batch(batch_bytes=2 * MB)
    assert batch is not None
    assert batch.large
    found = list(parts(batch, log.accounting, 100, 2 * MB))
    assert [sum(map(len, part.rows.values())) for part in found] == [3, 4]
    assert [part.more for part in found] == [True, False]
    assert found[-1].position.offsets == {A: 3, B: 4}


def test_a_single_record_of_more_bytes_than_a_batch_goes() -> None:
    log = Log()
    log.frontier({A: 1}, {A: 1})
    log.rows(A, 0, 2, 10 * MB)
    batches = [log.batch(batch_bytes=MB) for _ in range(2)]
    assert [batch.large for batch in batches if batch is not None] == [True, True]
    assert log.accounting.frontiers_ahead == 0


def test_a_frontier_of_another_epoch_is_a_gap_whatever_its_number() -> None:
    log = Log()
    log.frontier(epoch=2)
    with pytest.raises(Gap, match="epoch 2, this follower's position is of epoch 1"):
        log.batch()


def test_a_copied_follower_reads_no_logical_messages() -> None:
    message = ("p.s.message", 0)
    log = Log(Position("s", 1, 0, 0, 0, 0, -1, {A: 5, message: 7}))
    assert log.subscribed == {A: 5}
    log.frontier({A: 1, message: 1})
    log.rows(A, 5, 6)
    batch = log.batch()
    assert batch is not None
    assert batch.position.offsets == {A: 6}
