"""The command line, under a clock that is off by so many seconds: `python clock_off.py 3600 run follower`."""

from __future__ import annotations

import sys
import time

if __name__ == "__main__":
    off_s = float(sys.argv.pop(1))
    true_time, true_time_ns = time.time, time.time_ns
    time.time = lambda: true_time() + off_s
    time.time_ns = lambda: true_time_ns() + int(off_s * 1e9)

    from stretto.cli import main

    main()
