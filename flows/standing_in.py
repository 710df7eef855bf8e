"""The model: a version from which documents were forgotten *stands in* for the full build of its files that nobody made: that would be the
same but for what was dropped as a near duplicate of something that is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from flows.changed_files import changed_files
from flows.following import SOURCES
from pipelines.compaction import COMPACTED
from schemas.draft import PARENT
from schemas.fingerprint import Identity
from schemas.store import Store


def standing_in(store: Store, name: str, full: Identity, splits: Sequence[Mapping[str, Any]]) -> Identity:
    """The identity of the newest documents/`name`, if they stand in for a full build of these splits; else that of the full build."""
    if next(store.committed("documents", name, full.fingerprint), None) is not None:
        return full
    newest = next(reversed(list(store.artifacts("documents", name))), None)
    if newest is None or PARENT not in (identity := newest.manifest.identity).inputs or how(identity) != how(full):
        return full
    read = newest.plan_splits()
    at_once = not any(split.get("generation") for split in read)
    return identity if at_once and not changed_files(read, splits) else full


def how(identity: Identity) -> Identity:
    """An identity without what tells which files were read, and which versions came between."""
    return replace(identity, inputs={k: v for k, v in identity.inputs.items() if k not in (SOURCES, PARENT, COMPACTED)})
