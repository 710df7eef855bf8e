"""The model: what a removal takes out of a version of documents it takes out of the *tokens* made of it, row for row: no text is encoded
again, and the bytes are those that encoding what is left would give.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipelines.encode import Encoder
from pipelines.removal import Removal, schema_of, temporary
from pipelines.tokens import STAGE, Counts, count_into, count_rows, document_shards, encode_batch
from schemas.arrow import read_batches, write_shard
from schemas.artifact import Artifact, Part
from schemas.draft import Draft


def remove_tokens(draft: Draft, parent: Artifact, documents: Artifact, removal: Removal) -> None:
    """Make the parts of a child of `parent`, which was made of `documents`, that differ from its own."""
    shards = dict(document_shards(documents))
    for part in parent.manifest.parts:
        if part.stage == STAGE and draft.part(STAGE, part.key) is None:
            _remove_rows(draft, parent, part, documents.path / shards[part.key].path, removal)


def _remove_rows(draft: Draft, parent: Artifact, part: Part, documents: Path, removal: Removal) -> None:
    (file,) = part.files
    shard = parent.path / file.path
    goes = np.concatenate([np.zeros(0, np.bool_), *(removal.removes(batch.column("doc_id")) for batch in read_batches(shard, ("doc_id",)))])
    if not goes.any():
        return
    counts: dict[str, Counts] = {kind: {} for kind in part.facts if kind != "uncovered"}
    path = temporary(draft, f"{STAGE}-{part.key}")
    rows = write_shard(path, schema_of(shard), _kept(shard, goes, counts), compress=False)
    adopted = draft.adopt(path, folder="tokens", stem=part.key, suffix=".arrow", role="tokens", rows=rows)
    facts: dict[str, Any] = {**part.facts, **counts}
    if "uncovered" in part.facts:
        facts["uncovered"] = _less(part.facts["uncovered"], _uncovered(draft, documents, goes, schema_of(shard)), counts["tokens"])
    draft.add_part(STAGE, part.key, [adopted], facts=facts)


def _kept(shard: Path, goes: npt.NDArray[np.bool_], counts: dict[str, Counts]) -> Iterator[pa.RecordBatch]:
    start = 0
    for batch in read_batches(shard):
        mask = goes[start : start + batch.num_rows]
        start += batch.num_rows
        if mask.all():
            continue
        kept = batch.filter(pa.array(~mask)) if mask.any() else batch
        count_rows(counts, kept)
        yield kept


def _uncovered(draft: Draft, documents: Path, goes: npt.NDArray[np.bool_], schema: pa.Schema) -> Counts:
    """Characters of the documents that go which no token covered: the shard doesn't say, so these few are encoded."""
    (file,) = draft.input("tokenizer").manifest.files("tokenizer")
    encoder = Encoder(draft.input("tokenizer").path / file.path)
    found: Counts = {}
    start = 0
    for batch in read_batches(documents):
        mask = goes[start : start + batch.num_rows]
        start += batch.num_rows
        if mask.any():
            encoded, uncovered = encode_batch(batch.filter(pa.array(mask)), encoder, schema)
            count_into(found, encoded, uncovered)
    return found


def _less(before: Counts, gone: Counts, left: Counts) -> Counts:
    """Counts without some; languages and subsets of which no row is left have none."""
    return {
        lang: {subset: before[lang][subset] - gone.get(lang, {}).get(subset, 0) for subset in subsets} for lang, subsets in left.items()
    }
