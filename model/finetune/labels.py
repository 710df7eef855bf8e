"""The model: the *labels* of a task are those of its training subset, in order of their names; what the other subsets ask for must be among
them. Of tags, the commonest comes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from model.examples import Classified, Tagged
from schemas.arrow import SUBSETS
from schemas.errors import RequestError


def classes(subsets: Mapping[str, Sequence[Classified]]) -> list[str]:
    """The labels of texts, sorted. Raises `RequestError` if the training subset can't teach what the others ask for."""
    known = {example.label for example in subsets["train"]}
    for subset in SUBSETS:
        if unknown := {example.label for example in subsets[subset]} - known:
            raise RequestError(f"label {min(unknown)!r} of the {subset} subset does not occur in train: give more documents of that class")
    if len(known) < 2:
        raise RequestError(f"all training documents have the label {min(known)!r}: a classifier needs two classes or more")
    return sorted(known)


def tags(subsets: Mapping[str, Sequence[Tagged]]) -> list[str]:
    """The tags of words: the commonest, then the others sorted. Tags that only other subsets have can't be learned, and count as errors."""
    counted = Counter(tag for example in subsets["train"] for tag in example.tags)
    if len(counted) < 2:
        raise RequestError(f"all words of the training subset have the tag {min(counted)!r}: tagging needs two tags or more")
    commonest = min(counted, key=lambda tag: (-counted[tag], tag))
    return [commonest, *sorted(set(counted) - {commonest})]


def check_subsets(subsets: Mapping[str, Sequence[object]], needed: Sequence[str] = SUBSETS) -> None:
    """Raises `RequestError` for a subset that has no example."""
    for subset in needed:
        if not subsets[subset]:
            raise RequestError(
                f"no labelled document fell into the {subset} subset: give more documents, raise corpus.held_out (task.data.held_out), "
                "or change the source's origin (uri keeps all of a file in one subset)"
            )
