"""Faust's transport, made to read committed records only, and to make no topics.

Faust asks for committed records only where it writes in Kafka transactions itself. The monitor does not, and reads what
capture wrote in transactions: a frontier of one that was aborted says nothing.

Its client lets brokers that make topics by themselves make each topic that it names: one that `stretto destroy` deleted
would come back, empty and with settings that do not last.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Mapping
from typing import Any, ClassVar

import aiokafka.client
from aiokafka.protocol.metadata import MetadataRequest
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP
from faust.types.transports import ConsumerT
from mode.threads import WorkerThread

log = logging.getLogger(__name__)


# A client has no setting for it.
aiokafka.client.MetadataRequest = functools.partial(MetadataRequest, allow_auto_topic_creation=False)


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

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go back to what the group has read, also where that is nothing: aiokafka stays where it is then.

        Faust drops records that come in the middle of a rebalance, and counts on reading them again.
        """
        found: Mapping[TP, int] = await self.call_thread(self._seek_to_committed)
        return found

    async def _seek_to_committed(self) -> Mapping[TP, int]:
        consumer = self._ensure_consumer()
        found: Mapping[TP, int] = await consumer.seek_to_committed()
        for tp, offset in found.items():
            if offset == 0:
                consumer.seek(tp, 0)
        return found

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Say nothing: aborted records and commit markers keep a reader from the end that Faust expects it at."""


class CommittedConsumer(Consumer):
    """Gives records of committed transactions, and of no transaction."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _Thread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(Transport):
    """Faust's for Kafka, with such a consumer."""

    Consumer: ClassVar[type[ConsumerT]] = CommittedConsumer
