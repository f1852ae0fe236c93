"""Which waiting records make the next batch: frontiers counted against partitions. Pure: no I/O but the queues'.

The rules, numbered as in the code:

1. Frontiers are taken in order of their sequence; a missing one is a gap, and so is one of another epoch.
2. `resume_offsets`: what no frontier counted before these offsets is void and skipped.
3. A partition that is named for the first time begins at its `start_offsets`, else at 0.
4. `previous_offsets` must agree with what was counted, else rows are missing or doubled.
5. A frontier is complete when every partition has as many records as its transactions (beyond `offsets_lsn`) count.
6. A transaction with `end_lsn <= position.end_lsn` is dropped: the follower has it already.
7. A batch is whole transactions, up to `batch_rows` records and about `batch_bytes` of them; one larger transaction is
   a batch of its own.
8. A transaction that was committed after `until_us` waits, with all behind it; a frontier is cut before it.
9. A frontier that says nothing but that time went by, behind another such one, takes its place: of a follower that waits
   on purpose they would fill the memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from stretto_consumers.follower.waiting import Budget, PartitionQueue, Waiting
from stretto_schemas.errors import Divergence, Gap
from stretto_schemas.frontier import Barrier, Frontier, Transaction
from stretto_schemas.lsn import format_lsn
from stretto_schemas.position import Position
from stretto_schemas.repairs import COPY_AGAIN

Partition = tuple[str, int]


@dataclass(slots=True)
class Batch:
    """Whole source transactions, their records, and where the follower stands after them."""

    transactions: list[Transaction]
    """Those to apply."""
    dropped: set[str]
    """Ids of those that the follower has already (rule 6); their records are among `rows`."""
    rows: dict[Partition, list[Waiting]]
    barriers: list[Barrier]
    position: Position
    records: int
    large: bool = False
    """One transaction, too large to be held decoded: `rows` is empty and `queues` has them."""
    queues: dict[Partition, tuple[PartitionQueue, int]] = field(default_factory=dict)
    more: bool = False
    """True for a part of a large transaction that is not its last: nothing is committed after it."""


class Accounting:
    """Frontiers and queues of one source. One thread."""

    def __init__(
        self, position: Position, budget: Budget, ignored: frozenset[str], subscribe: Callable[[Partition, int], None]
    ) -> None:
        self._budget = budget
        self._ignored = ignored
        self._subscribe = subscribe
        self.queues: dict[Partition, PartitionQueue] = {}
        self.begin(position)

    def begin(self, position: Position) -> None:
        """Start at this position. What was read before is forgotten, and every partition is subscribed to anew."""
        for queue in self.queues.values():
            queue.close()
        self.queues.clear()
        self._position = position
        self._frontiers: deque[tuple[Frontier, int]] = deque()
        self._joined: dict[int, int] = {}
        """By sequence of a frontier that took the place of others: the first one's."""
        self._prepared: Frontier | None = None
        self._starts: dict[Partition, int] = {}
        self._done = 0
        """Transactions of the first frontier that are already behind us."""
        self._expected = position.sequence + 1 if position.sequence >= 0 else -1
        self._counted_whole = False
        """True when the frontier before the first one was counted here from its beginning."""
        self.next_offset: dict[Partition, int] = {
            place: offset for place, offset in position.offsets.items() if place[0] not in self._ignored
        }
        self.newest: Frontier | None = None
        """The newest frontier read so far."""
        self.heartbeat_us = position.heartbeat_us
        """The newest heartbeat of the frontiers read so far."""
        self.held_us = 0
        """Commit time of the transaction for which `next_batch` gave none (rule 8); 0: it was not that."""
        self.waiting_records = 0
        """Records that the frontiers read so far count and no batch has taken."""
        for place, offset in self.next_offset.items():
            self._open(place, offset)

    def _open(self, place: Partition, offset: int) -> PartitionQueue:
        queue = self.queues[place] = PartitionQueue(self._budget)
        self.next_offset[place] = offset
        self._subscribe(place, offset)
        return queue

    def add_frontier(self, frontier: Frontier, offset: int) -> None:
        """A frontier was read. Partitions it names are subscribed to at once (rule 3)."""
        for resume in frontier.resume_offsets or ():
            if (resume.topic, resume.partition) not in self.queues:
                self._starts[resume.topic, resume.partition] = resume.offset  # rule 2 for a partition not opened yet
        self._starts |= {(s.topic, s.partition): s.offset for s in frontier.start_offsets}
        for topic, number in frontier.partitions:
            if topic not in self._ignored and (topic, number) not in self.queues:
                self._open((topic, number), self._starts.get((topic, number), 0))
        if self._frontiers and _only_later(self._frontiers[-1][0], frontier):
            before, _ = self._frontiers.pop()
            self._joined[frontier.sequence] = self._joined.pop(before.sequence, before.sequence)
            if frontier.heartbeat_us is None:
                frontier.heartbeat_us = before.heartbeat_us
        self._frontiers.append((frontier, offset))
        self.newest = frontier
        self.heartbeat_us = frontier.heartbeat_us or self.heartbeat_us
        self.waiting_records += sum(frontier.counts)

    @property
    def frontiers_ahead(self) -> int:
        """Frontiers that wait for their turn."""
        return len(self._frontiers)

    @property
    def waiting(self) -> tuple[int, int]:
        """Of the transactions that frontiers list and no batch has taken: commit time of the oldest (0: there is none), and

        how many they are. Any thread may ask: what is taken meanwhile may still be counted.
        """
        oldest_us, count, done = 0, 0, self._done
        for frontier, _ in tuple(self._frontiers):
            transactions = frontier.transactions[done:]
            if transactions and not oldest_us:
                oldest_us = transactions[0].commit_ts_us
            count, done = count + len(transactions), 0
        return oldest_us, count

    @property
    def position(self) -> Position:
        """Where the newest batch ends."""
        return self._position

    @property
    def spilled(self) -> int:
        """Bytes of waiting records on disk."""
        return self._budget.spilled

    def missing(self) -> dict[Partition, int]:
        """How many records of which partitions the first frontier waits for."""
        if not self._frontiers:
            return {}
        need = self._need(self._frontiers[0][0])
        lacking = {place: count - len(self.queues[place]) for place, count in need.items()}
        return {place: count for place, count in lacking.items() if count > 0}

    def next_batch(
        self, batch_rows: int, batch_bytes: int, careful_until: int = 0, until_us: int | None = None
    ) -> Batch | None:
        """The next batch, or None while records of its frontier are still to come. Raises Gap or Divergence.

        Up to the LSN `careful_until` a batch is one source transaction: one among them was refused. `until_us`, by the
        source's clock: rule 8; None: all may be shown.
        """
        self.held_us = 0
        if not self._frontiers:
            return None
        frontier, offset = self._frontiers[0]
        due = self._due(frontier, until_us)
        if due < len(frontier.transactions) and not self._untaken(frontier, due):
            self.held_us = frontier.transactions[due].commit_ts_us
            return None
        if not self._complete(frontier):
            return None
        need = self._need(frontier)
        careful = self._position.end_lsn < careful_until
        weighing = self._budget.used + self._budget.spilled > batch_bytes  # else all that waits is within the bound
        size = self._size(need) if weighing else 0
        held = due < len(frontier.transactions)
        if held or sum(need.values()) > batch_rows or size > batch_bytes or (careful and frontier.transactions):
            heavy = size > batch_bytes
            return self._cut(frontier, offset, due, batch_rows, batch_bytes, careful=careful, weighing=heavy)
        batch = self._take_whole(frontier, offset)
        while self._frontiers:
            frontier, offset = self._frontiers[0]
            if self._position.end_lsn < careful_until and frontier.transactions:
                break
            if self._due(frontier, until_us) < len(frontier.transactions):
                break
            if batch.records + sum(frontier.counts) > batch_rows or not self._complete(frontier):
                break
            if weighing:
                size += self._size(self._need(frontier))
                if size > batch_bytes:
                    break
            more = self._take_whole(frontier, offset)
            batch.transactions += more.transactions
            batch.dropped |= more.dropped
            for place, rows in more.rows.items():
                batch.rows.setdefault(place, []).extend(rows)
            batch.barriers += more.barriers
            batch.position = more.position
            batch.records += more.records
        return batch

    # --- one frontier -------------------------------------------------------------------------------------------------

    def _prepare(self, frontier: Frontier) -> None:
        """Rules 1 to 4, once per frontier, when all before it are counted."""
        if self._prepared is frontier:
            return
        if frontier.epoch != self._position.epoch:
            raise Gap(  # rule 1
                f"the log has epoch {frontier.epoch}, this follower's position is of epoch {self._position.epoch}",
                expected="the log that the follower was copied for: `stretto init` begins a new one, with a new epoch",
                fix=COPY_AGAIN,
            )
        first = self._joined.get(frontier.sequence, frontier.sequence)
        if self._expected >= 0 and first != self._expected:
            raise Gap(  # rule 1
                f"the log goes from frontier {self._expected - 1} to {first}",
                expected=f"frontier {self._expected}",
                fix=f"frontiers were removed from the transactions topic: {COPY_AGAIN}",
            )
        for resume in frontier.resume_offsets or ():  # rule 2
            place = (resume.topic, resume.partition)
            if resume.topic in self._ignored:
                continue
            if place in self.queues:
                self.queues[place].skip_void(resume.offset)
            # A follower that starts again after this frontier will not read it: its position must be past the void.
            self.next_offset[place] = max(self.next_offset.get(place, 0), resume.offset)
        if self._counted_whole:  # rule 4
            for previous in frontier.previous_offsets:
                if previous.topic in self._ignored:
                    continue
                mine = self.next_offset.get((previous.topic, previous.partition))
                if mine != previous.offset:
                    raise Divergence(
                        f"frontier {frontier.sequence} says that partition {previous.partition} of {previous.topic} went on at offset"
                        f" {previous.offset}, but counting its records came to {mine}",
                        expected="the same offset",
                        fix=f"records were removed or added by somebody else: {COPY_AGAIN}",
                    )
        self._prepared = frontier

    def _need(self, frontier: Frontier) -> dict[Partition, int]:
        """How many records of each partition the frontier's remaining transactions wrote."""
        done_lsn = self._position.offsets_lsn
        if self._done == 0 and not (frontier.transactions and frontier.transactions[0].end_lsn <= done_lsn):
            return {
                (topic, number): count
                for (topic, number), count in zip(frontier.partitions, frontier.counts, strict=True)
                if count and topic not in self._ignored
            }
        need: dict[Partition, int] = {}
        for transaction in frontier.transactions[self._done :]:
            if transaction.end_lsn > done_lsn:
                self._add_counts(need, frontier, transaction)
        return need

    def _add_counts(self, need: dict[Partition, int], frontier: Frontier, transaction: Transaction) -> None:
        flat = transaction.counts
        for i in range(0, len(flat), 2):
            topic, number = frontier.partitions[flat[i]]
            if topic not in self._ignored:
                need[topic, number] = need.get((topic, number), 0) + flat[i + 1]

    def _size(self, need: dict[Partition, int]) -> int:
        """Bytes of so many records of each partition, which wait."""
        return sum(self.queues[place].size(count) for place, count in need.items())

    def _due(self, frontier: Frontier, until_us: int | None) -> int:
        """Rule 8: index of the frontier's first transaction that is still to wait; their number when none is."""
        transactions = frontier.transactions
        if until_us is not None:
            have = self._position.end_lsn
            for index in range(self._done, len(transactions)):
                if transactions[index].commit_ts_us > until_us and transactions[index].end_lsn > have:
                    return index
        return len(transactions)

    def _untaken(self, frontier: Frontier, end: int) -> bool:
        """True when no batch has yet taken all transactions before this index."""
        behind = self._position.offsets_lsn
        return any(frontier.transactions[index].end_lsn > behind for index in range(self._done, end))

    def _complete(self, frontier: Frontier) -> bool:
        """Rule 5."""
        self._prepare(frontier)
        return all(len(self.queues[place]) >= count for place, count in self._need(frontier).items())

    def _take_whole(self, frontier: Frontier, offset: int) -> Batch:
        need = self._need(frontier)
        behind = self._position.offsets_lsn
        transactions = [t for t in frontier.transactions[self._done :] if t.end_lsn > behind]
        whole = len(transactions) == len(frontier.transactions)
        batch = self._batch(frontier, transactions, need)
        self._end_frontier(frontier, offset, batch, whole=whole)
        return batch

    def _end_frontier(self, frontier: Frontier, offset: int, batch: Batch, *, whole: bool) -> None:
        self._frontiers.popleft()
        self._joined.pop(frontier.sequence, None)
        self._done = 0
        self._expected = frontier.sequence + 1
        self._counted_whole = whole
        self.waiting_records -= sum(frontier.counts)
        self._advance(batch, frontier.end_lsn, frontier.commit_ts_us, offset + 1, frontier.sequence)
        if frontier.heartbeat_us is not None:
            self._position.heartbeat_us = frontier.heartbeat_us

    def _cut(
        self,
        frontier: Frontier,
        offset: int,
        due: int,
        batch_rows: int,
        batch_bytes: int,
        *,
        careful: bool,
        weighing: bool,
    ) -> Batch:
        """Rules 7 and 8: as many transactions of a frontier as fit, none from index `due` on."""
        behind = self._position.offsets_lsn
        need: dict[Partition, int] = {}
        taken: list[Transaction] = []
        index, total, size = self._done, 0, 0
        while index < due:
            transaction = frontier.transactions[index]
            count = sum(transaction.counts[1::2])
            if transaction.end_lsn > behind:
                if taken and (careful or total + count > batch_rows):
                    break
                more = dict(need) if weighing else need
                self._add_counts(more, frontier, transaction)
                heavier = self._size(more) if weighing else 0
                if taken and heavier > batch_bytes:
                    break
                need, size = more, heavier
                taken.append(transaction)
                total += count
            index += 1
        large = len(taken) == 1 and (total > batch_rows or size > batch_bytes)
        last = index == len(frontier.transactions)
        if large:
            batch = self._batch(frontier, taken, {})
            batch.records, batch.large = sum(need.values()), True
            batch.queues = {place: (self.queues[place], count) for place, count in need.items()}
        else:
            batch = self._batch(frontier, taken, need)
        if last:
            self._end_frontier(frontier, offset, batch, whole=False)
        else:
            self._done = index
            newest = taken[-1]
            self._advance(batch, newest.end_lsn, newest.commit_ts_us, offset, frontier.sequence - 1)
        return batch

    def _batch(self, frontier: Frontier, transactions: list[Transaction], need: dict[Partition, int]) -> Batch:
        rows = {}
        for place, count in need.items():
            taken = rows[place] = self.queues[place].take(count)
            self.next_offset[place] = taken[-1][0] + 1
        have = self._position.end_lsn
        applied = [t for t in transactions if t.end_lsn > have]
        dropped = {t.id for t in transactions if t.end_lsn <= have}
        barriers = self._barriers(frontier, applied)
        return Batch(applied, dropped, rows, barriers, self._position, sum(need.values()))

    def taken_large(self, batch: Batch, next_offsets: dict[Partition, int]) -> None:
        """The records of a large batch were read from its queues: the position knows their offsets only now."""
        self.next_offset.update(next_offsets)
        batch.position.offsets = dict(self.next_offset)

    def _barriers(self, frontier: Frontier, transactions: list[Transaction]) -> list[Barrier]:
        if not frontier.barriers:
            return []
        commits = {t.commit_lsn for t in transactions}
        return [barrier for barrier in frontier.barriers if barrier.commit_lsn in commits]

    def _advance(self, batch: Batch, end_lsn: int, commit_ts_us: int, frontier_offset: int, sequence: int) -> None:
        """A new position, the batch's; the old one may be in use by another thread and is left alone."""
        old = self._position
        self._position = batch.position = msgspec.structs.replace(
            old,
            end_lsn=max(old.end_lsn, end_lsn),
            commit_ts_us=max(old.commit_ts_us, commit_ts_us),
            offsets_lsn=max(old.offsets_lsn, end_lsn),
            frontier_offset=frontier_offset,
            sequence=sequence,
            offsets=dict(self.next_offset),
            transactions=old.transactions + len(batch.transactions),
            rows=old.rows + batch.records,
        )


def _only_later(before: Frontier, frontier: Frontier) -> bool:
    """Rule 9: True when whoever takes up `frontier` needs nothing of the one before it."""
    return (
        not (before.transactions or before.barriers or any(before.counts) or before.previous_offsets)
        and not (frontier.transactions or frontier.barriers or any(frontier.counts) or frontier.previous_offsets)
        and not (before.resume_offsets or before.start_offsets or frontier.resume_offsets or frontier.start_offsets)
        and (before.epoch, before.sequence + 1) == (frontier.epoch, frontier.sequence)
    )


def describe(transaction: Transaction) -> str:
    """A source transaction in words, for messages to people."""
    return f"transaction {transaction.xid}, committed at {format_lsn(transaction.commit_lsn)}"
