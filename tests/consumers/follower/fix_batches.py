"""Batches made by hand, of records as capture writes them; tables as a catalog would tell of them."""

from __future__ import annotations

from typing import Any

import msgspec

from stretto_connectors.postgres.targets import Target
from stretto_consumers.follower.accounting import Batch, Partition
from stretto_consumers.follower.waiting import Waiting
from stretto_schemas.frontier import SchemaChange, Transaction
from stretto_schemas.position import Position
from stretto_schemas.tables import Column, Table

TOPIC = "p.s.public.t"
LSN = 10

Image = dict[str, Any] | None


def target(columns: dict[str, str], *keys: tuple[str, ...], **more: Any) -> Target:
    """A table with unique indexes on these columns."""
    fields: dict[str, Any] = {
        "schema": "public",
        "name": "t",
        "oid": 1,
        "columns": columns,
        "json_columns": frozenset(),
        "unique_keys": tuple(frozenset(key) for key in keys),
        "unique_count": len(keys),
        "only": False,
    }
    return Target(**(fields | more))


def record(
    order: int, op: str, key: dict[str, Any], before: Image, after: Image, headers: Any = None, offset: int = -1
) -> Waiting:
    """One change of transaction 1, as capture writes it."""
    envelope = {"before": before, "after": after, "op": op, "transaction": {"id": f"1:{LSN}", "total_order": order}}
    encode = msgspec.json.encode
    return offset if offset >= 0 else order, encode(key), encode(envelope), headers


def batch(rows: list[Waiting], *barriers: SchemaChange, place: Partition = (TOPIC, 0)) -> Batch:
    """A batch of one source transaction whose records lie in one partition."""
    transaction = Transaction(1, LSN, LSN, 0, [0, len(rows)])
    position = Position("s", 1, LSN, 0, LSN, 0, 0, {})
    return Batch([transaction], set(), {place: rows}, list(barriers), position, len(rows))


def shape(order: int, columns: dict[str, str], key: tuple[str, ...], **more: Any) -> SchemaChange:
    """A barrier: the table has these columns and this key from here on."""
    listed = tuple(Column(name, type_name) for name, type_name in columns.items())
    return SchemaChange(LSN, order, Table("public", "t", TOPIC, listed, key), **more)
