"""Is what a process shows fresh enough to be read? For `/readyz?max_lag=...`, which load balancers ask.

The rules, numbered as in the code:

1. More total lag than allowed is too much; the sentence names the stage that holds most of it.
2. A process knows what came to it. When nothing came for longer than allowed, and for more than two heartbeats (a monitor's
   are the follower's records), changes may wait where it cannot see them: nobody can say that it is fresh, so it is not.
"""

from __future__ import annotations

from collections.abc import Mapping

from stretto_schemas.lag.stages import StageLag, holding
from stretto_schemas.lag.words import duration

HEARTBEATS = 2
"""One may be under way."""


def judge(
    stages: Mapping[str, StageLag | None], max_lag_s: float, *, silent_s: float, heartbeat_s: float
) -> tuple[bool, str]:
    """Whether it is, and a sentence that says why. Without a stage `total` the sum of the others is taken.

    `heartbeat_s` 0: nobody knows how often something comes.
    """
    known = {stage: lag.seconds for stage, lag in stages.items() if lag is not None}
    total_s = known["total"] if "total" in known else sum(known.values())
    if total_s > max_lag_s:  # rule 1
        most = holding(stages)
        where = f", most of it in {most}" if most else ""
        return False, f"total lag {duration(total_s)}{where}, more than {duration(max_lag_s)}"
    if silent_s > max(max_lag_s, HEARTBEATS * heartbeat_s):  # rule 2
        beats = f" although heartbeats do every {duration(heartbeat_s)}" if heartbeat_s else ""
        return False, f"nothing came for {duration(silent_s)}{beats}: the lag may be more than {duration(max_lag_s)}"
    return True, f"total lag {duration(total_s)}, not more than {duration(max_lag_s)}"
