"""Taking a follower off its source, and copying into its database again."""

from __future__ import annotations

import pytest

from stretto_connectors.kafka.followers import known_followers
from stretto_consumers.follower.add_progress import Silent
from stretto_consumers.follower.control import pause
from stretto_consumers.follower.copy_published import published
from stretto_consumers.follower.remove import forget_follower, remove_follower
from stretto_schemas.errors import SettingsError, UsageError
from stretto_schemas.names import followers_topic
from tests.fix_add import Adding


def known(adding: Adding) -> list[bytes]:
    """Followers in the topic."""
    settings = adding.settings
    return known_followers(settings.kafka, followers_topic(settings.prefix), settings.source.name)


def added_as(adding: Adding, name: str) -> None:
    """Copy, telling the topic, under another follower's name; the database is left as it was."""
    settings = adding.settings
    renamed = settings.model_copy(update={"follower": settings.follower.model_copy(update={"name": name})})
    with published(renamed, Silent()) as progress:
        progress.stage("checked")
        progress.stage("copying")


def test_a_removed_followers_database_is_copied_into_again_as_any_that_an_earlier_copy_made(adding: Adding) -> None:
    adding.leader.execute("create table item (id int primary key); insert into item values (1)")
    adding.init()
    adding.add()
    pause(adding.settings, "for ever")
    said: list[str] = []
    remove_follower(adding.settings, said.append)
    assert said == [
        "removed: position of source leader",
        "removed: what `stretto follower pause` and `delay` had ordered",
    ]
    assert adding.follower.fetch("select * from item") == [(1,)]
    with pytest.raises(UsageError, match="does not follow source 'leader', and nobody knows follower 'follower'"):
        remove_follower(adding.settings, said.append)
    with pytest.raises(UsageError) as refused:
        adding.add()
    assert "--replace" in refused.value.fix
    adding.add(replace=True)
    with adding.running():
        adding.settled()
        adding.leader.execute("insert into item values (2)")
        adding.settled()
    assert adding.follower.fetch("select * from item order by id") == [(1,), (2,)]


def test_what_an_interrupted_copy_noted_goes_too_and_its_tables_stay(adding: Adding) -> None:
    adding.leader.execute("create table item (id int primary key); insert into item values (1)")
    adding.init()
    adding.add_killed_at("add.after_rows")
    said: list[str] = []
    remove_follower(adding.settings, said.append)
    assert said == ["removed: notes of an interrupted copy of source leader; the tables that it made stay"]
    assert adding.follower.fetch("select * from item") == [(1,)]
    with pytest.raises(UsageError, match="the follower has rows already"):
        adding.add()


def test_a_follower_whose_database_is_gone_is_forgotten_by_name_and_nobody_else(adding: Adding) -> None:
    adding.init()
    for name in ("reports", "search"):
        added_as(adding, name)
    assert known(adding) == [b"reports/leader", b"search/leader"]
    with pytest.raises(UsageError, match="has no record of follower 'report' of source 'leader'") as refused:
        forget_follower(adding.settings, "report", print)
    assert refused.value.expected == "one of reports, search"
    with pytest.raises(SettingsError, match="'a b'"):
        forget_follower(adding.settings, "a b", print)
    said: list[str] = []
    forget_follower(adding.settings, "reports", said.append)
    assert said == [f"forgot: reports/leader in {adding.settings.prefix}.followers"]
    assert known(adding) == [b"search/leader"]
