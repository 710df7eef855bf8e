"""The model: the *held-out sets* of a gate are two, of text that no model was trained on (subset `test`), drawn by a rule that knows
nothing of models. *Old* text is of the documents that the champion was made from, which are one artifact and stay as they are; *new* text
is of documents that came since. What the challenger's training text has the like of is *contaminated*, and goes, from both sides alike;
what was forgotten since is not asked about.

Two texts are alike if they are equal but for case and white space, or if 8 of 10 of their runs of five characters are shared
(`model.examples.shingles`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from flows.retraining.judging import SETS
from model.evaluate.drawing import draw
from model.evaluate.held_out_text import Passage, passages_of
from model.examples import Classified
from model.examples.shingles import near_ones
from model.finetune.labelled import read_labelled
from pipelines.text_digests import text_digest
from pipelines.tombstones import Tombstones
from schemas.arrow import read_batches
from schemas.artifact import Artifact

SUBSET = "test"
CHARACTERS = 1 << 21
"""Of training text that is compared at a time: bounds memory."""


@dataclass(frozen=True)
class HeldOut:
    """The sets, without what is contaminated."""

    text: Mapping[str, Sequence[Passage]]
    """By set."""
    labelled: Mapping[str, Sequence[Classified]]
    """By set; empty if no source has labels."""
    contaminated: Mapping[str, Mapping[str, int]]
    """By set, how many items were `equal` to training text, or `near` it."""

    def as_json(self) -> dict[str, dict[str, int]]:
        """Counts, for reading."""
        return {
            name: {"documents": len(self.text[name]), "labelled": len(self.labelled[name]), **self.contaminated[name]} for name in SETS
        }  # fmt: skip


def held_out(
    before: Artifact, documents: Artifact, most: int, labels: tuple[str, str] | None, tell: Callable[[str], None] = lambda note: None
) -> HeldOut:
    """The sets for a champion that was made from the documents `before`, and a challenger that was made from `documents`, of at most
    `most` bytes of UTF-8 each. `labels`: the source, and the key of `extra`, of labelled documents."""
    known, forgotten = _ids(before), Tombstones.of(documents)
    texts = {
        "old": (one for one in passages_of(before, SUBSET) if not _is_forgotten(one.doc_id, one.text, forgotten)),
        "new": (one for one in passages_of(documents, SUBSET) if one.doc_id not in known),
    }
    drawn = {name: draw(found, most, lambda passage: passage.n_bytes) for name, found in texts.items()}
    labelled: dict[str, list[Classified]] = {name: [] for name in SETS}
    if labels is not None:
        found = read_labelled(before, *labels)[SUBSET]
        labelled["old"] = [one for one in found if not _is_forgotten(bytes.fromhex(one.id), one.text, forgotten)]
        labelled["new"] = [one for one in read_labelled(documents, *labels)[SUBSET] if bytes.fromhex(one.id) not in known]
    asked = {one.id: one.text for found in labelled.values() for one in found}
    asked |= {one.doc_id.hex(): one.text for found in drawn.values() for one in found}
    gone = contaminated(asked, (passage.text for passage in passages_of(documents, "train")), tell)
    left = {name: [one for one in found if one.doc_id.hex() not in gone] for name, found in drawn.items()}
    left_labelled = {name: [one for one in found if one.id not in gone] for name, found in labelled.items()}
    counts = {}
    for name in SETS:
        ids = {one.doc_id.hex() for one in drawn[name]} | {one.id for one in labelled[name]}
        counts[name] = {how: sum(gone.get(one) == how for one in ids) for how in ("equal", "near")}
    return HeldOut(left, left_labelled, counts)


def _is_forgotten(doc_id: bytes, text: str, forgotten: Tombstones) -> bool:
    """Also a copy that left before the text came again, and was forgotten."""
    return doc_id in forgotten.by_id or text_digest(text) in forgotten.digests


def contaminated(asked: Mapping[str, str], training: Iterable[str], tell: Callable[[str], None] = lambda note: None) -> dict[str, str]:
    """Which texts that are asked stand in training text, by id: `equal` or `near`."""
    ids, texts = list(asked), list(asked.values())
    own = [_digest(text) for text in texts]
    found: dict[str, str] = {}
    read = 0
    for portion in _portions(training):
        digests = {_digest(text) for text in portion}
        found |= {ids[place]: "equal" for place, digest in enumerate(own) if digest in digests}
        left = [place for place in range(len(ids)) if ids[place] not in found]
        found |= {ids[left[place]]: "near" for place in near_ones([texts[place] for place in left], portion)}
        read += sum(map(len, portion))
        tell(f"looking for held-out text among {read:,} characters of training text")
    return found


def _portions(texts: Iterable[str]) -> Iterator[list[str]]:
    portion: list[str] = []
    size = 0
    for text in texts:
        portion.append(text)
        size += len(text)
        if size >= CHARACTERS:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _digest(text: str) -> bytes:
    return hashlib.sha256(" ".join(text.casefold().split()).encode()).digest()


def _ids(documents: Artifact) -> frozenset[bytes]:
    """Of all documents, whatever their subset."""
    columns = [batch.column("doc_id") for shard in documents.paths("documents") for batch in read_batches(shard, ("doc_id",))]
    return frozenset(pc.unique(pa.chunked_array(columns)).to_pylist()) if columns else frozenset()
