"""What settings of one's own cannot weaken, and what is not taken away from under a running process."""

from __future__ import annotations

import pytest

from stretto_connectors.kafka.client import admin
from stretto_connectors.kafka.existing import topic_configs
from stretto_connectors.kafka.topics import compacted_config, ensure_topics, frontiers_config, rows_config
from stretto_connectors.kafka.writer import LogWriter
from stretto_schemas.settings import load
from tests.fix_cli import Cli
from tests.fix_stack import Database

WEAK = ({"acks": "1"}, {"enable.idempotence": "false"}, {"acks": "0", "enable.idempotence": "false"})


@pytest.mark.parametrize("options", WEAK, ids=str)
def test_no_option_makes_the_writer_give_up_acknowledgements_or_idempotence(
    cli: Cli, prefix: str, options: dict[str, str]
) -> None:
    """librdkafka refuses to make a transactional producer without either: the options must not get there."""
    kafka = load(None, cli.settings).kafka.model_copy(update={"options": options})
    writer = LogWriter(kafka, f"{prefix}.leader", 10.0)
    writer.init()
    writer.close()


def test_every_topic_demands_as_many_replicas_in_sync_as_the_settings_say(cli: Cli, prefix: str) -> None:
    settings = load(None, cli.settings | {"STRETTO_KAFKA__MIN_INSYNC_REPLICAS": "2"})
    client, made = admin(settings.kafka), []
    for number, config in enumerate((rows_config, frontiers_config, compacted_config)):
        topic = f"{prefix}.insync.{number}"
        made += ensure_topics(client, settings.kafka, [topic], partitions=1, config=config(settings.kafka))
    configs = topic_configs(client, settings.kafka, made)
    assert [config["min.insync.replicas"] for config in configs.values()] == ["2", "2", "2"]


def test_destroy_beside_a_running_capture_takes_nothing_away(cli: Cli, leader_db: Database) -> None:
    leader_db.execute("create table item(id int primary key)")
    cli.good("init")
    with cli.running("run", "capture") as capture:
        capture.until_ready()
        done = cli("destroy", "--yes")
        assert (done.returncode, "stop `stretto run capture` first" in done.stderr) == (1, True), done.stderr
        assert leader_db.fetch("select count(*) from pg_publication") == [(1,)]
        leader_db.execute("insert into item values (1)")
        capture.until_ready()
        assert capture.stop() == 0
    assert "dropped: slot" in cli.good("destroy", "--yes")
