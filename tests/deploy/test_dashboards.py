"""The dashboards as files: what Grafana takes, and that they ask for what is exported. On live series: tests/lag."""

from __future__ import annotations

import itertools
import re

import pytest

from stretto_schemas import metrics
from tests.panels import Panel, Tree, boards, panels, queries

BOARDS = boards()
PANELS = panels()

OF_PROMETHEUS = {"ALERTS", "process_cpu_seconds_total", "process_resident_memory_bytes"}
"""Made by Prometheus itself, or by prometheus-client."""

RECORDED = "stretto:lag:seconds"
"""A rule's; `or` without it there is still the panel's first half."""

UNITS = {"s", "bytes", "Bps", "cps", "short", "none", "percentunit"}

by_uid = pytest.mark.parametrize("board", BOARDS, ids=lambda board: str(board["uid"]))
by_panel = pytest.mark.parametrize("panel", PANELS, ids=str)


def exported() -> dict[str, set[str]]:
    """Series by name, with their labels."""
    found: dict[str, set[str]] = {}
    for name in metrics.ALL:
        labels = set(name.labels)
        if name.kind == "histogram":
            found |= {f"{name.name}_bucket": labels | {"le"}, f"{name.name}_count": labels, f"{name.name}_sum": labels}
        else:
            found[name.name] = labels
    return found


def test_there_are_two_and_they_can_be_named_in_links() -> None:
    assert [board["uid"] for board in BOARDS] == ["stretto-lag", "stretto-pipeline"]
    assert [board["title"] for board in BOARDS] == ["Stretto: lag", "Stretto: pipeline"]


@by_uid
def test_it_is_imported_without_a_question_and_leads_to_the_other(board: Tree) -> None:
    assert board["schemaVersion"] >= 39  # Grafana 11
    assert "id" not in board
    variables = {each["name"]: each for each in board["templating"]["list"]}
    assert list(variables)[:3] == ["datasource", "source", "follower"]
    assert variables["datasource"]["type"] == "datasource"
    for name in ("source", "follower"):
        assert (variables[name]["includeAll"], variables[name]["multi"]) == (True, True)
        assert variables[name]["definition"] == variables[name]["query"]["query"]
    (link,) = board["links"]
    assert (link["type"], link["includeVars"], link["keepTime"]) == ("dashboards", True, True)
    assert set(link["tags"]) <= set(board["tags"])


@by_uid
def test_no_two_panels_lie_on_each_other(board: Tree) -> None:
    places = [each["gridPos"] for each in board["panels"]]
    assert len({each["id"] for each in board["panels"]}) == len(places)
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= 24 for place in places)


@by_panel
def test_a_panel_says_what_it_shows_in_which_unit(panel: Panel) -> None:
    assert panel.tree["title"]
    assert panel.tree["description"].endswith(".")
    assert panel.tree["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel.tree["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    references = [target["refId"] for target in panel.tree["targets"]]
    assert len(set(references)) == len(references) > 0
    assert all(target["datasource"] == panel.tree["datasource"] for target in panel.tree["targets"])
    assert all(target["legendFormat"] for target in panel.tree["targets"])


@by_panel
def test_a_panel_asks_for_what_is_exported_by_its_labels(panel: Panel) -> None:
    known = exported()
    for expression in panel.expressions:
        names = set(re.findall(r"\b(?:stretto|process|kafka)_[a-z_]+|\bALERTS\b|\bstretto:[a-z_:]+", expression))
        assert names <= known.keys() | OF_PROMETHEUS | {RECORDED}, expression
        for name, matchers in re.findall(r"\b(stretto_[a-z_]+)\{([^}]*)\}", expression):
            assert set(re.findall(r"(\w+)[!=]~?\"", matchers)) <= known[name], expression
    for query in queries(panel, "1m"):
        assert "$" not in query


@by_panel
def test_a_panel_of_sources_and_followers_keeps_to_those_that_are_chosen(panel: Panel) -> None:
    known = exported()
    for expression in panel.expressions:
        for name, matchers in re.findall(r"\b(stretto_[a-z_]+)(\{[^}]*\})?", expression):
            labels = known[name]
            assert "source" not in labels or 'source=~"$source"' in matchers, expression
            of_one = {"source", "follower"} <= labels
            assert not of_one or re.search(r'follower=~"\$follower\|?"', matchers), expression


def test_every_metric_of_a_process_is_on_one_of_them() -> None:
    shown = " ".join(expression for panel in PANELS for expression in panel.expressions)
    left = {name.name for name in metrics.ALL if name.name not in shown}
    assert left == {name.name for name in metrics.ALL if name.name.startswith("kafka_")}
