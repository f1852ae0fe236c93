"""`python -m stretto` is `stretto`."""

from __future__ import annotations

from stretto.cli import main

main()
