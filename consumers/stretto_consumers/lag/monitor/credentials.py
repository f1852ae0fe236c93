"""Section [kafka] in Faust's words: the same brokers, user and certificates for a client that is not librdkafka."""

from __future__ import annotations

import ssl
from typing import Any

from faust.auth import Credentials, SASLCredentials, SSLCredentials

from stretto_connectors.kafka.client import client_options
from stretto_schemas.errors import SettingsError
from stretto_schemas.settings import KafkaSettings

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


def broker_url(kafka: KafkaSettings) -> str:
    """The bootstrap servers as Faust takes them. Raises SettingsError when none is named."""
    servers = str(client_options(kafka, "")["bootstrap.servers"])
    return ";".join(f"kafka://{server.strip()}" for server in servers.split(",") if server.strip())


def credentials(kafka: KafkaSettings) -> Credentials | None:
    """User and certificates; None where neither is asked for.

    Raises SettingsError for what librdkafka can and this client cannot, and for certificates that cannot be read.
    """
    options = client_options(kafka, "")
    protocol = str(options["security.protocol"]).upper()
    if protocol not in PROTOCOLS:
        raise SettingsError(f"security_protocol {protocol!r} in section [kafka] is none", expected=", ".join(PROTOCOLS))
    context = _context(options) if protocol.endswith("SSL") else None
    if not protocol.startswith("SASL"):
        return SSLCredentials(context) if context is not None else None
    mechanism = str(options.get("sasl.mechanism") or options.get("sasl.mechanisms") or "")
    if mechanism not in MECHANISMS:
        raise SettingsError(
            f"the lag monitor cannot log in to Kafka with mechanism {mechanism or 'none'}",
            expected=", ".join(MECHANISMS),
            fix="set sasl_mechanism in section [kafka] to one of them for the monitor: STRETTO_KAFKA__SASL_MECHANISM",
        )
    return SASLCredentials(
        username=str(options.get("sasl.username", "")),
        password=str(options.get("sasl.password", "")),
        ssl_context=context,
        mechanism=mechanism,
    )


def _context(options: dict[str, Any]) -> ssl.SSLContext:
    """librdkafka's options of TLS. What else there is of them has no counterpart here."""
    for name in ("ssl.keystore.location", "ssl.certificate.pem", "ssl.key.pem"):
        if name in options:
            raise SettingsError(
                f"the lag monitor cannot use {name} of `options` in section [kafka]",
                expected="ssl.certificate.location and ssl.key.location: files in PEM",
            )
    try:
        context = ssl.create_default_context(cafile=options.get("ssl.ca.location"), cadata=options.get("ssl.ca.pem"))
        if "ssl.certificate.location" in options:
            context.load_cert_chain(
                options["ssl.certificate.location"],
                options.get("ssl.key.location"),
                options.get("ssl.key.password"),
            )
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise SettingsError(
            f"a certificate or key of section [kafka] cannot be used: {error}",
            expected="files in PEM that this user may read",
            fix="correct ssl.ca.location, ssl.certificate.location or ssl.key.location in `options`",
        ) from None
    verify = str(options.get("enable.ssl.certificate.verification", "true")).lower() != "false"
    named = str(options.get("ssl.endpoint.identification.algorithm", "https")).lower() != "none"
    context.check_hostname = verify and named
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    return context
