"""The monitor's two Kafka clients over TLS and logins, on a live broker: librdkafka and Faust's take the same settings.

SASL_SSL with rights is in tests/containers/test_security.py.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin._scram import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from pydantic import SecretStr

from stretto.embedded import ports
from stretto.embedded.kafka import EmbeddedKafka
from stretto_connectors.kafka.client import admin
from stretto_schemas.settings import load
from tests import stacks
from tests.fix_tls import self_signed
from tests.lag.monitor.fix_log import DEADLINE_S, Served, WrittenLog

USER, PASSWORD, KEY_PASSWORD = "stretto-lag", "s3cret", "k3y"


class SecuredKafka(EmbeddedKafka):
    """A broker that has, beside its plain listener, one for TLS with a client's certificate and one for logins."""

    def __init__(self, data: Path, folder: Path) -> None:
        super().__init__(data)
        self.tls, self.login = ports.choose(), ports.choose()
        for side in ("server", "client"):
            (folder / side).mkdir(parents=True)
        self.certificate, self._key = self_signed(folder / "server", "IP:127.0.0.1")
        self.client_certificate, client_key = self_signed(folder / "client", "DNS:client")
        self.client_key = client_key.with_name("encrypted.key")
        encrypt = ["openssl", "pkcs8", "-topk8", "-in", str(client_key), "-out", str(self.client_key)]
        subprocess.run([*encrypt, "-passout", f"pass:{KEY_PASSWORD}"], check=True, capture_output=True)

    def _write_configuration(self) -> None:
        super()._write_configuration()
        both = self._key.with_name("both.pem")
        both.write_bytes(self._key.read_bytes() + self.certificate.read_bytes())
        settings = dict(line.split("=", 1) for line in self._properties.read_text().splitlines())
        more = f",TLS://127.0.0.1:{self.tls},LOGIN://127.0.0.1:{self.login}"
        module = "org.apache.kafka.common.security"
        settings |= {
            "listeners": settings["listeners"] + more,
            "advertised.listeners": settings["advertised.listeners"] + more,
            "listener.security.protocol.map": settings["listener.security.protocol.map"]
            + ",TLS:SSL,LOGIN:SASL_PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.name.tls.ssl.keystore.type": "PEM",
            "listener.name.tls.ssl.keystore.location": str(both),
            "listener.name.tls.ssl.truststore.type": "PEM",
            "listener.name.tls.ssl.truststore.location": str(self.client_certificate),
            "listener.name.tls.ssl.client.auth": "required",
            "listener.name.login.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256",
            "listener.name.login.plain.sasl.jaas.config": (
                f'{module}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
            ),
            "listener.name.login.scram-sha-256.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
        }
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))


@pytest.fixture(scope="module")
def kafka(stack_dir: Path) -> Iterator[SecuredKafka]:
    """A broker of these tests only, with a user."""
    with SecuredKafka(stack_dir / "secured", stack_dir / "certificates") as broker:
        client = admin(load(None, {stacks.BOOTSTRAP: broker.bootstrap}).kafka)
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096)
        upsertion = UserScramCredentialUpsertion(USER, info, PASSWORD.encode())
        for future in client.alter_user_scram_credentials([upsertion]).values():
            future.result(DEADLINE_S)
        yield broker


def by_tls(kafka: SecuredKafka, **changed: str) -> dict[str, Any]:
    options = {
        "ssl.ca.location": str(kafka.certificate),
        "ssl.certificate.location": str(kafka.client_certificate),
        "ssl.key.location": str(kafka.client_key),
        "ssl.key.password": KEY_PASSWORD,
    } | {name.replace("_", "."): value for name, value in changed.items()}
    return {
        "bootstrap": f"127.0.0.1:{kafka.tls}",
        "security_protocol": "SSL",
        "options": {name: value for name, value in options.items() if value},
    }


def by_login(kafka: SecuredKafka, mechanism: str, password: str = PASSWORD) -> dict[str, Any]:
    return {
        "bootstrap": f"127.0.0.1:{kafka.login}",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_username": USER,
        "sasl_password": SecretStr(password),
    }


Given = Callable[[SecuredKafka], dict[str, Any]]

WAYS: dict[str, Given] = {
    "a certificate of its own": by_tls,
    "a CA in the settings": lambda kafka: by_tls(kafka, ssl_ca_location="", ssl_ca_pem=kafka.certificate.read_text()),
    "nothing verified": lambda kafka: by_tls(kafka, ssl_ca_location="", enable_ssl_certificate_verification="false"),
    "PLAIN": lambda kafka: by_login(kafka, "PLAIN"),
    "SCRAM": lambda kafka: by_login(kafka, "SCRAM-SHA-256"),
}

REFUSED: dict[str, tuple[Given, str]] = {
    "password": (lambda kafka: by_login(kafka, "SCRAM-SHA-256", "wrong"), "refused the login of stretto-lag"),
    "CA": (lambda kafka: by_tls(kafka, ssl_ca_location=str(kafka.client_certificate)), "there is no TLS with Kafka"),
    "no certificate": (
        lambda kafka: by_tls(kafka, ssl_certificate_location="", ssl_key_location="", ssl_key_password=""),
        "certificate required",
    ),
}


@contextmanager
def served(written: WrittenLog, given: dict[str, Any]) -> Iterator[Served]:
    """A monitor with these settings of section [kafka]."""
    kafka = written.settings.kafka.model_copy(update=given)
    monitor = Served(written.settings.model_copy(update={"kafka": kafka})).start()
    try:
        yield monitor
    finally:
        monitor.stop()


@pytest.mark.parametrize("way", WAYS)
def test_it_reads_keeps_windows_and_writes(written: WrittenLog, kafka: SecuredKafka, way: str) -> None:
    written.make()
    written.frontier(100)
    written.frontier(200)
    written.follower("near", 100, 1)
    written.flush()
    with served(written, WAYS[way](kafka)) as monitor:
        monitor.running()
        monitor.until(lambda it: it.flow()["rows"] == 1, "the source's rows")
        monitor.until(lambda it: it.json("/windows?follower=near")["lag"]["minute"], "its own looks, written and read")
        assert monitor.json("/status")["problems"] == []


@pytest.mark.parametrize("why", REFUSED)
def test_a_broker_that_does_not_let_it_in_is_named_with_the_reason_and_tried_again(
    written: WrittenLog, kafka: SecuredKafka, why: str
) -> None:
    given, words = REFUSED[why]
    with served(written, given(kafka)) as monitor:
        monitor.until(lambda it: words in it.get("/readyz")[1].decode(), "reason")
        assert monitor.state == "waiting"
        assert monitor.get("/livez")[0] == 200
