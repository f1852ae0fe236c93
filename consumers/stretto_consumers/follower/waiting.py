"""Records of one partition that wait for their frontier: in memory, and beyond a bound on disk."""

from __future__ import annotations

import bisect
import contextlib
import struct
import tempfile
from collections import deque
from pathlib import Path
from typing import IO

import msgspec

from stretto_schemas.errors import Unreachable

Headers = list[tuple[str, bytes]] | None


Waiting = tuple[int, bytes, bytes | None, Headers]
"""One record of a table's topic: offset, key, value (None: a tombstone), headers. A plain tuple: there are many."""

_LENGTH = struct.Struct("!I")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, bytes, bytes | None, list[tuple[str, bytes]] | None]).decode
OVERHEAD = 250
"""Bytes that a waiting record takes in memory beside its key and value."""

RUN_BYTES = 256 * 1024
"""Sizes are kept of runs of records up to this size, not of each record: so exact is a bound in bytes."""


def _size(rows: list[Waiting]) -> int:
    return sum([len(value) + len(key) for _, key, value, _ in rows if value]) + OVERHEAD * len(rows)


class Budget:
    """Memory that all partitions of a follower share."""

    def __init__(self, limit: int, spill_dir: Path | None) -> None:
        self.limit = limit
        self.used = 0
        self.spilled = 0
        """Bytes on disk."""
        self.spill_dir = spill_dir


class PartitionQueue:
    """First in, first out. Once something of a partition is on disk, all that follows goes there until it was read."""

    __slots__ = (
        "_budget",
        "_bytes",
        "_file",
        "_file_bytes",
        "_file_left",
        "_file_read",
        "_rows",
        "_runs",
        "skip_below",
    )

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._rows: list[Waiting] = []
        self._bytes = 0
        """What `_rows` takes in memory."""
        self._runs: deque[tuple[int, int]] = deque()
        """Number and bytes of the records of each run that waits, oldest first."""
        self._file: IO[bytes] | None = None
        self._file_left = 0
        self._file_read = 0
        self._file_bytes = 0
        """What of it was not read yet."""
        self.skip_below = 0
        """Records below this offset are void."""

    def __len__(self) -> int:
        return len(self._rows) + self._file_left

    def extend(self, rows: list[Waiting]) -> None:
        """Take in the partition's next records."""
        if rows[0][0] < self.skip_below:
            rows = [row for row in rows if row[0] >= self.skip_below]
        size = _size(rows)
        self._weigh(rows, size)
        budget = self._budget
        if self._file is None and budget.used + size <= budget.limit:
            budget.used += size
            self._bytes += size
            self._rows += rows
        elif rows:
            self._spill(rows)

    def _weigh(self, rows: list[Waiting], size: int) -> None:
        """Note the size of records that came, as part of the newest run where it stays short."""
        runs = self._runs
        if size > RUN_BYTES and len(rows) > 1:
            parts = size * 5 // (RUN_BYTES * 4) + 1  # a little short of a run each, so that few are cut again
            step = max(1, len(rows) // parts)
            for start in range(0, len(rows), step):
                part = rows[start : start + step]
                self._weigh(part, _size(part))
        elif runs and runs[-1][1] + size <= RUN_BYTES:
            runs[-1] = (runs[-1][0] + len(rows), runs[-1][1] + size)
        elif rows:
            runs.append((len(rows), size))

    def size(self, count: int) -> int:
        """Bytes that the first `count` records take in memory, within one run."""
        total = 0
        for number, size in self._runs:
            if number >= count:
                return total + size * count // number
            total += size
            count -= number
        return total

    def fitting(self, count: int, limit: int) -> int:
        """How many of the first `count` records, at least one, take no more than `limit` bytes, within one run."""
        fit = 0
        for number, size in self._runs:
            if fit + number > count or size > limit:
                fit += number * limit // size if limit < size else number
                break
            fit += number
            limit -= size
        return max(1, min(fit, count))

    def _lighten(self, count: int) -> None:
        """The first `count` records are taken."""
        runs = self._runs
        while count:
            number, size = runs.popleft()
            if number > count:
                runs.appendleft((number - count, size - size * count // number))
                return
            count -= number

    def _spill(self, rows: list[Waiting]) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="stretto-spill-", dir=self._budget.spill_dir)  # noqa: SIM115 - lives with the queue
            for row in rows:
                packed = _encode(row)
                self._file.write(_LENGTH.pack(len(packed)) + packed)
                self._note_on_disk(len(packed) + 4)
            self._file.flush()
        except OSError as error:
            raise self._no_disk(error) from None
        self._file_left += len(rows)

    def _no_disk(self, error: OSError) -> Unreachable:
        folder = self._budget.spill_dir or tempfile.gettempdir()
        return Unreachable(
            f"waiting records do not go to disk in {folder}: {error.strerror}",
            expected="a folder with room for what comes before its frontier",
            fix="free space there, or set `spill_dir` in section [follower]; this is tried again",
        )

    def take(self, count: int) -> list[Waiting]:
        """Remove and return the first `count` records, which are there."""
        rows = self._rows
        self._lighten(count)
        if count >= len(rows):
            taken, self._rows = rows, []
            released = self._bytes
        else:
            taken = rows[:count]
            del rows[:count]
            released = self._bytes * count // (count + len(rows))  # near enough: exact again when the queue is empty
        self._bytes -= released
        self._budget.used -= released
        if len(taken) < count:
            taken = taken + self._read(count - len(taken))
        return taken

    def skip_void(self, below: int) -> None:
        """Drop every record with an offset below `below`, those that are still to come too."""
        self.skip_below = max(self.skip_below, below)
        void = bisect.bisect_left(self._rows, below, key=lambda row: row[0])
        if void:
            self.take(void)
        if not self._rows:
            self._skip_on_disk(below)

    def _skip_on_disk(self, below: int) -> None:
        """Pass over what lies on disk, one record in memory at a time."""
        file = self._file
        if file is None:
            return
        end = file.tell()
        file.seek(self._file_read)
        skipped = 0
        while skipped < self._file_left:
            (length,) = _LENGTH.unpack(file.read(4))
            if _decode(file.read(length))[0] >= below:
                break
            self._file_read += length + 4
            self._note_on_disk(-length - 4)
            skipped += 1
        self._file_left -= skipped
        self._lighten(skipped)
        if self._file_left == 0:
            self._close_file()
        else:
            file.seek(end)

    def _read(self, count: int) -> list[Waiting]:
        file = self._file
        assert file is not None, "more taken than waits"
        assert count <= self._file_left, "more taken than waits"
        end = file.tell()
        file.seek(self._file_read)
        rows = []
        for _ in range(count):
            (length,) = _LENGTH.unpack(file.read(4))
            rows.append(_decode(file.read(length)))
            self._note_on_disk(-length - 4)
        self._file_read = file.tell()
        self._file_left -= count
        if self._file_left == 0:
            self._close_file()
        else:
            file.seek(end)
        return rows

    def close(self) -> None:
        """Drop what waits; give memory and disk space back."""
        self._budget.used -= self._bytes
        self._bytes, self._rows = 0, []
        self._runs.clear()
        if self._file is not None:
            self._note_on_disk(-self._file_bytes)
            self._close_file()

    def _note_on_disk(self, size: int) -> None:
        self._file_bytes += size
        self._budget.spilled += size

    def _close_file(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # what a full disk did not take is written again when it is closed
                self._file.close()
            self._file = None
            self._file_read = self._file_left = 0
