"""Capture and follower killed at random moments under load, while a reader watches the follower."""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable

import pytest

from stretto.embedded.processes import wait_until
from tests.faults.conftest import Faults
from tests.faults.invariants import InvariantReader, RowByRow

KILLS = 6
STATES = 400
FINE = {"capture__batch_rows": "60", "follower__batch_rows": "60"}
"""Small batches: many states to be seen, and many moments between two of them."""


@pytest.mark.soak
def test_no_reader_ever_sees_a_broken_state_whatever_is_killed_when(
    faults: Faults, times: int, record_property: Callable[[str, object], None]
) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    record_property("seed", seed)
    chance = random.Random(seed)
    load = faults.load(seed=seed, pause_s=0.003)
    reader = InvariantReader(faults.pipeline.follower).start()
    running = {
        "capture": faults.processes.capture(**FINE),
        "follower": faults.processes.follower(**FINE),
    }
    killed: set[str] = set()
    try:
        for left in range(KILLS * times, 0, -1):
            if chance.random() < 0.3:  # at a moment of the start
                load.wait_for_more(chance.randint(1, 150))
            else:  # at work
                goal = len(reader.states) + chance.randint(20, 120)
                assert wait_until(lambda goal=goal: len(reader.states) >= goal, 60.0), running  # type: ignore[misc]
            name = chance.choice(sorted(running)) if left > 1 or len(killed) == 2 else (set(running) - killed).pop()
            running[name].kill()
            killed.add(name)
            running[name] = getattr(faults.processes, name)(**FINE)
        assert wait_until(lambda: len(reader.states) >= STATES * times or bool(reader.broken), 120.0 * times), len(
            reader.states
        )
        faults.check()
    finally:
        reader.stop()
    assert killed == set(running)
    assert reader.broken == []
    assert reader.backwards == []


def test_the_same_reader_sees_a_row_by_row_applier_break_it(faults: Faults) -> None:
    settings = faults.pipeline.settings
    faults.load()
    capture = faults.processes.capture(**FINE)
    capture.says("capturing from")
    reader = InvariantReader(faults.pipeline.follower).start()
    applier = RowByRow(settings.kafka.bootstrap, settings.prefix, faults.pipeline.follower).start()
    try:
        assert wait_until(lambda: any("too much" in words for words in reader.broken), 60.0)
    finally:
        applier.stop()
        reader.stop()
