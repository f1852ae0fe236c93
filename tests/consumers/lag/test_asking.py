"""A question is given up when nothing comes; whoever was asked is left alone with it."""

from __future__ import annotations

import threading

import pytest

from stretto_consumers.lag.asking import Question


def test_an_answer_and_an_error_are_those_of_the_place() -> None:
    assert Question(lambda _: "yes", lambda: "nothing").answer() == "yes"
    with pytest.raises(ValueError, match="no"):
        Question(lambda _: fail_by(ValueError("no")), lambda: "nothing").answer()
    with pytest.raises(TimeoutError, match="its own"):
        Question(lambda _: fail_by(TimeoutError("its own")), lambda: "nothing").answer()


def fail_by(error: Exception) -> str:
    raise error


def test_a_place_that_says_nothing_is_given_up_and_is_asked_on() -> None:
    answer = threading.Event()
    question = Question(lambda _: answer.wait(), lambda: False)
    assert question.answer() is False
    assert question.under_way
    answer.set()
    assert Question(lambda _: answer.wait()).answer()
