"""The settings file that `stretto up` leaves in its data folder, so that every other command finds the stack."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stretto.settings.show import toml

NAME = "stretto.toml"

_HEAD = """# Written by `stretto up`, whenever ports change. For settings of your own, copy it: `stretto -c FILE ...`, or name the
# copy in STRETTO_CONFIG.
"""


def settings_text(addresses: Mapping[str, str], http: Mapping[str, int] | None = None) -> str:
    """Settings for a stack, from the addresses of its parts: leader, follower, kafka."""
    return _HEAD + toml(
        {
            "source": {"name": "leader", "dsn": addresses["leader"]},
            "kafka": {"bootstrap": addresses["kafka"]},
            "follower": {"name": "follower", "dsn": addresses["follower"]},
            "http": http or {},
        }
    )


def write_settings(folder: Path, addresses: Mapping[str, str], http: Mapping[str, int] | None = None) -> Path:
    """Write the file where it is missing or says something else; return its path. `http`: ports other than the usual ones."""
    path = folder / NAME
    text = settings_text(addresses, http) + "\n"
    if not path.exists() or path.read_text() != text:
        draft = path.with_suffix(".draft")
        draft.write_text(text)
        draft.replace(path)
    return path
