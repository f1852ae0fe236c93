"""The envelope of a row change: Debezium's, with schemas off, decimals as strings and times as ISO text.

A value is what PostgreSQL printed: integers, booleans and finite floats as JSON numbers and booleans in the server's own
digits, null as null, everything else as a string. Source: Debezium's documentation of its PostgreSQL connector.
"""

from __future__ import annotations

import math
from json.encoder import encode_basestring
from typing import Any

import msgspec

from stretto_schemas.tables import Kind

PLACEHOLDER = "__debezium_unavailable_value"
"""Stands for a TOAST column that an update did not touch; real only where the header UNCHANGED names the column."""

UNCHANGED = "stretto.unchanged"
"""Header: JSON list of the columns whose value is not in the record."""

NEW_KEY = "__debezium.newkey"
"""Header of the delete half of a key change: the JSON of the key that the row has from now on."""

OLD_KEY = "__debezium.oldkey"
"""Header of the insert half of a key change: the JSON of the key that the row had."""

TRANSACTION_ID = "transaction.id"
TOTAL_ORDER = "transaction.total_order"
"""Headers of a tombstone, which has no envelope to carry them."""


class TransactionBlock(msgspec.Struct, gc=False):
    """`transaction` of an envelope: which source transaction, and the change's place in it (from 1)."""

    id: str
    total_order: int


class Envelope(msgspec.Struct, gc=False):
    """What a follower reads of an envelope whose table it does not know yet; columns as plain values."""

    op: str
    transaction: TransactionBlock
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


def json_value(kind: Kind, text: str | None) -> str:
    """JSON of one value; the capture's fast path writes the same bytes (a test holds them equal)."""
    if text is None:
        return "null"
    if kind is Kind.NUMBER:
        return text
    if kind is Kind.BOOLEAN:
        return "true" if text == "t" else "false"
    if kind is Kind.FLOAT:
        return float_json(text)
    return encode_basestring(text)


def float_json(text: str) -> str:
    """A float's digits as a JSON number, or as a string where JSON has no such number or would lose the sign of zero."""
    if text == "-0" or not math.isfinite(float(text)):
        return f'"{text}"'
    return text


def text_of(value: Any) -> str | None:
    """The reverse: the text that PostgreSQL's input function takes, from a decoded JSON value."""
    if value is None or type(value) is str:
        return value
    if value is True:
        return "t"
    if value is False:
        return "f"
    return repr(value)
