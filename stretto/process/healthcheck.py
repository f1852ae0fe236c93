"""A container's health check: `python -m stretto.process.healthcheck PORT` asks /readyz of the process in this container.

Exit code 0: ready. 1: not ready, or it does not answer; what it says is printed, for `docker inspect` to show.
"""

from __future__ import annotations

import sys
from http.client import HTTPConnection, HTTPException

TIMEOUT_S = 4.0


def check(port: int) -> tuple[bool, str]:
    """Whether the process on this port is ready, and its sentence."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status == 200, answer.read().decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        return False, f"nothing answers on port {port}: {error}"
    finally:
        connection.close()


if __name__ == "__main__":
    ready, said = check(int(sys.argv[1]))
    sys.stdout.write(f"{said}\n")
    sys.exit(0 if ready else 1)
