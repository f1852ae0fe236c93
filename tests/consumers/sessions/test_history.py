"""The checker itself, on histories whose verdicts are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stretto_consumers.sessions.history import History, Operation, Read, Write, violations

Sessions = dict[str, list[Operation]]


def judged(sessions: Sessions, commits: list[Write] | None = None) -> set[str]:
    """Which guarantees are broken; the commits in the order of the sessions where none is given."""
    if commits is None:
        commits = [each for operations in sessions.values() for each in operations if isinstance(each, Write)]
    return {each.guarantee for each in violations(History(sessions, commits))}


ADAS = Write("ada", {"x": 1}, 10.0)
BOBS = Write("bob", {"y": 1}, 20.0)

GOOD: dict[str, Sessions] = {
    "nothing": {},
    "own write": {"ada": [ADAS, Read("ada", {"x": 1})]},
    "another's write, or not": {"ada": [ADAS], "bob": [Read("bob", {"x": 0}), Read("bob", {"x": 1})]},
    "before the own write": {"ada": [Read("ada", {"x": 0}), ADAS]},
    "an older prefix of what others write": {"ada": [ADAS], "bob": [BOBS, Read("bob", {"x": 1, "y": 1})]},
    "the first without the second": {"ada": [ADAS], "bob": [BOBS], "eve": [Read("eve", {"x": 1, "y": 0})]},
    "another key later": {"ada": [ADAS], "bob": [BOBS], "eve": [Read("eve", {"x": 1}), Read("eve", {"y": 0})]},
    "fresh enough": {"ada": [ADAS], "eve": [Read("eve", {"x": 0}, 14.0, 5.0), Read("eve", {"x": 1}, 16.0, 5.0)]},
}

BAD: dict[str, tuple[str, Sessions]] = {
    "own write missing": ("read your writes", {"ada": [ADAS, Read("ada", {"x": 0})]}),
    "own second write missing": (
        "read your writes",
        {"ada": [ADAS, Write("ada", {"x": 2}), Read("ada", {"x": 1})]},
    ),
    "time goes backwards": ("monotonic reads", {"ada": [ADAS], "bob": [Read("bob", {"x": 1}), Read("bob", {"x": 0})]}),
    "the second without the first": (
        "consistent prefix",
        {"ada": [ADAS], "bob": [BOBS], "eve": [Read("eve", {"x": 0, "y": 1})]},
    ),
    "half a transaction": (
        "consistent prefix",
        {"ada": [Write("ada", {"x": 1, "y": 1})], "eve": [Read("eve", {"x": 1, "y": 0})]},
    ),
    "the answer without the question": (
        "writes follow reads",
        {"ada": [ADAS], "bob": [Read("bob", {"x": 1}), BOBS], "eve": [Read("eve", {"x": 0, "y": 1})]},
    ),
    "stale": ("bounded staleness", {"ada": [ADAS], "eve": [Read("eve", {"x": 0}, 16.0, 5.0)]}),
}


@pytest.mark.parametrize("sessions", GOOD.values(), ids=GOOD)
def test_a_good_history_is_good(sessions: Sessions) -> None:
    assert judged(sessions) == set()


@pytest.mark.parametrize(("guarantee", "sessions"), BAD.values(), ids=BAD)
def test_a_bad_history_is_found_out(guarantee: str, sessions: Sessions) -> None:
    assert guarantee in judged(sessions)


def test_a_write_that_committed_before_what_it_follows_is_found_out() -> None:
    sessions: Sessions = {"ada": [ADAS], "bob": [Read("bob", {"x": 1}), BOBS]}
    assert judged(sessions, [BOBS, ADAS]) == {"writes follow reads"}


KEYS = "xyz"
steps = st.lists(
    st.tuples(st.sampled_from("abc"), st.booleans(), st.sets(st.sampled_from(KEYS), min_size=1), st.integers(0, 99)),
    max_size=40,
)


def run(steps: list[tuple[str, bool, set[str], int]], lag: bool) -> tuple[Sessions, list[Write]]:
    """Sessions on one database; with `lag` each read is of any older prefix instead of the newest."""
    sessions: Sessions = {name: [] for name in "abc"}
    commits: list[Write] = []
    versions = dict.fromkeys(KEYS, 0)
    prefixes = [dict(versions)]
    for session, writes, keys, chance in steps:
        if writes:
            versions |= {key: versions[key] + 1 for key in keys}
            write = Write(session, {key: versions[key] for key in keys}, float(len(commits)))
            commits.append(write)
            prefixes.append(dict(versions))
            sessions[session].append(write)
        else:
            seen = prefixes[chance % len(prefixes)] if lag else versions
            sessions[session].append(Read(session, {key: seen[key] for key in keys}, float(len(commits))))
    return sessions, commits


@given(steps)
def test_one_database_keeps_every_promise(steps: list[tuple[str, bool, set[str], int]]) -> None:
    assert judged(*run(steps, lag=False)) == set()


@given(steps)
def test_a_follower_that_shows_any_prefix_breaks_nothing_but_what_sessions_are_for(
    steps: list[tuple[str, bool, set[str], int]],
) -> None:
    assert judged(*run(steps, lag=True)) <= {"read your writes", "monotonic reads"}
