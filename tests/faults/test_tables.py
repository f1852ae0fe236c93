"""Tables that are made, renamed, dropped or changed while capture is behind, or down."""

from __future__ import annotations

import signal

from stretto_schemas.names import table_topic
from tests.faults.conftest import Faults
from tests.faults.plain_log import read_log


def test_the_first_part_of_a_new_table_is_void_though_the_table_has_another_name_by_now(faults: Faults) -> None:
    pipeline, settings = faults.pipeline, faults.pipeline.settings
    follower = faults.processes.follower()
    capture = faults.processes.capture("capture.between_parts", capture__batch_rows="100")
    pipeline.leader.execute("create table fresh (id int primary key)")
    pipeline.leader.execute("insert into fresh select generate_series(1, 1000)")
    assert capture.exit_code() == -signal.SIGKILL
    pipeline.leader.execute("alter table fresh rename to renamed")
    capture = faults.processes.capture(capture__batch_rows="100")
    faults.settled()
    follower.stop()
    capture.stop()
    rows = pipeline.follower.fetch("select id from fresh order by id")
    assert rows == pipeline.leader.fetch("select id from renamed order by id")
    log = read_log(settings.kafka.bootstrap, settings.prefix, settings.source.name)
    assert log.void >= 100
    topic = table_topic(settings.prefix, settings.source.name, "public", "fresh")
    assert sorted(log.inserted(topic, "id")) == [row[0] for row in rows]


def test_a_table_that_was_dropped_before_capture_saw_it_has_its_key(faults: Faults) -> None:
    pipeline = faults.pipeline
    pipeline.leader.execute(
        "begin; create table brief (id int primary key, v int); insert into brief values (1, 1), (2, 1);"
        " update brief set v = 2 where id = 1; delete from brief where id = 2; drop table brief; commit"
    )
    follower, capture = faults.processes.follower(), faults.processes.capture()
    faults.settled()
    assert pipeline.follower.fetch("select id, v from brief") == [(1, 2)]
    follower.stop()
    capture.stop()
