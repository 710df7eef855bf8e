"""The model: a *child* is the process that works on a draft. It runs in a process group of its own, dies with us, and
takes its group with it; exit code 75 asks for another try, with backoff. What it prints goes to `work/log.txt`, and the
last of it stays in memory: a full disk must not silence what says so.

Nothing outlives a cancelled run, or one whose time is up: the group gets SIGTERM, a grace period for a checkpoint, then SIGKILL.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from io import RawIOBase
from pathlib import Path
from typing import IO

TRY_AGAIN = 75
"""Exit code of a child that lost a process and can go on from its part records (EX_TEMPFAIL of sysexits.h)."""
TRIES = 5
GRACE = 25.0
"""Seconds between SIGTERM and SIGKILL; less than the 30 that Prefect's runner gives the process of a flow."""

_KEPT = 1000
"""Lines that are kept in memory."""
_LAST = 15
"""Lines of them that a failure tells."""
_CLOSING = 10.0
"""Seconds in which a log ends once its group is gone; somebody else may hold it open."""
_WATCHED = 0.2
"""Seconds from one look to the next."""


class ChildFailed(Exception):
    """A child ended without finishing; the message ends with the last lines that it printed."""

    def __init__(self, message: str, told: bool = False) -> None:
        super().__init__(message)
        self.told = told
        """Whether the child itself said what is wrong: then another try comes to the same."""


class OutOfTime(ChildFailed):
    """A child was ended because its time was up."""


def run_child(
    command: list[str], log: Path, watch: Callable[[], None], env: Mapping[str, str] | None = None, limit: float | None = None
) -> int:
    """Run a command to its end, calling `watch` about five times a second; return how many tries it took.

    Raises `ChildFailed` after the last try, or at once on any exit code but 75; `OutOfTime` after `limit` seconds in all tries together.
    """
    deadline = time.monotonic() + limit if limit is not None else None

    def look() -> None:
        watch()
        if deadline is not None and time.monotonic() > deadline:
            raise OutOfTime(f"was ended after {limit:g} s (run.time_limit). What it had done is kept: the next run goes on from it")

    log.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, TRIES + 1):
        printed = deque[str](maxlen=_KEPT)
        code = _run_once(command, log, printed, look, env)
        if code == 0:
            return attempt
        if code != TRY_AGAIN or attempt == TRIES:
            said = _said(printed)
            words = "\n".join(said or list(printed)[-_LAST:])
            raise ChildFailed(f"{' '.join(command)}\nended with exit code {code} (try {attempt}). From {log}:\n{words}", bool(said))
        time.sleep(min(2.0**attempt, 30.0))
    raise AssertionError("unreachable")


def _run_once(command: list[str], log: Path, printed: deque[str], watch: Callable[[], None], env: Mapping[str, str] | None) -> int:
    file = open(log, "ab", buffering=0)  # noqa: SIM115  (the reader closes it)
    child = subprocess.Popen(
        [sys.executable, "-m", "schemas.process", str(os.getpid()), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, **(env or {})},
    )
    assert child.stdout is not None
    reader = threading.Thread(target=_keep, args=(child.stdout, file, printed), name="log", daemon=True)
    reader.start()
    try:
        while True:
            watch()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_WATCHED)
                break
    except BaseException:
        _stop_group(child)
        raise
    _signal_group(child.pid, signal.SIGKILL)
    reader.join(_CLOSING)
    return child.returncode


def _keep(output: IO[bytes], log: RawIOBase, printed: deque[str]) -> None:
    with output, log:
        for line in output:
            printed.append(line.decode(errors="replace").rstrip("\n"))
            with contextlib.suppress(OSError):  # a full disk: what matters of it is in `printed`
                log.write(line)


def _stop_group(child: subprocess.Popen[bytes]) -> None:
    _signal_group(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()


def _signal_group(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return


def _said(printed: deque[str]) -> list[str]:
    """The lines in which the child itself says what is wrong."""
    return list(dict.fromkeys(line for line in printed if line.startswith("error: ")))
