"""The settings in force, for people to read: no secret in them, wherever it was written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo
from pydantic import BaseModel, SecretStr

from stretto_schemas.settings import Settings

MASK = "***"

_SECRET_OPTION = re.compile(r"password|secret|\.pem$|jaas|token", re.IGNORECASE)
"""librdkafka's options whose value is one."""

_SECRET_PARAMETERS = ("password", "sslpassword", "oauth_client_secret")
"""libpq's."""


def shown(settings: Settings) -> dict[str, Any]:
    """The settings as a tree of plain values, in the order of the reference. Unset values are left out."""
    return _tree(settings)


def _tree(model: BaseModel) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        if value is not None:
            tree[name] = _plain(name, value)
    return tree


def _plain(name: str, value: Any) -> Any:
    match value:
        case BaseModel():
            return _tree(value)
        case SecretStr():
            secret = value.get_secret_value()
            return masked_dsn(secret) if name == "dsn" else MASK if secret else ""
        case Path():
            return str(value)
        case tuple():
            return list(value)
        case Mapping():
            return {key: MASK if _SECRET_OPTION.search(key) else item for key, item in value.items()}
        case _:
            return value


def masked_dsn(dsn: str) -> str:
    """A connection string without its secrets; one that cannot be read is masked whole."""
    if not dsn:
        return ""
    try:
        parts = conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        return MASK
    secret = {name: MASK for name in _SECRET_PARAMETERS if parts.get(name)}
    return conninfo.make_conninfo("", **{**parts, **secret}) if secret else dsn


def as_json(settings: Settings) -> str:
    """One JSON object."""
    return json.dumps(shown(settings), indent=2, ensure_ascii=False)


def as_toml(settings: Settings) -> str:
    """A settings file that says the same, but for the masked secrets."""
    return toml(shown(settings))


def toml(tree: Mapping[str, Any]) -> str:
    """Write a tree of plain values as TOML; tables after values, as TOML wants it."""
    return "\n".join(_toml_lines(tree, ())).strip()


def _toml_lines(tree: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = [f"{_key(name)} = {_value(value)}" for name, value in tree.items() if not isinstance(value, Mapping)]
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            inner = (*path, _key(name))
            lines += ["", f"[{'.'.join(inner)}]", *_toml_lines(value, inner)]
    return lines


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    """Strings, numbers, booleans and lists of them are written alike in JSON and TOML."""
    return json.dumps(value, ensure_ascii=False)
