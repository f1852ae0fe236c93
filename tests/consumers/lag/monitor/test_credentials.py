"""Section [kafka] in Faust's words."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from faust.auth import SASLCredentials, SSLCredentials
from pydantic import SecretStr

from stretto_consumers.lag.monitor.credentials import broker_url, credentials
from stretto_schemas.errors import SettingsError
from stretto_schemas.settings import KafkaSettings
from tests.fix_tls import self_signed


def kafka(**given: Any) -> KafkaSettings:
    return KafkaSettings(**{"bootstrap": "db1:9092, db2:9093", **given})


def test_every_bootstrap_server_is_named() -> None:
    assert broker_url(kafka()) == "kafka://db1:9092;kafka://db2:9093"
    assert credentials(kafka()) is None


def test_tls_with_a_ca_and_a_certificate_of_its_own(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, "DNS:db1")
    options = {
        "ssl.ca.location": str(certificate),
        "ssl.certificate.location": str(certificate),
        "ssl.key.location": str(key),
    }
    made = credentials(kafka(security_protocol="SSL", options=options))
    assert isinstance(made, SSLCredentials)
    assert made.context.verify_mode is ssl.CERT_REQUIRED
    assert made.context.check_hostname
    assert [ca["subject"] for ca in made.context.get_ca_certs()] == [((("commonName", "localhost"),),)]


@pytest.mark.parametrize(
    ("name", "value", "mode", "named"),
    [
        ("ssl.endpoint.identification.algorithm", "none", ssl.CERT_REQUIRED, False),
        ("enable.ssl.certificate.verification", "false", ssl.CERT_NONE, False),
    ],
)
def test_what_is_not_verified_for_librdkafka_is_not_here(
    name: str, value: str, mode: ssl.VerifyMode, named: bool
) -> None:
    made = credentials(kafka(security_protocol="ssl", options={name: value}))
    assert isinstance(made, SSLCredentials)
    assert (made.context.verify_mode, made.context.check_hostname) == (mode, named)


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_login_with_scram(protocol: str) -> None:
    given = kafka(
        security_protocol=protocol,
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="stretto-lag",
        sasl_password=SecretStr("s3cret"),
    )
    made = credentials(given)
    assert isinstance(made, SASLCredentials)
    assert (made.username, made.password, made.mechanism.value) == ("stretto-lag", "s3cret", "SCRAM-SHA-512")
    assert made.protocol.value == protocol
    assert (made.ssl_context is not None) == (protocol == "SASL_SSL")
    assert "s3cret" not in repr(made)


@pytest.mark.parametrize(
    "given",
    [
        {"security_protocol": "TLS"},
        {"security_protocol": "SASL_SSL"},
        {"security_protocol": "SASL_SSL", "sasl_mechanism": "GSSAPI"},
        {"security_protocol": "SSL", "options": {"ssl.ca.location": "/no/such/ca.pem"}},
        {"security_protocol": "SSL", "options": {"ssl.ca.pem": "no certificate"}},
        {"security_protocol": "SSL", "options": {"ssl.keystore.location": "keys.p12"}},
        {"bootstrap": ""},
    ],
)
def test_what_this_client_cannot_do_is_an_error_that_names_it(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as refused:
        credentials(kafka(**given))
    assert refused.value.expected or refused.value.fix
