"""Code out of the documentation, for tests that run what it tells users to run."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def block(page: str, language: str, *, after: str = "") -> str:
    """The first block of this language behind the words `after`, in the same section of the page."""
    begun = (ROOT / page).read_text().partition(after)[2] if after else (ROOT / page).read_text()
    found = re.search(rf"^```{language}\n(.*?)^```", begun.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no {language} behind {after!r}"
    return found[1]
