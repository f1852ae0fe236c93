"""A pipeline for programs: JSON, YAML, and rows with tabs between."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import yaml

from stretto_schemas.lag.stages import STAGES
from stretto_schemas.lag.view import PipelineView
from stretto_schemas.lsn import format_lsn


def tree(view: PipelineView) -> dict[str, Any]:
    """Plain values: LSNs in PostgreSQL's notation, times in microseconds since 1970, records nobody counted as null."""
    found = _plain(msgspec.to_builtins(view))
    assert isinstance(found, dict)
    return found


def _plain(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        if value.keys() == {"bytes", "records", "seconds", "counted"}:
            value = {**value, "records": value["records"] if value["counted"] else None}
            del value["counted"]
        return {key: _plain(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if name.endswith("_lsn") and isinstance(value, int):
        return format_lsn(value)
    return round(value, 6) if isinstance(value, float) else value


def as_json(view: PipelineView) -> str:
    """One object on one line."""
    return json.dumps(tree(view), ensure_ascii=False)


def as_yaml(view: PipelineView) -> str:
    """One document."""
    return yaml.safe_dump(tree(view), sort_keys=False, allow_unicode=True, explicit_start=True).rstrip("\n")


TSV_HEAD = ("source", "follower", "state", "status", "stage", "bytes", "records", "seconds")


def as_tsv(view: PipelineView) -> str:
    """A row for each follower and stage, no head (`TSV_HEAD` says what stands where); empty where nobody can tell."""
    rows = []
    for follower in view.followers:
        for stage in STAGES:
            lag = follower.lag.get(stage)
            figures = (
                ("", "", "")
                if lag is None
                else (str(lag.bytes), str(lag.records) if lag.counted else "", f"{lag.seconds:.6f}")
            )
            rows.append("\t".join((follower.source, follower.name, follower.state, follower.status, stage, *figures)))
    return "\n".join(rows)
