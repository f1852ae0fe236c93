"""The fixtures that all other tests stand on."""

from __future__ import annotations

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from stretto.embedded.kafka import EmbeddedKafka
from stretto.embedded.postgres import EmbeddedPostgres
from tests.fix_stack import Database, fresh_database


def test_each_test_has_a_database_of_its_own_on_each_server(leader_db: Database, follower_db: Database) -> None:
    leader_db.execute("create table t (a int); insert into t values (1), (2)")
    assert leader_db.fetch("select a from t where a > %s", 1) == [(2,)]
    assert follower_db.fetch("select to_regclass('t')") == [(None,)]
    assert leader_db.fetch("select current_database()") == [(leader_db.name,)]


def test_a_database_goes_with_its_slots_and_origins(leader: EmbeddedPostgres, leader_db: Database) -> None:
    with fresh_database(leader) as other:
        other.execute("select pg_create_logical_replication_slot('stretto_short_lived', 'pgoutput')")
        other.execute("select pg_replication_origin_create('stretto_short_lived')")
    assert leader_db.fetch("select slot_name from pg_replication_slots where slot_name = 'stretto_short_lived'") == []
    assert leader_db.fetch("select roname from pg_replication_origin where roname = 'stretto_short_lived'") == []
    assert leader_db.fetch("select 1 from pg_database where datname = %s", other.name) == []


def test_the_broker_runs_transactions_and_makes_no_topic_by_itself(kafka: EmbeddedKafka, prefix: str) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": prefix})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.abort_transaction(30)
    topics = AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(topic=prefix, timeout=10).topics
    assert topics[prefix].error is not None
    assert prefix not in AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=10).topics
