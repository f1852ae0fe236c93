"""Named crash points: where a test kills the process, exactly as a power cut would.

`STRETTO_FAILPOINT=capture.after_rows` kills at the first pass of that point, `capture.after_rows:3` at the third. Unset,
a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

_name, _, _pass = os.environ.get("STRETTO_FAILPOINT", "").partition(":")
_left = int(_pass or 1)


def failpoint(name: str, first: Callable[[], object] | None = None) -> None:
    """Kill this process with SIGKILL when the environment asks for it here. Nothing is flushed, nothing cleaned up.

    `first` is called right before: it makes sure that what a client library still holds back is out by then.
    """
    global _left
    if name != _name:
        return
    _left -= 1
    if _left <= 0:
        if first is not None:
            first()
        os.kill(os.getpid(), signal.SIGKILL)
