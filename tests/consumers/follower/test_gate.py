"""What may be shown now: the numbered rules of the module."""

from __future__ import annotations

import pytest

from stretto_connectors.postgres.control import Control
from stretto_consumers.follower import gate as module
from stretto_consumers.follower.gate import Gate
from stretto_schemas.frontier import Transaction

NOW_US = 1_000_000_000


def gate(control: Control, setting_s: float = 0.0) -> Gate:
    """One that has looked, at a clock that stands still."""
    made = Gate(lambda: control, setting_s, lambda: NOW_US)
    made.look()
    return made


def committed(*times_us: int) -> list[Transaction]:
    return [Transaction(n, n, n, at_us, []) for n, at_us in enumerate(times_us)]


def test_without_orders_and_setting_everything_is_shown_at_once() -> None:
    open_gate = gate(Control())
    assert (open_gate.paused, open_gate.until_us, open_gate.wait_s(committed(NOW_US + 5_000_000))) == (False, None, 0.0)


@pytest.mark.parametrize(
    ("ordered_s", "setting_s", "holds_s"), [(None, 30.0, 30.0), (5.0, 30.0, 5.0), (0.0, 30.0, 0.0), (5.0, 0.0, 5.0)]
)
def test_an_ordered_delay_wins_over_the_setting(ordered_s: float | None, setting_s: float, holds_s: float) -> None:
    assert gate(Control(apply_delay_s=ordered_s), setting_s).delay_s == holds_s


def test_a_batch_waits_for_the_newest_of_its_transactions_whatever_their_order() -> None:
    delayed = gate(Control(apply_delay_s=3.0))
    assert delayed.until_us == NOW_US - 3_000_000
    assert delayed.wait_s(committed(NOW_US - 1_000_000, NOW_US - 2_000_000)) == 2.0
    assert delayed.wait_s(committed(NOW_US - 3_000_000)) == 0.0
    assert delayed.wait_s([]) == 0.0


def test_a_look_tells_a_change_once_and_does_not_ask_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [Control(), Control(paused=True, reason="why"), Control(paused=True, reason="why")]
    looking = Gate(lambda: answers.pop(0))
    assert not looking.look()
    assert not looking.look()
    assert len(answers) == 2, "asked although it just had"
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    assert looking.look()
    assert looking.paused
    assert not looking.look()
