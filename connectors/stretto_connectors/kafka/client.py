"""Options of every Kafka client, and its errors in words."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import confluent_kafka
from confluent_kafka.admin import AdminClient

from stretto_schemas.errors import Refused, SettingsError, StrettoError, Unreachable
from stretto_schemas.settings import KafkaSettings

log = logging.getLogger(__name__)

T = TypeVar("T")

SAYS_WITHIN_S = 5.0
"""librdkafka looks for requests that have timed out about once a second."""

TROUBLE_S = 60.0
"""A connection that failed longer ago is not the reason of what fails now."""

FIX_LOGIN = "correct sasl_mechanism, sasl_username and sasl_password in section [kafka]"


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
        "error_cb": _noting(kafka.bootstrap),
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


_troubles: dict[str, tuple[float, confluent_kafka.KafkaError]] = {}
"""By bootstrap servers: why a connection failed last, and when. A call that waits in vain is told nothing but the time."""


def _noting(bootstrap: str) -> Callable[[confluent_kafka.KafkaError], None]:
    """Connection trouble heals by itself inside librdkafka; when it does not, it is the reason to name."""

    def note(error: confluent_kafka.KafkaError) -> None:
        log.debug("kafka client: %s", error.str())
        if error.code() != confluent_kafka.KafkaError._ALL_BROKERS_DOWN:  # says nothing that was not said before
            _troubles[bootstrap] = (time.monotonic(), error)

    return note


def no_answer(kafka: KafkaSettings, doing: str, said: str = "") -> Unreachable:
    """The error for a call that ended without an answer, with why connections failed just before, if they did.

    Refused when it was the login or TLS, which the calls themselves never say.
    """
    when, trouble = _troubles.get(kafka.bootstrap, (0.0, None))
    if trouble is None or time.monotonic() - when > TROUBLE_S:
        return Unreachable(
            f"Kafka at {kafka.bootstrap} does not answer while {doing}" + (f": {said}" if said else ""),
            fix="start the broker, or correct `bootstrap` or security_protocol in section [kafka]; this is tried again",
        )
    why = trouble.str().partition(" (after ")[0]
    if trouble.code() == confluent_kafka.KafkaError._AUTHENTICATION:
        return Refused(
            f"Kafka at {kafka.bootstrap} refused the login of {_principal(kafka)}: {why}",
            fix=FIX_LOGIN,
        )
    if trouble.code() == confluent_kafka.KafkaError._SSL:
        return Refused(
            f"there is no TLS with Kafka at {kafka.bootstrap}: {why}",
            fix="correct security_protocol in section [kafka], or name the broker's CA there: "
            'options = { "ssl.ca.location" = "ca.pem" }',
        )
    return Unreachable(
        f"Kafka at {kafka.bootstrap} does not answer while {doing}: {why}",
        fix="start the broker, or correct `bootstrap` or security_protocol in section [kafka]; this is tried again",
    )


def _principal(kafka: KafkaSettings) -> str:
    return kafka.sasl_username or "this client, which names no user"


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
        raise no_answer(kafka, doing) from None


class Polled(Protocol):
    """A client of any kind."""

    def poll(self, timeout: float) -> object:
        """Serve callbacks."""


def explain(
    error: confluent_kafka.KafkaException, kafka: KafkaSettings, doing: str, client: Polled | None = None
) -> StrettoError:
    """Kafka's refusal in words. What may heal by waiting is Unreachable, retryable.

    A `client` that is only asked, never polled, has not yet been told why its connections failed.
    """
    if client is not None:
        with suppress(confluent_kafka.KafkaException):  # a producer with a fatal error is told of it again
            client.poll(0)
    cause = error.args[0] if error.args else None
    if not isinstance(cause, confluent_kafka.KafkaError):
        return Unreachable(f"Kafka at {kafka.bootstrap} failed while {doing}: {error}")
    if cause.code() in _AUTH:
        return SettingsError(
            f"Kafka at {kafka.bootstrap} refused {_principal(kafka)} while {doing}: {cause.str()}",
            expected=_AUTH[cause.code()],
            fix="grant what docs/security.md lists for it, or correct sasl_username",
        )
    if cause.code() == confluent_kafka.KafkaError.TOPIC_EXCEPTION:
        return SettingsError(
            f"Kafka at {kafka.bootstrap} refused while {doing}: {cause.str()}",
            expected="topic names that differ in more than '.' and '_', which Kafka's metrics cannot tell apart",
            fix="rename one of the tables or schemas, or leave one out of `tables` in section [source]",
        )
    if cause.code() in (
        confluent_kafka.KafkaError._AUTHENTICATION,
        confluent_kafka.KafkaError.SASL_AUTHENTICATION_FAILED,
    ):
        return Refused(
            f"Kafka at {kafka.bootstrap} refused the login of {_principal(kafka)}: {cause.str()}",
            fix=FIX_LOGIN,
        )
    return no_answer(kafka, doing, cause.str())


_AUTH = {
    confluent_kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED: "the right to do this with the topic",
    confluent_kafka.KafkaError.GROUP_AUTHORIZATION_FAILED: "the right to read as the consumer group",
    confluent_kafka.KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the right to do this with the cluster",
    confluent_kafka.KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "the right to write as the transactional id",
}
