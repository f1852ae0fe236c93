"""Two processes where one is meant to work."""

from __future__ import annotations

from stretto.embedded.processes import wait_until
from tests.faults.conftest import Faults

TAKES_OVER_WITHIN_S = 5.0


def test_a_second_capture_fences_the_first_which_says_so_and_exits_4(faults: Faults) -> None:
    load = faults.load()
    first, follower = faults.processes.both()
    load.wait_for_more(100)
    faults.settled()
    second = faults.processes.capture()
    assert first.exit_code() == 4
    assert "another capture of this source has started and fenced this one" in first.log
    load.wait_for_more(200)
    faults.check()
    second.stop()
    follower.stop()


def test_an_idle_capture_is_fenced_too(faults: Faults) -> None:
    first = faults.processes.capture()
    first.says("capturing from")
    second = faults.processes.capture()
    assert first.exit_code() == 4
    assert "fenced" in first.log
    second.says("capturing from")


def test_the_stand_by_takes_over_within_5_seconds_of_the_first_ones_death(faults: Faults) -> None:
    load = faults.load()
    capture = faults.processes.capture()
    first = faults.processes.follower()
    first.says("applying source")
    second = faults.processes.follower()
    load.wait_for_more(100)
    second.says("health and metrics")
    faults.settled()
    assert "applying source" not in second.log
    first.kill()
    assert wait_until(lambda: "applying source" in second.log, TAKES_OVER_WITHIN_S), second.log
    load.wait_for_more(100)
    faults.check()
    second.stop()
    capture.stop()
