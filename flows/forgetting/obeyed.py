"""The model: tombstones are *obeyed* by whatever is made under their name after them: they are an input of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from pipelines.tombstones import ROLE, tombstones_file
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.store import Store


class Obeyed(NamedTuple):
    """The tombstones of a name."""

    path: Path
    digest: str


def tombstones_of(store: Store, name: str) -> Obeyed | None:
    """The tombstones in the newest version of documents/`name` that has any: there are never fewer than before."""
    for artifact in reversed(list(store.artifacts("documents", name))):
        if (file := tombstones_file(artifact)) is not None:
            return Obeyed(artifact.path / file.path, file.digest)
    return None


def check_obeyed(store: Store, draft: Draft) -> None:
    """Raise `RequestError` if documents were forgotten since a draft of documents was planned: it may hold them."""
    obeyed = tombstones_of(store, draft.plan["name"])
    if obeyed is not None and draft.identity.inputs.get(ROLE) != obeyed.digest:
        raise RequestError(f"documents/{draft.plan['name']}: documents were forgotten meanwhile, and {draft.path} may hold them. Run again")
