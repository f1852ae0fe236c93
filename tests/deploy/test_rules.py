"""The alert rules: what promtool says of them, and that each leads to its page."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stretto_schemas import metrics
from stretto_schemas.lag.verdict import TROUBLE

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "compose" / "prometheus"
RUNBOOKS = ROOT / "docs" / "deploy" / "runbooks.md"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((FOLDER / "stretto.rules.yml").read_text())["groups"] for rule in group["rules"]
]
ALERTS = {str(rule["alert"]): rule for rule in RULES if "alert" in rule}
TESTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "stretto.rules.test.yml").read_text())["tests"]

CHECKS = (
    ("check", "config", "prometheus.yml"),
    ("check", "rules", "stretto.rules.yml"),
    ("test", "rules", "stretto.rules.test.yml"),
)

by_name = pytest.mark.parametrize("name", ALERTS)


@pytest.mark.parametrize("arguments", CHECKS, ids=" ".join)
def test_promtool_is_content(arguments: tuple[str, ...], prometheus_programs: dict[str, str]) -> None:
    """In a container of the Prometheus that is deployed: tests/containers/test_compose.py."""
    program = prometheus_programs["promtool"]
    done = subprocess.run([program, *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@by_name
def test_an_alert_says_how_bad_it_is_and_leads_to_its_section(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("warning", "critical")
    notes = alert["annotations"]
    assert set(notes) == {"runbook", "summary", "description"}
    assert all(text == text.strip() for text in notes.values())
    page, _, section = notes["runbook"].partition("#")
    assert ROOT / page == RUNBOOKS
    assert section == name.lower()


def test_every_alert_has_a_section_in_the_order_of_the_rules() -> None:
    assert re.findall(r"^## (Stretto\w+)$", RUNBOOKS.read_text(), re.MULTILINE) == list(ALERTS)


@by_name
def test_an_alert_is_tested_firing_silent_and_in_words(name: str) -> None:
    asked = f'ALERTS{{alertname="{name}"'
    found = [
        each["exp_samples"] for test in TESTS for each in test.get("promql_expr_test", ()) if asked in each["expr"]
    ]
    told = [each for test in TESTS for each in test.get("alert_rule_test", ()) if each["alertname"] == name]
    assert any(not samples for samples in found)
    assert any(samples for samples in found) or told
    assert [len(each["exp_alerts"]) for each in told if each["exp_alerts"]]


def test_the_first_three_have_kept_their_names() -> None:
    assert {"StrettoFollowerDown", "StrettoLagGrowing", "StrettoSlotRetention"} <= ALERTS.keys()


def test_rules_ask_for_what_is_exported_and_for_no_job() -> None:
    """Jobs have other names in other people's Prometheus."""
    known = {name.name for name in metrics.ALL}
    for rule in RULES:
        assert set(re.findall(r"\bstretto_[a-z_]+", rule["expr"])) <= known
        assert "job" not in rule["expr"]


def test_every_trouble_of_docs_lag_is_an_alert() -> None:
    """WARNING is lag that grows, which is told by figures, also where no monitor runs."""
    asked = {status for rule in RULES for status in re.findall(r'status="(\w+)"', rule["expr"])}
    assert asked == set(TROUBLE) - {"WARNING"}
    assert "StrettoLagGrowing" in ALERTS
