"""Fixtures of these tests only."""

from __future__ import annotations

import pytest

from stretto.embedded.kafka import EmbeddedKafka
from tests import stacks
from tests.fix_processes import processes
from tests.lag.monitor.fix_log import written

__all__ = ["processes", "written"]


@pytest.fixture
def kafka_settings(kafka: EmbeddedKafka) -> dict[str, str]:
    """The broker."""
    return {stacks.BOOTSTRAP: kafka.bootstrap}
