"""The model: a *nursery* is a process that makes ready once what every worker of a run needs (imports, tables, engines), and
then forks the workers: they begin in milliseconds, and share that memory. It gets ready while the *driver*, the process that
runs the job, imports Beam itself.

A line of JSON on its standard input is a worker's environment, and begins one; when the input ends, so does the nursery. It
dies with the driver and the workers die with it. A worker that ends badly ends the nursery, whose exit code tells the driver.

A fork takes no other thread along, so nothing that starts threads may be made ready.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

from pipelines.spared import spare
from pipelines.workers import become_worker
from schemas.process import die_with_parent

SIGNALLED = 128
"""Exit code of a nursery whose worker a signal ended, less the signal's number, as shells have it."""
_STOPPING = 2.0
"""Seconds that workers get to end when the input has; one that has never connected is never told to."""


class Nursery:
    """The driver's side: starts the nursery. If that ends badly before it is closed, `failed` is called with the exit code, by a thread."""

    def __init__(self, draft: str, failed: Callable[[int], None]) -> None:
        command = [sys.executable, "-m", "pipelines.nursery", str(os.getpid()), draft]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0)
        self._failed = failed
        self._closing = False
        threading.Thread(target=self._watch, daemon=True).start()

    @property
    def input(self) -> int:
        """The file descriptor that requests go to."""
        assert self._process.stdin is not None
        return self._process.stdin.fileno()

    def close(self) -> None:
        """End the nursery; workers that don't end by themselves die with it."""
        assert self._process.stdin is not None
        self._closing = True
        self._process.stdin.close()
        self._process.wait()

    def _watch(self) -> None:
        code = self._process.wait()
        if code and not self._closing:
            self._failed(code)


def request(nursery: int, environment: dict[str, str]) -> None:
    """Have a worker begin; `nursery` is the descriptor of its input."""
    line = json.dumps(environment).encode() + b"\n"
    while line:
        line = line[os.write(nursery, line) :]


def main(driver: int, draft: str) -> None:
    """Be a nursery until the input ends."""
    become_worker(driver)
    logging.disable(logging.ERROR)  # Beam talks at length; errors come back as exceptions all the same
    from apache_beam.runners.worker import sdk_worker_main

    _make_ready(draft)
    gc.collect()
    gc.freeze()  # a collection in a worker would touch, and so copy, all that it shares
    signal.signal(signal.SIGCHLD, _on_end)
    nursery = os.getpid()
    for line in sys.stdin.buffer:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            die_with_parent(nursery)
            os.environ.update(json.loads(line))
            code = 1
            try:
                sdk_worker_main.main([])
                code = 0
            finally:
                os._exit(code)  # what the nursery has to do at its end is no worker's business
    limit = time.monotonic() + _STOPPING
    while _reap() and time.monotonic() < limit:  # who waits for us is told the time of all whom we have waited for
        time.sleep(0.01)


def _make_ready(draft: str) -> None:
    """What can't be made ready here fails again where it is needed, and is told there."""
    from pipelines import transforms  # noqa: F401  (what Beam will ask workers for)
    from pipelines.opened import opened

    with suppress(Exception):
        opened(draft).make_ready()


def _on_end(number: int, frame: FrameType | None) -> None:
    _reap()


def _reap() -> bool:
    """Take leave of workers that have ended, and end as badly as one that ended badly; return whether any is left."""
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if code := os.waitstatus_to_exitcode(ended[1]):
                os._exit(code if code > 0 else SIGNALLED - code)
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    spare()
    main(int(sys.argv[1]), sys.argv[2])
