"""A pipeline of processes, a writer, and an observer that knows where the processes answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from stretto.embedded.processes import wait_until
from stretto_consumers.lag.look import Observer
from stretto_schemas.settings import Settings
from tests.fix_add import adding
from tests.fix_pipeline import Pipeline
from tests.fix_processes import Running, processes
from tests.lag.truth import TABLE

__all__ = ["adding", "processes"]

Observe = Callable[..., Observer]


def address(running: Running) -> str:
    """Where the process's HTTP server listens."""
    running.says("health and metrics on")
    found = re.search(r"health and metrics on http://(\S+:\d+)", running.log)
    assert found is not None
    return found[1]


def where(settings: Settings, capture: Running | None = None, follower: Running | None = None) -> Settings:
    """Settings that name the processes' addresses."""
    named = {
        f"{name}_address": address(process)
        for name, process in (("capture", capture), ("follower", follower))
        if process is not None
    }
    return settings.model_copy(update={"http": settings.http.model_copy(update=named)})


@pytest.fixture
def beaten(pipeline: Pipeline) -> Pipeline:
    """A pipeline with the writer's table on both sides; nothing runs yet."""
    for database in (pipeline.leader, pipeline.follower):
        database.execute(TABLE)
    pipeline.begin()
    return pipeline


@pytest.fixture
def observe(pipeline: Pipeline) -> Iterator[Observe]:
    """Makes observers of the pipeline's processes, once all is quiet."""
    with ExitStack() as stack:

        def make(capture: Running | None = None, follower: Running | None = None) -> Observer:
            observer = stack.enter_context(Observer(where(pipeline.settings, capture, follower)))
            assert wait_until(lambda: observer.look().log is not None, 30.0)
            return observer

        yield make
