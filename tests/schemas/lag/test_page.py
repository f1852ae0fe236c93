"""The page for operators has the rules' numbers as the code has them."""

from __future__ import annotations

import re
from pathlib import Path

from stretto_schemas.lag import reasons, verdict
from stretto_schemas.lag.stages import STAGES

PAGE = (Path(__file__).parents[3] / "docs" / "lag.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_statuses_have_their_numbers() -> None:
    documented = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", section("Status"), re.MULTILINE)
    assert documented == re.findall(r"^(\d+)\. ([A-Z_]+):", verdict.__doc__ or "", re.MULTILINE)
    assert {status for _, status in documented} == set(verdict.STATUSES)


def test_causes_have_their_numbers() -> None:
    documented = re.findall(r"^\| (\d+) \|", section("Likely causes"), re.MULTILINE)
    assert [int(number) for number in documented] == [number for number, _ in reasons._RULES]


def test_stages_are_all_explained() -> None:
    assert re.findall(r"^\| `(\w+)` \|", section("Stages"), re.MULTILINE) == list(STAGES)
