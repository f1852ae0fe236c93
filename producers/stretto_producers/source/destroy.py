"""`stretto destroy`: take away slot, publication and topics of a source; tables and rows stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psycopg
from confluent_kafka.admin import AdminClient

from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import delete_topics
from stretto_connectors.kafka.followers import forget_followers
from stretto_connectors.kafka.topics import partition_counts
from stretto_connectors.postgres import publication as publications
from stretto_connectors.postgres import slot as slots
from stretto_connectors.postgres.connection import connect, where
from stretto_connectors.postgres.server import refusals
from stretto_producers.source.state import follower_keys, source_topics
from stretto_schemas import names
from stretto_schemas.errors import CheckFailed
from stretto_schemas.settings import Settings

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Remains:
    """What is there of a source. Empty lists and None: nothing."""

    slot: slots.Slot | None
    publication: publications.Publication | None
    topics: tuple[str, ...]
    follower_keys: tuple[bytes, ...]

    def lines(self) -> list[str]:
        """One line each, for the operator."""
        lines = []
        if self.slot is not None:
            lines.append(f"slot {self.slot.name}")
        if self.publication is not None:
            lines.append(f"publication {self.publication.name}")
        lines += [f"topic {topic} with all its records" for topic in self.topics]
        lines += [f"state of {key.decode(errors='replace')} in the followers topic" for key in self.follower_keys]
        return lines


def remains(settings: Settings) -> Remains:
    """Look for everything that `destroy` would take away."""
    source, kafka = settings.source, settings.kafka
    with (
        connect(source.dsn, source.password, application="stretto-destroy") as sql,
        refusals(where(source.dsn), "reading"),
    ):
        slot = slots.read_slot(sql, source.slot_name)
        publication = publications.read_publication(sql, source.publication)
    client = admin(kafka)
    partitions = partition_counts(client, kafka, settings.prefix + ".")
    published = tuple(sorted(publication.tables)) if publication else ()
    topics = source_topics(settings, partitions, published)
    belonging = (topics.transactions, topics.schema, *topics.rows)
    return Remains(
        slot=slot,
        publication=publication,
        topics=tuple(topic for topic in belonging if topic in partitions),
        follower_keys=tuple(follower_keys(settings, partitions)),
    )


def destroy(settings: Settings, say: Callable[[str], None]) -> None:
    """Take everything away that `remains` lists; what is gone already is no error. Rows in the source stay.

    The slot goes first: from then on the source keeps no WAL for a log that is about to end.
    """
    found = remains(settings)
    source, place = settings.source, where(settings.source.dsn)
    if found.slot is not None and found.slot.active_pid is not None:
        raise CheckFailed(
            f"slot {found.slot.name} is in use by the server's process {found.slot.active_pid}",
            expected="no capture running",
            fix="stop `stretto run capture` first",
        )
    with connect(source.dsn, source.password, application="stretto-destroy") as sql:
        if found.slot is not None:
            with refusals(place, "dropping the slot"):
                sql.execute(slots.drop_statement(found.slot.name))
            say(f"dropped: slot {found.slot.name}")
        if found.publication is not None:
            with refusals(place, "dropping the publication"):
                sql.execute(publications.drop_statement(found.publication.name))
            say(f"dropped: publication {found.publication.name}")
    client = admin(settings.kafka)
    _delete(settings, client, found, say)


def _delete(settings: Settings, client: AdminClient, found: Remains, say: Callable[[str], None]) -> None:
    # The transactions topic goes last: while it is there, a destroy that was killed half-way still finds the others.
    transactions = names.transactions_topic(settings.prefix, settings.source.name)
    schema = names.schema_topic(settings.prefix, settings.source.name)
    rows = [topic for topic in found.topics if topic not in (transactions, schema)]
    for topics in (rows, [schema, transactions]):
        for topic in delete_topics(client, settings.kafka, [topic for topic in topics if topic in found.topics]):
            say(f"deleted: topic {topic}")
    if found.follower_keys:
        followers = names.followers_topic(settings.prefix)
        forget_followers(settings.kafka, followers, list(found.follower_keys), "stretto-destroy")
        say(f"forgot: {len(found.follower_keys)} follower(s) of source {settings.source.name}")
