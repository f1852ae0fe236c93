"""Servers that let nobody in but by TLS and SCRAM, and do only what was granted."""

from __future__ import annotations

import functools
import ipaddress
import json
import re
import secrets
import shlex
import subprocess
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from psycopg.conninfo import make_conninfo
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from stretto.embedded.processes import wait_until
from stretto.testing import logs
from stretto.testing.kafka import INSIDE, KafkaContainer
from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import await_leaders, delete_topics
from stretto_connectors.kafka.topics import ensure_topics
from stretto_schemas.settings import load
from tests.fix_tls import self_signed
from tests.pages import block

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ADMIN_S = 30.0
PASSWORD = secrets.token_hex(12)
"""Of every role and principal here."""


def documented(heading: str, language: str) -> str:
    """The block of this language below a heading of docs/security.md: what it tells users to run is what is run here."""
    return block("docs/security.md", language, after=f"## {heading}\n")


@functools.cache
def docker_host() -> str:
    """The address by which published ports are reached from here."""
    with DockerContainer("python:3.11-slim").with_command(["sleep", "60"]) as probe:
        return probe.get_container_host_ip()


@dataclass(frozen=True)
class Certificate:
    """A server's certificate, signed by itself, and its key: files in PEM."""

    certificate: Path
    key: Path

    @classmethod
    def make(cls, folder: Path) -> Certificate:
        """One for `docker_host()`."""
        host = docker_host()
        try:
            name = f"IP:{ipaddress.ip_address(host)}"
        except ValueError:
            name = f"DNS:{host}"
        return cls(*self_signed(folder, name))


class Postgres:
    """Debian's PostgreSQL in a container."""

    def __init__(self, container: DockerContainer, certificate: Certificate) -> None:
        self._container = container
        self._certificate = certificate

    def dsn(self, user: str, dbname: str, password: str = PASSWORD, **options: str) -> str:
        """A connection string that demands the server's certificate."""
        return make_conninfo(
            host=self._container.get_container_host_ip(),
            port=self._container.get_exposed_port(5432),
            user=user,
            password=password,
            dbname=dbname,
            **{"sslmode": "verify-full", "sslrootcert": str(self._certificate.certificate), **options},
        )

    def psql(self, script: str, dbname: str = "postgres") -> None:
        """Run statements, and psql's own commands, as the superuser inside the container."""
        self._container.copy_into_container(script.encode(), "/tmp/script.sql")
        where = f"host=127.0.0.1 user=postgres dbname={dbname} password={PASSWORD} sslmode=require"
        done = self._container.exec(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "/tmp/script.sql", where])
        assert done.exit_code == 0, done.output.decode()


@contextmanager
def debian_postgres(name: str, certificate: Certificate) -> Iterator[Postgres]:
    """A server that runs."""
    tag = "stretto-test-debian-postgres"
    subprocess.run(
        ["docker", "build", "--quiet", "--tag", tag, HERE / "debian-postgres"], check=True, capture_output=True
    )
    container = DockerContainer(tag).with_exposed_ports(5432)
    for given, path in ((certificate.certificate, "server.crt"), (certificate.key, "server.key")):
        container.with_copy_into_container(given.read_bytes(), f"/given/{path}")
    container.with_copy_into_container(PASSWORD.encode(), "/given/password")
    container.waiting_for(LogMessageWaitStrategy("ready to accept connections"))
    with logs.running(name, container):
        yield Postgres(container, certificate)


class Kafka:
    """A broker with an authorizer, whose published listener is SASL_SSL."""

    def __init__(self, container: KafkaContainer, certificate: Certificate) -> None:
        self._container = container
        self._certificate = certificate
        self._users: set[str] = set()
        self._add_user_inside("root")
        self._admin = admin(load(None, self.settings("root")).kafka)
        assert wait_until(self._answers, ADMIN_S), "the broker does not know its first user"

    def _add_user_inside(self, name: str) -> None:
        tool = ["/opt/kafka/bin/kafka-configs.sh", "--bootstrap-server", f"localhost:{INSIDE}", "--alter"]
        given = [
            "--add-config",
            f"SCRAM-SHA-512=[password={PASSWORD}]",
            "--entity-type",
            "users",
            "--entity-name",
            name,
        ]
        done = self._container.exec([*tool, *given])
        assert done.exit_code == 0, done.output.decode()

    def _answers(self) -> bool:
        try:
            return bool(self._admin.list_topics(timeout=5).brokers)
        except KafkaException:
            return False

    def settings(self, user: str, password: str = PASSWORD, **changed: str) -> dict[str, str]:
        """Stretto's settings for a principal, as variables."""
        return {
            "STRETTO_KAFKA__BOOTSTRAP": self._container.bootstrap,
            "STRETTO_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "STRETTO_KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
            "STRETTO_KAFKA__SASL_USERNAME": user,
            "STRETTO_KAFKA__SASL_PASSWORD": password,
            "STRETTO_KAFKA__OPTIONS": json.dumps({"ssl.ca.location": str(self._certificate.certificate)}),
            **changed,
        }

    def topics(self) -> set[str]:
        """All that there are, but for the broker's own."""
        return {name for name in self._admin.list_topics(timeout=ADMIN_S).topics if not name.startswith("__")}

    @contextmanager
    def another_topic(self, name: str) -> Iterator[None]:
        """A topic that is there until the block ends."""
        settings = load(None, self.settings("root")).kafka
        await_leaders(self._admin, settings, ensure_topics(self._admin, settings, [name], partitions=1, config={}))
        yield
        assert delete_topics(self._admin, settings, [name]) == [name]

    def grant(self, script: str) -> list[AclBinding]:
        """Do what lines of kafka-acls.sh say; give the single rights, and make the principals that they name."""
        bindings = [binding for line in script.replace("\\\n", " ").splitlines() for binding in _bindings(line)]
        for user in {binding.principal.removeprefix("User:") for binding in bindings} - self._users:
            info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
            upsertion = UserScramCredentialUpsertion(user, info, PASSWORD.encode())
            for future in self._admin.alter_user_scram_credentials([upsertion]).values():
                future.result(ADMIN_S)
            self._users.add(user)
        self.add(*bindings)
        return bindings

    def add(self, *bindings: AclBinding) -> None:
        """Give these rights."""
        for future in self._admin.create_acls(list(bindings)).values():
            future.result(ADMIN_S)

    def revoke(self, binding: AclBinding) -> None:
        """Take one right away."""
        exact = AclBindingFilter(
            binding.restype,
            binding.name,
            binding.resource_pattern_type,
            binding.principal,
            binding.host,
            binding.operation,
            binding.permission_type,
        )
        for future in self._admin.delete_acls([exact]).values():
            assert len(future.result(ADMIN_S)) == 1


def _bindings(line: str) -> list[AclBinding]:
    words = shlex.split(line, comments=True)
    if not words:
        return []
    assert words[0] == "kafka-acls.sh"
    parser = ArgumentParser()
    parser.add_argument("--add", action="store_true", required=True)
    parser.add_argument("--bootstrap-server")
    parser.add_argument("--command-config")
    parser.add_argument("--allow-principal", required=True)
    parser.add_argument("--operation", action="append", required=True)
    parser.add_argument("--resource-pattern-type", default="literal")
    parser.add_argument("--topic", action="append", default=[])
    parser.add_argument("--group", action="append", default=[])
    parser.add_argument("--transactional-id", action="append", default=[])
    parser.add_argument("--cluster", action="store_true")
    given = parser.parse_args(words[1:])
    resources = [(ResourceType.TOPIC, name) for name in given.topic]
    resources += [(ResourceType.GROUP, name) for name in given.group]
    resources += [(ResourceType.TRANSACTIONAL_ID, name) for name in given.transactional_id]
    resources += [(ResourceType.BROKER, "kafka-cluster")] if given.cluster else []
    return [
        AclBinding(
            kind,
            name,
            ResourcePatternType[given.resource_pattern_type.upper()],
            given.allow_principal,
            "*",
            AclOperation[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).upper()],
            AclPermissionType.ALLOW,
        )
        for kind, name in resources
        for operation in given.operation
    ]


@contextmanager
def secured_kafka(certificate: Certificate) -> Iterator[Kafka]:
    """A broker that runs; inside its container everything is allowed without a password."""
    container = KafkaContainer().with_envs(
        KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT,OUTSIDE:SASL_SSL",
        KAFKA_SASL_ENABLED_MECHANISMS="SCRAM-SHA-512",
        KAFKA_LISTENER_NAME_OUTSIDE_SCRAM___SHA___512_SASL_JAAS_CONFIG=(
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        KAFKA_SSL_KEYSTORE_TYPE="PEM",
        KAFKA_SSL_KEYSTORE_LOCATION="/given/server.pem",
        KAFKA_AUTHORIZER_CLASS_NAME="org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        KAFKA_SUPER_USERS="User:ANONYMOUS;User:root",
    )
    both = certificate.key.read_bytes() + certificate.certificate.read_bytes()
    container.with_copy_into_container(both, "/given/server.pem")
    with logs.running("kafka", container):
        yield Kafka(container, certificate)
