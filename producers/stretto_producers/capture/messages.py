"""Logical messages (`pg_logical_emit_message`) as records: Debezium's `m` envelope."""

from __future__ import annotations

import base64
from json.encoder import encode_basestring

from stretto_connectors.postgres.pgoutput import LogicalMessage
from stretto_producers.capture.encoder import SourceText, TransactionText, latin1


def message_envelope(
    fixed: SourceText, transaction: TransactionText | None, message: LogicalMessage, last_end_lsn: int, now_ns: int
) -> bytes:
    """The value of a message's record. `transaction` is None for a message outside of any."""
    tx = transaction or TransactionText(fixed, 0, 0, now_ns // 1000, last_end_lsn, now_ns)
    source = f'{tx.source}{message.lsn}{tx.times},"schema":"","table":""'
    if transaction is None:
        placed = f',"txId":null,"lsn":{message.lsn}{tx.end_source},"transaction":null'
    else:
        tx.order += 1
        placed = f'{tx.row_lsn}{message.lsn}{tx.total}{tx.order},"data_collection_order":1}}'
    content = base64.b64encode(message.content).decode()
    body = f'"message":{{"prefix":{latin1(encode_basestring(message.prefix))},"content":"{content}"}}'
    return f'{{"op":"m","ts_ms":{now_ns // 1_000_000}{source}{placed},{body}}}'.encode("latin-1")
