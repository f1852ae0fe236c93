"""A follower's position: what it has applied, and where it reads on."""

from __future__ import annotations

import msgspec

Offsets = dict[tuple[str, int], int]
"""Next offset by topic and partition."""


class Position(msgspec.Struct):
    """What `stretto.position` of a follower says about one source.

    A transaction is applied if and only if its `end_lsn <= position.end_lsn`. `offsets` hold as of `offsets_lsn`: right
    after a copy that is an older place than `end_lsn`, and the records in between are read and dropped.
    """

    source: str
    epoch: int
    end_lsn: int
    commit_ts_us: int
    offsets_lsn: int
    frontier_offset: int
    """Offset in the transactions topic of the next frontier to read (again, when it was applied in part)."""
    sequence: int
    """Sequence number of the last frontier that was applied whole; -1: take the next one as it comes."""
    offsets: Offsets
    term: int = 0
    transactions: int = 0
    """Source transactions applied since this follower was made."""
    rows: int = 0
    heartbeat_us: int = 0


def offsets_to_json(offsets: Offsets) -> str:
    """Text for the jsonb column: `{"topic": {"0": 17}}`."""
    tree: dict[str, dict[str, int]] = {}
    for (topic, partition), offset in offsets.items():
        tree.setdefault(topic, {})[str(partition)] = offset
    return msgspec.json.encode(tree).decode()


def offsets_from_json(tree: dict[str, dict[str, int]]) -> Offsets:
    """The reverse of `offsets_to_json`, from the decoded value."""
    return {(topic, int(partition)): offset for topic, parts in tree.items() for partition, offset in parts.items()}
