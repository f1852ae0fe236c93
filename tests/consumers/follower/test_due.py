"""Batches of a follower that shows transactions only some time after their commit: rules 8 and 9 of the accounting."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from stretto_consumers.follower.accounting import Accounting, Batch
from stretto_consumers.follower.waiting import Budget
from stretto_schemas.frontier import Frontier, PartitionOffset, Transaction
from stretto_schemas.position import Position

PLACE = ("p.s.public.a", 0)


class Log:
    """Frontiers of transactions with one record each; the LSN of a transaction counts them from 10 in steps of 10."""

    def __init__(self) -> None:
        position = Position("s", 1, 0, 0, 0, 0, 0, {PLACE: 0})
        self.accounting = Accounting(position, Budget(1 << 30, None), frozenset(), lambda _, __: None)
        self.sequence = 0
        self.lsn = 0
        self._offset = 0
        self._counted = False

    def frontier(self, *commit_times_us: int, **more: object) -> None:
        """One frontier; without times it says only that time went by."""
        self.sequence += 1
        transactions = []
        for at_us in commit_times_us:
            self.lsn += 10
            transactions.append(Transaction(self.lsn, self.lsn, self.lsn, at_us, [0, 1]))
        count = len(transactions)
        fields: dict[str, object] = {
            "source": "s",
            "epoch": 1,
            "system_id": "1",
            "timeline": 1,
            "commit_lsn": self.lsn,
            "end_lsn": self.lsn + self.sequence,
            "commit_ts_us": 0,
            "sequence": self.sequence,
            "partitions": [PLACE] if count else [],
            "counts": [count] if count else [],
            "transactions": transactions,
            "previous_offsets": [PartitionOffset(*PLACE, self._offset)] if self._counted else [],
        }
        self.lsn += self.sequence
        self.accounting.add_frontier(Frontier(**(fields | more)), self.sequence)  # type: ignore[arg-type]
        if count:
            rows = [(self._offset + n, b"", b"", None) for n in range(count)]
            self.accounting.queues[PLACE].extend(rows)  # type: ignore[arg-type]
        self._offset += count
        self._counted = count > 0

    def batch(self, until_us: int | None) -> Batch | None:
        return self.accounting.next_batch(100, 1 << 30, until_us=until_us)


def test_a_frontier_is_cut_before_the_first_transaction_that_must_wait() -> None:
    log = Log()
    log.frontier(1, 2, 9)
    first = log.batch(5)
    assert first is not None
    assert [each.commit_ts_us for each in first.transactions] == [1, 2]
    assert first.position.sequence == 0, "the frontier is read again after a restart"
    assert log.batch(5) is None
    assert log.accounting.held_us == 9
    assert log.accounting.missing() == {}, "nothing is lacking: it waits on purpose"
    rest = log.batch(9)
    assert rest is not None
    assert [each.commit_ts_us for each in rest.transactions] == [9]
    assert rest.position.sequence == 1
    assert log.accounting.held_us == 0


def test_what_lies_behind_a_transaction_that_waits_does_not_overtake_it() -> None:
    log = Log()
    log.frontier(9, 1)
    log.frontier(2)
    assert log.batch(5) is None


def test_a_frontier_without_transactions_waits_for_nothing() -> None:
    log = Log()
    log.frontier(heartbeat_us=100)
    batch = log.batch(0)
    assert batch is not None
    assert (batch.transactions, batch.position.heartbeat_us) == ([], 100)


def test_what_the_follower_has_already_is_not_waited_for() -> None:
    """After a copy such transactions are read and dropped; they are visible already."""
    log = Log()
    log.accounting.begin(Position("s", 1, 20, 0, 0, 0, 0, {PLACE: 0}))
    log.frontier(9, 9)
    batch = log.batch(5)
    assert batch is not None
    assert (batch.transactions, len(batch.dropped)) == ([], 2)


def test_frontiers_that_say_nothing_but_that_time_went_by_do_not_pile_up() -> None:
    log = Log()
    log.frontier(9)
    for second in range(1000):
        log.frontier(heartbeat_us=second)
    log.frontier(10)
    assert log.accounting.frontiers_ahead <= 4
    batch = log.batch(10)
    assert batch is not None
    assert [each.commit_ts_us for each in batch.transactions] == [9, 10]
    assert (batch.position.sequence, batch.position.heartbeat_us) == (1002, 999)
    assert batch.position.frontier_offset == 1003


@given(st.lists(st.lists(st.integers(1, 40), max_size=5), max_size=12), st.lists(st.integers(0, 45), max_size=30))
def test_nothing_is_shown_early_or_twice_or_out_of_order_and_in_the_end_all_is(
    frontiers: list[list[int]], clock: list[int]
) -> None:
    """Frontiers come one by one while the clock goes on as it likes."""
    log, shown, wanted, steps = Log(), list[int](), list[int](), list(clock)
    for times in frontiers:
        log.frontier(*times)
        wanted += times
        until_us = steps.pop() if steps else 0
        while (batch := log.batch(until_us)) is not None:
            assert all(each.commit_ts_us <= until_us for each in batch.transactions)
            shown += [each.commit_ts_us for each in batch.transactions]
        assert shown == wanted[: len(shown)]
        left = wanted[len(shown) :]
        assert log.accounting.held_us == (left[0] if left else 0), (
            "it waits for the oldest that is not shown, and only then"
        )
    while (batch := log.batch(None)) is not None:
        shown += [each.commit_ts_us for each in batch.transactions]
    assert shown == wanted
    assert log.accounting.position.sequence == log.sequence
    assert log.accounting.position.end_lsn == log.lsn
