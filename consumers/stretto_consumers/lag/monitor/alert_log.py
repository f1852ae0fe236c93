"""The topic of alerts, read: what was told lately, and what is wrong by the newest word on each key.

Whoever takes the monitor's place reads it to the end first, and so tells nothing a second time. What this monitor told itself
counts from then on; its record, which comes back sooner or later, adds nothing but its place among the others.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

import confluent_kafka
import msgspec
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from stretto_connectors.kafka.client import explain, no_answer
from stretto_connectors.kafka.reader import consumer_options
from stretto_schemas.lag.view import Alert
from stretto_schemas.settings import KafkaSettings

MOST = 1_000
"""Alerts that are shown at most."""
READ_WITHIN_S = 20.0

decode_alert = msgspec.json.Decoder(Alert).decode
encode_alert = msgspec.json.Encoder().encode


def alert_key(alert: Alert) -> str:
    """Key of its record."""
    return f"{alert.follower}/{alert.source}/{alert.kind}"


class AlertLog:
    """One thread reads; any may ask."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self.unreadable = 0
        self._newest: dict[str, Alert] = {}
        """By key, as the topic has it."""
        self._own: dict[Alert, None] = {}
        """Told by this monitor and not read yet, in order."""
        self._recent: deque[Alert] = deque(maxlen=MOST)
        self._kafka = kafka
        self._topic = topic
        self._consumer: confluent_kafka.Consumer | None = None

    def read(self, *, to_the_end: bool = False) -> None:
        """Take what came since; `to_the_end`: all there is by now. Raises Unreachable or SettingsError."""
        if self._consumer is None:
            self._consumer = confluent_kafka.Consumer(
                {**consumer_options(self._kafka, "stretto-lag-alerts"), "auto.offset.reset": "earliest"}
            )
            self._consumer.assign([TopicPartition(self._topic, 0, confluent_kafka.OFFSET_BEGINNING)])
        deadline = time.monotonic() + READ_WITHIN_S
        end = self._end() if to_the_end else 0
        while True:
            messages = self._consumer.consume(1_000, 0.1 if to_the_end else 0)
            for message in messages:
                self._take(message)
            [place] = self._consumer.position([TopicPartition(self._topic, 0)])
            if not messages and (not to_the_end or end == 0 or place.offset >= end):
                return
            if time.monotonic() > deadline:
                raise no_answer(self._kafka, f"reading {self._topic}")

    def note(self, alert: Alert) -> None:
        """One that was told by this monitor; its record is still on its way."""
        self._own[alert] = None
        self._recent.append(alert)

    def recent(self, most: int = MOST) -> list[Alert]:
        """What is wrong now, then all else that was told, each with the newest first."""
        wrong = self.wrong()
        told = [alert for alert in list(self._recent) if alert not in wrong]
        return [*_newest_first(wrong), *_newest_first(told)][:most]

    def listed(self, most: int) -> list[Alert]:
        """What is wrong now, then what is over, each with the newest first: without what turned into something else."""
        over = [alert for alert in list(self._recent) if alert.recovered]
        return [*_newest_first(self.wrong()), *_newest_first(over)][:most]

    def wrong(self) -> list[Alert]:
        """Of each key what was told last, where that was no recovery."""
        newest = self._newest | {alert_key(alert): alert for alert in list(self._own)}
        return [alert for alert in newest.values() if not alert.recovered]

    def forget(self) -> None:
        """Begin anew with all that the topic has: it is another one than before, or none."""
        self.close()
        self._newest, self._own = {}, {}
        self._recent.clear()

    def close(self) -> None:
        """Leave."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _end(self) -> int:
        assert self._consumer is not None, "made by read"
        doing = f"asking for the end of {self._topic}"
        try:
            found = self._consumer.get_watermark_offsets(TopicPartition(self._topic, 0), timeout=READ_WITHIN_S)
        except KafkaException as error:
            raise explain(error, self._kafka, doing) from None
        if found is None:
            raise no_answer(self._kafka, doing)
        low, high = found
        return high if high > low else 0

    def _take(self, message: confluent_kafka.Message) -> None:
        error = message.error()
        if error is not None:
            if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise explain(KafkaException(error), self._kafka, f"reading {self._topic}")
            return  # what heals by itself, and the group that nothing is kept in
        key, value = (message.key() or b"").decode(errors="replace"), message.value()
        if value is None:
            self._newest.pop(key, None)
            return
        try:
            alert = decode_alert(value)
        except (msgspec.DecodeError, msgspec.ValidationError):
            self.unreadable += 1
            return
        again = self._newest.get(key) == alert  # a producer that tries again may write it twice
        self._newest[key] = alert
        if alert in self._own:
            del self._own[alert]
        elif not again:
            self._recent.append(alert)


def _newest_first(alerts: Iterable[Alert]) -> list[Alert]:
    return sorted(alerts, key=lambda alert: -alert.at_us)
