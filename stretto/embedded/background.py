"""Start the supervisor in the background and wait until it says that everything answers.

The supervisor is `python -m stretto.embedded.background FD OPTIONS`. It tells the outcome through the pipe FD, one JSON
object a line: what it is doing, then `ready` or the error. A pipe that ends before either means that it was killed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from stretto.embedded import errors, processes, stack
from stretto.embedded.errors import StartFailed
from stretto.embedded.folder import StackFolder
from stretto.embedded.stack import StackOptions
from stretto_schemas.errors import StrettoError

_ERRORS: dict[str, type[StrettoError]] = {
    kind.__name__: kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, StrettoError)
}


def start(options: StackOptions, report: Callable[[str], None]) -> None:
    """Start a stack that outlives this process; return once it answers. Raises what `stack.run` raises, StartFailed."""
    folder = StackFolder(options.data)
    folder.claim()
    reading, writing = os.pipe()
    encoded = json.dumps(
        {
            "data": str(folder.path),
            "ports": dict(options.ports),
            "postgres_bin": str(options.postgres_bin) if options.postgres_bin else None,
            "heap_mb": options.heap_mb,
        }
    )
    log = processes.open_log(folder.log)
    try:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "stretto.embedded.background", str(writing), encoded],
            cwd=folder.path,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[writing],
            start_new_session=True,
        )
    finally:
        os.close(log)
        os.close(writing)
    with os.fdopen(reading) as told:
        try:
            _listen(told, folder, report)
        except BaseException:
            if supervisor.poll() is None:  # Ctrl-C while it starts
                supervisor.terminate()
            supervisor.wait(stack.DOWN_S)
            raise
    supervisor.returncode = 0  # it lives on by itself, which is no leak


def _listen(told: IO[str], folder: StackFolder, report: Callable[[str], None]) -> None:
    for line in told:
        said: dict[str, Any] = json.loads(line)
        if "report" in said:
            report(said["report"])
        elif "error" in said:
            raise _ERRORS.get(said["error"], StartFailed)(said["found"], expected=said["expected"], fix=said["fix"])
        else:
            return
    raise StartFailed("the supervisor ended before the stack was up", fix=f"see its log: {folder.log}")


def _supervise(pipe: int, encoded: str) -> int:
    told = os.fdopen(pipe, "w", buffering=1)

    def tell(**said: str | bool) -> None:
        try:
            print(json.dumps(said), file=told)
        except (BrokenPipeError, ValueError):
            return  # whoever asked is gone, or has heard enough

    def report(text: str) -> None:
        print(text, flush=True)
        tell(report=text)

    def ready() -> None:
        tell(ready=True)
        told.close()

    given = json.loads(encoded)
    options = StackOptions(
        data=Path(given["data"]),
        ports=given["ports"],
        postgres_bin=Path(given["postgres_bin"]) if given["postgres_bin"] else None,
        heap_mb=given["heap_mb"],
    )
    try:
        stack.run(options, ready, report)
    except StrettoError as error:
        tell(error=type(error).__name__, found=error.found, expected=error.expected, fix=error.fix)
        print(f"error: {error}", flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(_supervise(int(sys.argv[1]), sys.argv[2]))
