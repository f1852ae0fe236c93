"""The line of frontiers of one session: what the next one says, and where every partition stands behind the last one."""

from __future__ import annotations

from collections.abc import Mapping

from stretto_connectors.kafka.writer import Partition
from stretto_producers.capture.batch import Batch, Sealed
from stretto_schemas.frontier import Frontier, PartitionOffset, Published


class Frontiers:
    """Makes frontiers, one after another. `committed()` must hear of each Kafka transaction, in order."""

    def __init__(
        self, last: Frontier, timeline: int, ends: Mapping[Partition, int], published: Published, full_every_s: float
    ) -> None:
        """After the `last` one of the log. `ends` are the partitions' end offsets: what lies before them is counted or void."""
        self.newest = last
        """The one made last, whether it is committed or not."""
        self.made_at = 0.0
        self._timeline = timeline
        self._published = published
        self._full_every_s = full_every_s
        self._full_at = 0.0
        self._resume: list[PartitionOffset] | None = _listed(ends)
        self._previous: list[PartitionOffset] = []
        self._counted: dict[Partition, int] = dict(ends)
        self._next: dict[Partition, int] = dict(ends)

    def make(self, batch: Batch, end_lsn: int, published: Published, now: float, clock_us: int = 0) -> Frontier:
        """The next one, for what is complete in the batch; it reaches `end_lsn` or further. `now` is monotonic, `clock_us` the source's, at least."""
        last = self.newest
        newest = batch.transactions[-1] if batch.transactions else None
        frontier = Frontier(
            source=last.source,
            epoch=last.epoch,
            system_id=last.system_id,
            timeline=self._timeline,
            commit_lsn=newest.commit_lsn if newest else last.commit_lsn,
            end_lsn=max(last.end_lsn, end_lsn, newest.end_lsn if newest else 0),
            commit_ts_us=newest.commit_ts_us if newest else last.commit_ts_us,
            sequence=last.sequence + 1,
            previous_offsets=self._previous,
            clock_us=clock_us,
        )
        grown, self._published = published is not self._published, published
        if self._resume is not None or grown or now - self._full_at >= self._full_every_s:
            frontier.offsets = _listed(self._counted)
            frontier.offsets_lsn = last.end_lsn
            frontier.commit_lsn_before = last.commit_lsn
            frontier.publication = published
            frontier.resume_offsets, self._resume = self._resume, None
            self._full_at = now
        self.made_at = now
        self.newest = frontier
        return frontier

    def name_starts(self, frontier: Frontier, made: list[Partition]) -> list[Partition]:
        """Name where those of the partitions that were `made` begin which the frontier counts; return the others."""
        if made:
            self._counted = dict.fromkeys(made, 0) | self._counted  # a full frontier names all partitions or none
            counted = set(frontier.partitions)
            frontier.start_offsets = [PartitionOffset(t, p, 0) for t, p in made if (t, p) in counted]
            made = [place for place in made if place not in counted]
        return made

    def committed(self, sealed: Sealed, offsets: Mapping[Partition, int]) -> None:
        """Kafka has it; `offsets` are the next ones of the partitions that got records.

        The records of one Kafka transaction lie without gaps in a partition; between two of them there is a marker. The
        last ones may belong to a source transaction that is still open: the frontier does not count them.
        """
        before, self._next = self._next, {**self._next, **offsets}
        if sealed.frontier is None:
            return
        self._previous = []
        for topic, number in sealed.frontier.partitions:
            place = (topic, number)
            uncounted = sealed.uncounted.get(place, 0)
            all_uncounted = uncounted == sealed.waiting.get(place, 0)
            offset = before[place] if all_uncounted and place in before else self._next[place] - uncounted
            self._counted[place] = offset
            self._previous.append(PartitionOffset(place[0], place[1], offset))


def _listed(offsets: Mapping[Partition, int]) -> list[PartitionOffset]:
    return [PartitionOffset(topic, partition, offset) for (topic, partition), offset in sorted(offsets.items())]
