"""`stretto destroy` on real servers."""

from __future__ import annotations

import subprocess
import sys

import pytest

from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import delete_topics
from stretto_connectors.kafka.followers import known_followers
from stretto_connectors.kafka.topics import ensure_topics, partition_counts
from stretto_schemas import names
from stretto_schemas.settings import Settings, load
from tests.fix_cli import DEADLINE_S, Cli
from tests.fix_stack import Database

WITHOUT_LAG = "import sys; sys.modules |= dict.fromkeys(['faust', 'aiokafka']); from stretto.cli import main; main()"
"""The command line where the extra `lag` is not installed."""


@pytest.fixture
def settings(cli: Cli) -> Settings:
    return load(None, cli.settings)


def topics(settings: Settings) -> set[str]:
    """All that begin with the prefix, whatever comes behind it."""
    return set(partition_counts(admin(settings.kafka), settings.kafka, settings.prefix))


def monitored(cli: Cli, settings: Settings) -> set[str]:
    """Run the lag monitor until it works; give the topics that it made."""
    with cli.running("run", "lag", STRETTO_HTTP__LAG_PORT="0") as lag:
        lag.until_ready()
        assert lag.stop() == 0, lag.log
    return set(names.monitor_topics(settings.prefix, settings.lag.name))


def test_destroy_says_what_would_go_and_goes_only_with_yes(cli: Cli, leader_db: Database, settings: Settings) -> None:
    leader_db.execute("create table item(id int primary key); create table keyless(v text)")
    cli.good("init")
    there = topics(settings)
    asked = cli("destroy")
    assert asked.returncode == 2
    assert f"would go: slot {settings.source.slot_name}" in asked.stdout
    assert f"would go: topic {settings.prefix}.leader.public.item with all its records" in asked.stdout
    assert topics(settings) == there
    cli.good("destroy", "--yes")
    assert topics(settings) == set()
    assert leader_db.fetch("select from pg_publication") == []
    assert leader_db.fetch("select count(*) from item") == [(0,)]
    assert cli.good("destroy") == "nothing is there of source leader\n"


def test_destroy_leaves_topics_of_others_alone(cli: Cli, leader_db: Database, settings: Settings) -> None:
    leader_db.execute("create table item(id int primary key)")
    cli.good("init")
    others = {f"{settings.prefix}.leader.another-pipeline.public.item", f"{settings.prefix}-other-points"}
    ensure_topics(admin(settings.kafka), settings.kafka, others, partitions=1, config={})
    cli.good("destroy", "--yes")
    assert topics(settings) == others


def test_no_topic_of_the_prefix_is_left_behind_a_lag_monitor_which_need_not_be_installed(
    cli: Cli, settings: Settings
) -> None:
    cli.good("init")
    made = monitored(cli, settings)
    assert made < topics(settings)
    asked = cli("destroy")
    would_go = {line.split()[3] for line in asked.stdout.splitlines() if line.startswith("would go: topic ")}
    assert would_go == topics(settings)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LAG, "destroy", "--yes"],
        cwd=cli.folder,
        env=cli.environment({}),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert {line.split()[2] for line in done.stdout.splitlines() if line.startswith("deleted: topic ")} == would_go
    assert topics(settings) == set()


def test_what_sources_share_goes_with_the_last_of_them(cli: Cli, settings: Settings) -> None:
    other = {"STRETTO_SOURCE__NAME": "second", "STRETTO_SOURCE__SLOT": f"{settings.source.slot_name}_2"}
    other["STRETTO_SOURCE__PUBLICATION"] = "second"
    cli.good("init")
    cli.good("follower", "add")
    cli.good("init", **other)
    made = monitored(cli, settings)
    cli.good("destroy", "--yes", "--follower")
    assert not {topic for topic in topics(settings) if topic.startswith(f"{settings.prefix}.leader.")}
    followers = names.followers_topic(settings.prefix)
    assert made | {followers} < topics(settings)
    assert known_followers(settings.kafka, followers) == []
    cli.good("destroy", "--yes", **other)
    assert topics(settings) == set()


def test_what_sources_share_stays_while_a_follower_of_another_source_is_listed(cli: Cli, settings: Settings) -> None:
    """Rights in Kafka may hide the topics of other sources."""
    cli.good("init")
    cli.good("follower", "add")
    client, leader = admin(settings.kafka), f"{settings.prefix}.leader."
    delete_topics(client, settings.kafka, [topic for topic in topics(settings) if topic.startswith(leader)])
    other = {f"STRETTO_SOURCE__{name}": "second" for name in ("NAME", "SLOT", "PUBLICATION")}
    assert cli.good("destroy", **other) == "nothing is there of source second\n"
    assert f"deleted: topic {names.followers_topic(settings.prefix)}\n" in cli.good("destroy", "--yes")


def test_destroy_takes_the_follower_off_only_when_asked(cli: Cli, follower_db: Database) -> None:
    cli.good("init")
    cli.good("follower", "add")
    cli.good("destroy", "--yes")
    assert follower_db.fetch("select count(*) from stretto.position") == [(1,)]
    cli.good("destroy", "--yes", "--follower")
    assert follower_db.fetch("select count(*) from stretto.position") == [(0,)]
    cli.good("init")
    cli.good("follower", "add", "--replace")
