"""The model: a *lease* gives one process the right to work on a step. Numbers rise: `{number}.json` is created (and so
taken) by its owner, who touches it as a heartbeat; the highest number is the holder, and fences off all lower ones.

A lease is free when its holder has released it, its process is gone (same host), or its heartbeat is older than
`STALE` seconds (another host). Two runs of one step thus give one artifact: the second waits and then reuses. A new
holder removes what lower numbers left; the highest stays, so that numbers never begin anew. When it was last touched tells when a run
last worked on the step or reused what it made.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from schemas.files import create

HEARTBEAT = 2.0
"""Seconds between heartbeats."""
STALE = 60.0
"""Seconds without a heartbeat after which a holder on another host counts as gone."""


class LeaseLost(Exception):
    """Another process took the lease over; what this one did must not be committed."""


class Lease:
    """A context manager: waits until the lease is free, holds it, releases it.

    `waiting` is called once with the holder's description if there is someone to wait for.
    """

    def __init__(self, folder: Path, waiting: Callable[[str], None]) -> None:
        self.folder = folder
        self._waiting = waiting
        self._stop = threading.Event()
        self.number = 0

    def __enter__(self) -> Self:
        told = False
        while not self._take():
            if not told:
                with contextlib.suppress(FileNotFoundError):  # it was just taken over
                    self._waiting(self._owner(self._highest()))
                    told = True
            time.sleep(0.5)
        self._forget_lower()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(OSError):  # its folder was removed, or the disk is full: it is free all the same when we end
            self._released(self.number).touch()

    def check(self) -> None:
        """Raise `LeaseLost` if a higher number exists: call before a commit."""
        if self._highest() != self.number:
            raise LeaseLost(f"{self.folder}: lease {self.number} was taken over by {self._highest()}; not committing")

    def holder(self) -> str | None:
        """Who holds it, this process or another one; None if it is free. Takes nothing."""
        highest = self._highest()
        if not highest or self._is_free(highest):
            return None
        with contextlib.suppress(FileNotFoundError):
            return self._owner(highest)
        return "another process"  # which has taken it over just now

    def touched(self) -> float | None:
        """When a holder last gave a sign, in seconds since the epoch; None if nobody ever did."""
        times = []
        for path in (*self.folder.glob("*.json"), *self.folder.glob("*.released")):
            with contextlib.suppress(FileNotFoundError):
                times.append(path.stat().st_mtime)
        return max(times, default=None)

    def _take(self) -> bool:
        self.folder.mkdir(parents=True, exist_ok=True)  # each time: a holder may have removed it
        highest = self._highest()
        if highest and not self._is_free(highest):
            return False
        owner = {"host": _host(), "pid": os.getpid(), "started": _started(os.getpid())}
        self.number = highest + 1
        try:
            created = create(self._path(self.number), json.dumps(owner).encode())
        except FileNotFoundError:  # the folder was removed between look and create
            return False
        # Between look and create others may have come, gone, and been forgotten: then a higher number stands.
        return created and self._highest() == self.number

    def _owner(self, number: int) -> str:
        owner = json.loads(self._path(number).read_bytes())
        return f"process {owner['pid']} on {owner['host'].partition(' ')[0]}"

    def _is_free(self, number: int) -> bool:
        if self._released(number).exists():
            return True
        try:
            owner = json.loads(self._path(number).read_bytes())
            if owner["host"] == _host():
                return _started(owner["pid"]) != owner["started"]
            return time.time() - self._path(number).stat().st_mtime > STALE
        except FileNotFoundError:  # a new holder has removed it
            return False

    def _forget_lower(self) -> None:
        for path in self.folder.iterdir():
            if path.suffix in (".json", ".released") and int(path.stem) < self.number:
                path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            with contextlib.suppress(FileNotFoundError):  # the lease was taken over; `check` tells
                os.utime(self._path(self.number))

    def _highest(self) -> int:
        return max((int(p.stem) for p in self.folder.glob("*.json")), default=0)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.json"

    def _released(self, number: int) -> Path:
        return self.folder / f"{number:06d}.released"


def _host() -> str:
    """Host and boot: after a restart of the machine no process of before is alive."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{os.uname().nodename} {boot.read_text().strip() if boot.exists() else ''}"


def _started(pid: int) -> str | None:
    """When a process started, in clock ticks since boot, so that a reused pid is not taken for its owner; None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]
