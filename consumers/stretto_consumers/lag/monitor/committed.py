"""Faust's transport, made to read committed records only.

Faust asks for them only where it writes in Kafka transactions itself. The monitor does not, and reads what capture wrote in
transactions: a frontier of one that was aborted says nothing.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar

import aiokafka
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.transports import ConsumerT
from mode.threads import WorkerThread

log = logging.getLogger(__name__)


class _Worker(WorkerThread):
    """Ends quietly: Faust's leaves its error to the interpreter, which prints it; the application has it anyway."""

    def run(self) -> None:
        try:
            super().run()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it is, the session tells of it
            log.debug("the consumer's thread ended: %r", error)


class _Thread(AIOKafkaConsumerThread):
    Worker = _Worker

    def on_crash(self, msg: str, *fmt: Any, **_: Any) -> None:
        """Print no traceback."""
        log.debug(msg.format(*fmt))

    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        made = super()._create_worker_consumer(transport)
        # The level is taken from here when the consumer starts; there is no setting, and no public name.
        if made._isolation_level != "read_uncommitted":  # noqa: SLF001
            raise AssertionError(f"Faust asked for {made._isolation_level}: see whether this class is still needed")  # noqa: SLF001
        made._isolation_level = "read_committed"  # noqa: SLF001
        return made

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Say nothing: aborted records and commit markers keep a reader from the end that Faust expects it at."""


class CommittedConsumer(Consumer):
    """Gives records of committed transactions, and of no transaction."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(Transport):
    """Faust's for Kafka, with such a consumer."""

    Consumer: ClassVar[type[ConsumerT]] = CommittedConsumer
