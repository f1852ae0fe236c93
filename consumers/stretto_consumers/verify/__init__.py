"""Are leader and follower equal, while writes go on? `verify()` compares, `Report` is the answer."""

from __future__ import annotations

from stretto_consumers.verify.report import Difference, Report, TableReport
from stretto_consumers.verify.verify import verify

__all__ = ["Difference", "Report", "TableReport", "verify"]
