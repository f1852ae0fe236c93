"""Logical messages (`pg_logical_emit_message`) as records: Debezium's `m` envelope."""

from __future__ import annotations

import base64
from json.encoder import encode_basestring

from stretto_connectors.postgres.pgoutput import LogicalMessage
from stretto_producers.capture.encoder import SourceText, TransactionText


def message_envelope(
    fixed: SourceText, transaction: TransactionText | None, message: LogicalMessage, now_ns: int
) -> bytes:
    """The value of a message's record. `transaction` is None for a message outside of any."""
    tx = transaction or TransactionText(fixed, 0, message.lsn, now_ns // 1000, 0, now_ns)
    source = f'{tx.source}{message.lsn}{tx.times},"schema":"","table":""'
    if transaction is None:
        placed = f',"txId":null,"lsn":{message.lsn},"xmin":null,"epoch":{fixed.epoch}}},"transaction":null'
    else:
        tx.order += 1
        placed = f'{tx.row_lsn}{message.lsn}{tx.total}{tx.order},"data_collection_order":{tx.order}}}'
    content = base64.b64encode(message.content).decode()
    prefix = encode_basestring(message.prefix).encode().decode("latin-1")
    body = f'"message":{{"prefix":{prefix},"content":"{content}"}}'
    return f'{{"op":"m"{tx.rel_end[:-1]}{source}{placed},{body}}}'.encode("latin-1")
