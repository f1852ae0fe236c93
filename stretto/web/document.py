"""The page as one document: markup, style and script, inlined, each allowed by its hash and nothing else."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).with_name("page")

SCRIPTS: Final = (
    "figures.js",
    "nodes.js",
    "status.js",
    "flow.js",
    "chart.js",
    "followers.js",
    "chosen.js",
    "lists.js",
    "wire.js",
    "page.js",
)
"""In the order in which they are put together to one script."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is sent, and the Content-Security-Policy that lets just that run."""

    html: bytes
    policy: str


def page() -> Page:
    """Put the page together from its files."""
    style = (FOLDER / "page.css").read_text()
    script = "\n".join((FOLDER / name).read_text() for name in SCRIPTS)
    html = (FOLDER / "page.html").read_text().replace("/*style*/", style).replace("/*script*/", script)
    policy = "; ".join(
        (
            "default-src 'none'",
            f"style-src '{_hash(style)}'",
            f"script-src '{_hash(script)}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
    return Page(html.encode(), policy)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
