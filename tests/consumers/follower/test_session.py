"""A follower's session and what it leaves behind."""

from __future__ import annotations

import gc
import threading
import weakref

from stretto.embedded.kafka import EmbeddedKafka
from stretto_consumers.follower.progress import Progress
from stretto_consumers.follower.session import Session
from tests.fix_pipeline import Pipeline
from tests.fix_proxy import proxy_to


def test_a_session_that_ends_while_kafka_is_away_leaves_nothing(pipeline: Pipeline, kafka: EmbeddedKafka) -> None:
    """Its producer would publish old positions later, and keep the session for as long."""
    for database in (pipeline.leader, pipeline.follower):
        database.execute("create table t (id int primary key)")
    pipeline.begin()
    with proxy_to(kafka.port, advertised=True) as proxy:
        away = pipeline.settings.kafka.model_copy(update={"bootstrap": f"127.0.0.1:{proxy.port}"})
        settings = pipeline.settings.model_copy(update={"kafka": away})
        proxy.cut()
        session = Session(settings, Progress(settings))
        with session:
            assert session.open(threading.Event())
        left = weakref.ref(session)
        del session
        gc.collect()
        assert left() is None
