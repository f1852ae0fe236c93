"""Options of every Kafka client, and its errors in words."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from typing import Any, TypeVar

import confluent_kafka
from confluent_kafka.admin import AdminClient

from stretto_schemas.errors import SettingsError, StrettoError, Unreachable
from stretto_schemas.settings import KafkaSettings

log = logging.getLogger(__name__)

T = TypeVar("T")

SAYS_WITHIN_S = 5.0
"""librdkafka looks for requests that have timed out about once a second."""


def client_options(kafka: KafkaSettings, client_id: str) -> dict[str, Any]:
    """librdkafka options from the settings. Raises SettingsError when no broker is named."""
    if not kafka.bootstrap:
        raise SettingsError(
            "no Kafka broker is named",
            expected="host:port",
            fix="set `bootstrap` in section [kafka], or STRETTO_KAFKA__BOOTSTRAP",
        )
    options: dict[str, Any] = {
        "bootstrap.servers": kafka.bootstrap,
        "client.id": client_id,
        "security.protocol": kafka.security_protocol,
        "logger": logging.getLogger("librdkafka"),
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1000,
        "error_cb": _note,
        "socket.nagle.disable": True,
        "enable.metrics.push": False,
        # A producer would ask the broker to make a topic that was deleted, with settings of its own.
        "allow.auto.create.topics": False,
    }
    if kafka.sasl_mechanism:
        secret = kafka.sasl_password.get_secret_value() if kafka.sasl_password else ""
        options |= {
            "sasl.mechanism": kafka.sasl_mechanism,
            "sasl.username": kafka.sasl_username,
            "sasl.password": secret,
        }
    return options | kafka.options


def _note(error: confluent_kafka.KafkaError) -> None:
    """Connection trouble heals by itself inside librdkafka; what does not comes back as an exception of the call."""
    log.debug("kafka client: %s", error.str())


def admin(kafka: KafkaSettings, client_id: str = "stretto-admin") -> AdminClient:
    """An admin client; it connects at the first call."""
    return AdminClient(client_options(kafka, client_id))


def outcome(future: Future[T], kafka: KafkaSettings, doing: str, timeout_s: float) -> T:
    """What an admin request came to. Raises Unreachable when no answer came, else KafkaException as librdkafka does.

    The request has the same `timeout_s` as its `request_timeout`; librdkafka may say so a little later.
    """
    try:
        return future.result(timeout_s + SAYS_WITHIN_S)
    except TimeoutError:
        raise Unreachable(
            f"Kafka at {kafka.bootstrap} does not answer while {doing}",
            fix="start the broker, or correct `bootstrap` in section [kafka]; this is tried again",
        ) from None


def explain(error: confluent_kafka.KafkaException, kafka: KafkaSettings, doing: str) -> StrettoError:
    """Kafka's refusal in words. What may heal by waiting is Unreachable, retryable."""
    cause = error.args[0] if error.args else None
    if not isinstance(cause, confluent_kafka.KafkaError):
        return Unreachable(f"Kafka at {kafka.bootstrap} failed while {doing}: {error}")
    if cause.code() in _AUTH:
        return SettingsError(
            f"Kafka at {kafka.bootstrap} refused while {doing}: {cause.str()}",
            fix="grant the rights listed in docs/security.md, or correct sasl_username and sasl_password",
        )
    if cause.code() == confluent_kafka.KafkaError.TOPIC_EXCEPTION:
        return SettingsError(
            f"Kafka at {kafka.bootstrap} refused while {doing}: {cause.str()}",
            expected="topic names that differ in more than '.' and '_', which Kafka's metrics cannot tell apart",
            fix="rename one of the tables or schemas, or leave one out of `tables` in section [source]",
        )
    return Unreachable(
        f"Kafka at {kafka.bootstrap} does not answer while {doing}: {cause.str()}",
        fix="start the broker, or correct `bootstrap` in section [kafka]; this is tried again",
    )


_AUTH = {
    confluent_kafka.KafkaError.SASL_AUTHENTICATION_FAILED,
    confluent_kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED,
    confluent_kafka.KafkaError.GROUP_AUTHORIZATION_FAILED,
    confluent_kafka.KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    confluent_kafka.KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    confluent_kafka.KafkaError._AUTHENTICATION,
}
