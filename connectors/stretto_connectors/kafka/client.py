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

from stretto_schemas.errors import BrokerRefused, SettingsError, StrettoError, Unreachable
from stretto_schemas.settings import KafkaSettings

log = logging.getLogger(__name__)

T = TypeVar("T")

SAYS_WITHIN_S = 5.0
"""librdkafka looks for requests that have timed out about once a second."""

TROUBLE_S = 60.0
"""A connection that failed longer ago is not the reason of what fails now."""


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
        "error_cb": _noting(_whose(kafka)),
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


_Client = tuple[str, str]
_troubles: dict[_Client, tuple[float, confluent_kafka.KafkaError]] = {}
"""By bootstrap servers and user: why a connection failed last, and when. A call that waits in vain is told nothing but the time."""


def _whose(kafka: KafkaSettings) -> _Client:
    return kafka.bootstrap, kafka.sasl_username


def _noting(client: _Client) -> Callable[[confluent_kafka.KafkaError], None]:
    """Connection trouble heals by itself inside librdkafka; when it does not, it is the reason to name."""

    def note(error: confluent_kafka.KafkaError) -> None:
        log.debug("kafka client: %s", error.str())
        if error.code() != confluent_kafka.KafkaError._ALL_BROKERS_DOWN:  # says nothing that was not said before
            _troubles[client] = (time.monotonic(), error)

    return note


def no_answer(kafka: KafkaSettings, doing: str, said: str = "") -> Unreachable:
    """The error for a call that ended without an answer, with why connections failed just before, if they did.

    BrokerRefused when it was the login or TLS, which the calls themselves never say.
    """
    when, trouble = _troubles.get(_whose(kafka), (0.0, None))
    why = said
    if trouble is not None and time.monotonic() - when <= TROUBLE_S:
        why = trouble.str().partition(" (after ")[0]
        if trouble.code() == confluent_kafka.KafkaError._AUTHENTICATION:
            return _login_refused(kafka, why)
        if trouble.code() == confluent_kafka.KafkaError._SSL:
            return BrokerRefused(
                f"there is no TLS with Kafka at {kafka.bootstrap}: {why}",
                fix="correct security_protocol in section [kafka], or name the broker's CA there: "
                'options = { "ssl.ca.location" = "ca.pem" }',
            )
    return Unreachable(
        f"Kafka at {kafka.bootstrap} does not answer while {doing}" + (f": {why}" if why else ""),
        fix="start the broker, or correct `bootstrap` or security_protocol in section [kafka]; this is tried again",
    )


def _login_refused(kafka: KafkaSettings, why: str) -> BrokerRefused:
    return BrokerRefused(
        f"Kafka at {kafka.bootstrap} refused the login of {principal(kafka)}: {why}",
        fix="correct sasl_mechanism, sasl_username and sasl_password in section [kafka]",
    )


def principal(kafka: KafkaSettings) -> str:
    """Who this client is to the brokers, for a sentence."""
    return kafka.sasl_username or "this client, which names no user"


def admin(kafka: KafkaSettings, client_id: str = "stretto-admin") -> AdminClient:
    """An admin client; it connects at the first call."""
    return AdminClient(client_options(kafka, client_id))


def drop(producer: confluent_kafka.Producer) -> None:
    """Throw away what a producer still holds, and serve its callbacks: nothing of it goes out later or keeps their owner."""
    producer.purge()
    with suppress(confluent_kafka.KafkaException):  # a producer that failed for good says so once more
        producer.poll(0)


def outcome(future: Future[T], kafka: KafkaSettings, doing: str, timeout_s: float) -> T:
    """What an admin request came to. Raises Unreachable when no answer came, else KafkaException as librdkafka does.

    The request has the same `timeout_s` as its `request_timeout`; librdkafka may say so a little later.
    """
    try:
        return future.result(timeout_s + SAYS_WITHIN_S)
    except TimeoutError:
        raise no_answer(kafka, doing) from None


class Asked(Protocol):
    """A client that answers questions and has no records to give: one that reads would lose them here."""

    def poll(self, timeout: float) -> object:
        """Serve callbacks."""


def explain(
    error: confluent_kafka.KafkaException, kafka: KafkaSettings, doing: str, client: Asked | None = None
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
            f"Kafka at {kafka.bootstrap} refused {principal(kafka)} while {doing}: {cause.str()}",
            expected=_AUTH[cause.code()],
            fix="grant what docs/security.md lists for it, or correct sasl_username",
        )
    if cause.code() == confluent_kafka.KafkaError.TOPIC_EXCEPTION:
        return SettingsError(
            f"Kafka at {kafka.bootstrap} refused while {doing}: {cause.str()}",
            expected="topic names that differ in more than '.' and '_', which Kafka's metrics cannot tell apart",
            fix="rename one of the tables or schemas, or leave one out of `tables` in section [source]",
        )
    if cause.code() in _LOGIN:
        return _login_refused(kafka, cause.str())
    if cause.code() in _NO_ANSWER:
        return no_answer(kafka, doing, cause.str())
    return Unreachable(
        f"Kafka at {kafka.bootstrap} refused while {doing}: {cause.str()}",
        fix="see the broker's log; this is tried again",
    )


_LOGIN = {confluent_kafka.KafkaError._AUTHENTICATION, confluent_kafka.KafkaError.SASL_AUTHENTICATION_FAILED}

_NO_ANSWER = {
    confluent_kafka.KafkaError._ALL_BROKERS_DOWN,
    confluent_kafka.KafkaError._MSG_TIMED_OUT,
    confluent_kafka.KafkaError._RESOLVE,
    confluent_kafka.KafkaError._TIMED_OUT,
    confluent_kafka.KafkaError._TIMED_OUT_QUEUE,
    confluent_kafka.KafkaError._TRANSPORT,
    confluent_kafka.KafkaError.REQUEST_TIMED_OUT,
}
"""Nobody said no, there was nobody."""

_AUTH = {
    confluent_kafka.KafkaError.TOPIC_AUTHORIZATION_FAILED: "the right to do this with the topic",
    confluent_kafka.KafkaError.GROUP_AUTHORIZATION_FAILED: "the right to read as the consumer group",
    confluent_kafka.KafkaError.CLUSTER_AUTHORIZATION_FAILED: "the right to do this with the cluster",
    confluent_kafka.KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "the right to write as the transactional id",
}
