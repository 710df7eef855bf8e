"""The model: a *place* is the folder beside a store in which one process serves at a time: it holds a lock there, and tells in `serve.json`
where its server is. Whoever else needs a server for that store takes this one: two on one database would both act on events.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from schemas.errors import RequestError
from schemas.files import replace
from schemas.fingerprint import canonical_json, read_json

FILE = "serve.json"
LOCK = "serve.lock"
_LOOK = 0.2
"""Seconds from one look to the next."""
_TRIES = 5


@contextlib.contextmanager
def serving_alone(place: Path) -> Iterator[None]:
    """Hold the lock of a place; it goes with the process. Raises `RequestError` if somebody holds it."""
    place.mkdir(parents=True, exist_ok=True)
    with open(place / LOCK, "a") as lock:
        if not _locked(lock):
            told = read_json(place / FILE) if (place / FILE).is_file() else {}
            where = f", process {told['pid']}, at {told['pages']}" if told else ""
            raise RequestError(f"{place}: another gristmill serve is at work here{where}: end that one, or name another store")
        (place / FILE).unlink(missing_ok=True)  # of one that was killed
        try:
            yield
        finally:
            (place / FILE).unlink(missing_ok=True)


def tell(place: Path, url: str) -> None:
    """Leave the address of the server here."""
    replace(place / FILE, canonical_json({"pid": os.getpid(), "url": url, "pages": url.removesuffix("/api")}))


def served_at(place: Path, patience: float = 0.0) -> str | None:
    """URL of the API of who serves here, if anybody does; who has only begun gets `patience`, in seconds, to tell."""
    deadline = time.monotonic() + patience
    while _is_locked(place):
        if (place / FILE).is_file():
            with contextlib.suppress(FileNotFoundError):  # it ends just now
                told: dict[str, Any] = read_json(place / FILE)
                return str(told["url"])
        if time.monotonic() > deadline:
            break
        time.sleep(_LOOK)
    return None


def _locked(lock: IO[str]) -> bool:
    """Whether the lock could be had; who only asks whether it is held has it for a moment, too."""
    for _ in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(_LOOK)
    return False


def _is_locked(place: Path) -> bool:
    try:
        with open(place / LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False
