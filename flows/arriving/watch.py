"""The model: a *watch* over a recipe's sources *looks* whenever their folders were quiet again after a change (inotify, where they are
local), and each `interval` whatever happened. A look asks what an ingest would do, and what there is is handed to a callable.

A watch decides nothing: which files are whole, new or waiting, `flows.planning` says of the files themselves, as an ingest does. So a
change that nobody told of, on a network's disk or behind a URL, is found by the next look, and one that was told of twice makes no
difference.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import watchfiles

from flows.incremental import NothingYet
from flows.planning import plan
from pipelines.places import is_url, remote_folder, root_folder
from schemas.artifact import Damaged
from schemas.errors import RequestError
from schemas.fingerprint import digest_json
from schemas.recipe import Recipe
from schemas.store import Store

_TICK = 0.5
"""Seconds between looks at the clock."""
_LONGEST = 3600.0
"""Seconds after which the same news are handed on again, at the most."""


@dataclass(frozen=True)
class Found:
    """What an ingest would do."""

    name: str
    """Of the recipe."""
    reasons: tuple[str, ...]
    """In words: "2 new files in source reviews"."""
    digest: str
    """Equal while there is the same to do: a key by which to start it once."""


Act = Callable[[Found], None]
Say = Callable[[str], None]


def look(recipe: Recipe, store: Store) -> Found | None:
    """What an ingest of a recipe would do now; None: nothing. Raises `RequestError`, `Damaged` or `OSError` as planning does."""
    for source in recipe.corpus.sources:
        if is_url(source.path):
            remote_folder(source.path)[0].invalidate_cache()  # some file systems remember what they listed
    ingested = recipe.model_copy(update={"corpus": recipe.corpus.model_copy(update={"incremental": True})})
    try:
        decisions = plan(ingested, store, "tokens")
    except NothingYet:
        return None
    to_do = [decision for decision in decisions if decision.action != "reuse"]
    if not to_do:
        return None
    digest = digest_json([[decision.step, decision.action, decision.fingerprint] for decision in to_do])
    return Found(recipe.name, to_do[0].why, digest)


def watch(recipe: Recipe, store: Store, act: Act, interval: float, stop: threading.Event, say: Say) -> None:
    """Watch until `stop` is set. Whatever goes wrong is told, and tried again: a watch never ends by itself.

    What was handed on and is still to do is handed on again after `interval`, then after twice as long, and so on: `act` may have failed.
    """
    settle, handed = recipe.run.settle, _Handed(interval)
    quiet: float | None = None  # when the folders will have been quiet for long enough
    latest = next_look = time.monotonic()
    for changed in _changes(recipe, stop, say):
        now = time.monotonic()
        if changed:
            latest = latest if quiet is not None else now + max(interval, settle)  # so that what never rests is looked at, too
            quiet = min(now + settle + _TICK, latest)
        if now < next_look and (quiet is None or now < quiet):
            continue
        quiet, next_look = None, now + interval
        try:
            found = look(recipe, store)
            if found is not None and handed.is_time(found, now):
                act(found)
        except Exception as error:  # of a look, or of what it was handed to: the next one may do better
            known = isinstance(error, RequestError | Damaged | OSError)
            say(f"watch {recipe.name}: {'' if known else f'{type(error).__name__}: '}{error}")


class _Handed:
    """What was handed on last, and when it may be again."""

    def __init__(self, interval: float) -> None:
        self._first, self._wait = interval, interval
        self._digest, self._again = "", 0.0

    def is_time(self, found: Found, now: float) -> bool:
        """Whether to hand it on, which is then taken for done."""
        if found.digest != self._digest:
            self._wait = self._first
        elif now < self._again:
            return False
        self._digest, self._again = found.digest, now + self._wait
        self._wait = min(2 * self._wait, _LONGEST)
        return True


def _changes(recipe: Recipe, stop: threading.Event, say: Say) -> Iterator[bool]:
    """Each tick, until `stop` is set, whether anything changed below the recipe's local sources, as far as the system tells."""
    while not stop.is_set():
        folders = _folders(recipe)
        if not folders:
            yield False
            stop.wait(_TICK)
            continue
        telling = watchfiles.watch(
            *folders,
            watch_filter=None,
            step=50,
            debounce=50,
            rust_timeout=int(_TICK * 1000),
            yield_on_timeout=True,
            stop_event=stop,
            raise_interrupt=False,
            ignore_permission_denied=True,
        )
        try:
            for changes in telling:
                yield bool(changes)
                gone = any(change is watchfiles.Change.deleted and path in folders for change, path in changes)
                if gone or _folders(recipe) != folders:  # of a folder that comes in its place, nothing would be told
                    yield True
                    break
        except (OSError, RuntimeError) as error:  # a folder went away, or the system's number of watches is used up
            say(f"watch {recipe.name}: is not told of changes ({error}): looks each interval only")
            for _ in range(120):
                yield False
                if stop.wait(_TICK):
                    return


def _folders(recipe: Recipe) -> set[str]:
    """The folders of local sources that are there."""
    found = set()
    for source in recipe.corpus.sources:
        with contextlib.suppress(OSError, RuntimeError):  # of one that may not be looked into, a look tells
            if not is_url(source.path) and (folder := root_folder(Path(source.path.removeprefix("file://")))).is_dir():
                found.add(str(folder.resolve()))
    return found
