"""`stretto destroy` by an administrator who may not delete what sources share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin._acl import AclBinding, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType

from stretto.embedded.kafka import EmbeddedKafka
from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import await_leaders
from stretto_connectors.kafka.followers import known_followers
from stretto_connectors.kafka.topics import ensure_topics, partition_counts
from stretto_schemas import names
from stretto_schemas.settings import load
from tests.fix_cli import DEADLINE_S, Cli

AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
"""A topic that has rights of its own is for those who have them, all else for everybody."""

READ, WRITE = AclOperation.READ, AclOperation.WRITE


@pytest.fixture(scope="module")
def kafka(stack_dir: Path) -> Iterator[EmbeddedKafka]:
    """A broker of these tests only."""
    with EmbeddedKafka(stack_dir / "rights", settings=AUTHORIZER) as broker:
        yield broker


def right(kind: ResourceType, name: str, operation: AclOperation, permission: AclPermissionType) -> AclBinding:
    """Of everybody."""
    return AclBinding(kind, name, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation, permission)


def test_what_sources_share_and_may_not_be_deleted_stays_without_the_followers_of_the_last_source(cli: Cli) -> None:
    cli.good("init")
    cli.good("follower", "add")
    settings = load(None, cli.settings)
    client, prefix = admin(settings.kafka), settings.prefix
    followers, points = names.followers_topic(prefix), names.points_topic(prefix, "lag")
    stay = {followers, names.alerts_topic(prefix)}
    made = ensure_topics(client, settings.kafka, [names.alerts_topic(prefix), points], partitions=1, config={})
    await_leaders(client, settings.kafka, made)
    assert known_followers(settings.kafka, followers) == [b"follower/leader"]
    allowed, denied = AclPermissionType.ALLOW, AclPermissionType.DENY
    rights = [right(ResourceType.TOPIC, topic, operation, allowed) for topic in stay for operation in (READ, WRITE)]
    rights.append(right(ResourceType.BROKER, "kafka-cluster", AclOperation.ALL, allowed))
    rights.append(
        right(ResourceType.BROKER, "kafka-cluster", AclOperation.DELETE, denied)
    )  # which is that of all topics
    for future in client.create_acls(rights).values():
        future.result(DEADLINE_S)

    said = cli.good("destroy", "--yes")
    assert f"deleted: topic {points}\n" in said
    assert "forgot: 1 follower(s) of source leader\n" in said
    [note] = [line for line in said.splitlines() if line.startswith("left: ")]
    assert all(topic in note for topic in stay)
    assert "docs/security.md" in note
    assert set(partition_counts(client, settings.kafka, prefix)) == stay
    assert known_followers(settings.kafka, followers) == []
    assert "forgot" not in cli.good("destroy", "--yes")
