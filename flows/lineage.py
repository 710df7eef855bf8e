"""The model: the *lineage* of an artifact is the artifact of each step that it was made from, found by content digest."""

from __future__ import annotations

from collections.abc import Iterable

from model.handed_on import BEFORE, START
from schemas.artifact import Artifact
from schemas.draft import PARENT
from schemas.store import Store

EARLIER = (PARENT, START, BEFORE)
"""Roles of earlier versions of what an artifact, or another input, is."""


def lineage(store: Store, artifact: Artifact) -> dict[str, Artifact]:
    """By step name, in order of making, the artifact itself last. Inputs that are no longer in the store are left out.

    So is one with the content of what was made from it, as a pinned tokenizer is: it was handed on, and stands in for itself.
    And so is what a challenger goes on from, or is compared with (roles as `champion.pretrain`): the artifacts that are meant are those
    that it was made from now.
    """
    found: dict[str, Artifact] = {}
    seen: set[str] = set()

    def visit(a: Artifact) -> None:
        seen.add(a.manifest.content_digest)
        for role, digest in sorted(a.manifest.identity.inputs.items(), key=lambda item: item[0] == "tokenizer"):
            # A tokenizer may be of older documents than the tokens, which say what is meant. What is earlier is of the same steps.
            made = made_from(store, a, role) if digest not in seen and role not in EARLIER and "." not in role else None
            if made is not None:
                visit(made)
        found.setdefault(a.manifest.identity.step, a)

    visit(artifact)
    return found


def made_from(store: Store, artifact: Artifact, role: str) -> Artifact | None:
    """The artifact that served as `role` when `artifact` was made, if it is in the store.

    Of several with that content, one of the same run's name is meant: runs of other names may have made it as well.
    """
    digest = artifact.manifest.identity.inputs.get(role)
    return meant((a for a in store.artifacts() if a.manifest.content_digest == digest), artifact.name)


def meant(same: Iterable[Artifact], name: str) -> Artifact | None:
    """The one of several artifacts with the same content that was the input of an artifact of this name."""
    return max(same, key=lambda a: (_common(a.name, name), a.version), default=None)


def _common(a: str, b: str) -> int:
    """How alike two names are: equal, or one the other with a step's suffix, or neither."""
    return 2 if a == b else int(a.startswith(f"{b}-") or b.startswith(f"{a}-"))
