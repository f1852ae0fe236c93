"""The rules of choice, without servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto_consumers.sessions.choice import Answer, Known, Leader, NotServed, Route, Step, Try, Wait, choose, in_order
from stretto_consumers.sessions.guarantees import ALL, Guarantee, Need, OlderLog, Shown, needed
from stretto_schemas.token import Place

EPOCH = 7
NOW_US = 1_000_000_000


def at(lsn: int, *, epoch: int = EPOCH, age_s: float = 0.0) -> Shown:
    """A database at this place."""
    return Shown({"leader": Place(epoch, lsn)}, {"leader": NOW_US - round(age_s * 1e6)})


class Servers:
    """What is known of followers, and what they say when they are asked."""

    def __init__(self, known: dict[str, Shown | None], really: dict[str, Answer] | None = None) -> None:
        self.known = known
        self.really = really or {}
        self.later: list[dict[str, Shown | None]] = []
        """What becomes known by waiting; nothing: the deadline."""
        self.asked: list[str] = []
        self.route = Route()

    def serve(self, need: Need, *, leader: bool = True) -> Shown:
        """Go through the steps."""
        steps = choose(
            list(self.known),
            need,
            lambda: Known(len(self.asked), self.known),
            lambda: {"leader": NOW_US},
            self.route,
            leader=leader,
        )
        answer: Answer | None = None
        while True:
            try:
                answer = self._answer(next(steps) if answer is None else steps.send(answer))
            except StopIteration as done:
                shown: Shown = done.value
                return shown

    def _answer(self, step: Step) -> Answer:
        match step:
            case Try(name):
                self.asked.append(name)
                known = self.known[name]
                assert known is not None
                return self.really.get(name, known)
            case Wait():
                if not self.later:
                    return False
                self.known = {**self.known, **self.later.pop(0)}
                return True
            case Leader():
                self.asked.append("leader")
                return self.really.get("leader", at(10**9))


NEED = Need({"leader": Place(EPOCH, 100)})


def test_the_first_that_has_it_serves_and_who_is_known_to_lack_it_is_not_asked() -> None:
    servers = Servers({"a": at(99), "b": None, "c": at(100)})
    servers.serve(NEED)
    assert servers.asked == ["c"]
    assert servers.route.server == "c"
    assert servers.route.passed_over["b"] == "it does not answer"
    assert servers.route.passed_over["a"].startswith("it stands at 0/63 of source leader, 1 B before 0/64")


def test_what_it_says_in_the_transaction_counts_and_not_what_was_known() -> None:
    servers = Servers({"a": at(100), "b": at(100)}, {"a": at(50)})
    assert servers.serve(NEED) == at(100)
    assert servers.asked == ["a", "b"]


def test_who_cannot_begin_is_passed_over() -> None:
    servers = Servers({"a": at(100), "b": at(100)}, {"a": "no connection: it is full"})
    servers.serve(NEED)
    assert servers.route.server == "b"
    assert servers.route.passed_over == {"a": "no connection: it is full"}


def test_one_that_moves_on_meanwhile_serves() -> None:
    servers = Servers({"a": at(10), "b": at(20)})
    servers.later = [{"a": at(50)}, {"b": at(120)}]
    servers.serve(NEED)
    assert servers.asked == ["b"]
    assert servers.route.waited


def test_at_the_deadline_the_leader_serves_or_nobody() -> None:
    servers = Servers({"a": at(10)})
    servers.serve(NEED)
    assert servers.route.server == "leader"
    with pytest.raises(NotServed, match="a: it stands at 0/A of source leader, 90 B before 0/64") as told:
        Servers({"a": at(10)}).serve(NEED, leader=False)
    assert told.value.exit_code == 3


def test_who_all_do_not_answer_is_not_waited_for() -> None:
    servers = Servers({"a": None, "b": None})
    servers.later = [{"a": at(100)}]
    servers.serve(NEED)
    assert servers.asked == ["leader"]
    assert not servers.route.waited


def test_a_leader_that_cannot_is_told_of() -> None:
    with pytest.raises(NotServed, match="leader: it is down"):
        Servers({"a": None}, {"leader": "it is down"}).serve(NEED)
    with pytest.raises(NotServed, match="there is no follower"):
        Servers({}).serve(NEED, leader=False)


def test_a_follower_of_an_older_log_lacks_what_is_in_todays() -> None:
    servers = Servers({"a": at(1000, epoch=6), "b": at(100)})
    servers.serve(NEED)
    assert servers.route.server == "b"
    assert servers.route.passed_over["a"] == "it follows an older log of source leader, of epoch 6"


def test_a_token_of_an_older_log_is_an_error_not_a_wait() -> None:
    with pytest.raises(OlderLog, match="a token of epoch 7") as told:
        Servers({"a": at(10, epoch=8)}).serve(NEED)
    assert told.value.fix


def test_a_token_of_which_nobody_knew_the_epoch_is_compared_by_place() -> None:
    assert Servers({"a": at(100, epoch=8)}).serve(Need({"leader": Place(0, 100)})) == at(100, epoch=8)


def test_a_source_that_it_does_not_follow_is_lacking() -> None:
    with pytest.raises(NotServed, match="a: it does not follow source other"):
        Servers({"a": at(100)}).serve(Need({"other": Place(EPOCH, 1)}), leader=False)


@pytest.mark.parametrize(("age_s", "serves"), [(1.9, True), (2.1, False)])
def test_staleness_is_bounded_also_without_a_token(age_s: float, serves: bool) -> None:
    servers = Servers({"a": at(1, age_s=age_s)})
    servers.serve(Need(max_lag_s=2.0))
    assert (servers.route.server == "a") is serves


def test_each_guarantee_can_be_asked_for_alone() -> None:
    wrote, read = {"leader": Place(EPOCH, 5)}, {"leader": Place(EPOCH, 9)}
    assert needed(Guarantee.READ_YOUR_WRITES, wrote, read).places == wrote
    assert needed(Guarantee.MONOTONIC_READS, wrote, read).places == read
    assert needed(ALL, wrote, read).places == read
    assert needed(Guarantee(0), wrote, read).places == {}


names = st.sets(st.text(min_size=1, max_size=8), min_size=1, max_size=8)


@given(st.text(max_size=8), names)
def test_a_users_order_is_always_the_same_and_keeps_when_one_goes(user: str, followers: set[str]) -> None:
    order = in_order(user, sorted(followers))
    assert order == in_order(user, sorted(followers, reverse=True))
    for gone in followers:
        assert in_order(user, followers - {gone}) == [name for name in order if name != gone]


def test_users_are_spread_over_the_followers() -> None:
    first = [in_order(f"user {number}", "abcd")[0] for number in range(2000)]
    assert all(400 < first.count(name) < 600 for name in "abcd")
