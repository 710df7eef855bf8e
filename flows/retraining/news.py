"""The model: *news* are the training documents of some tokens that other tokens don't have, by content: a shard that both hold has none,
and in the others a document is known by its id, which is a digest of its record. So shards that were merged or encoded again are no news.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.retraining.knew import known_tokens
from schemas.arrow import read_batches
from schemas.artifact import Artifact
from schemas.champion import Reign
from schemas.errors import RequestError
from schemas.sampling import SAMPLED, times_read
from schemas.store import Store

ROLE = "tokens"
"""Of token shards, and of the input that is tokens."""


@dataclass(frozen=True)
class News:
    """Documents that training reads."""

    documents: int
    tokens: int


def champions_tokens(store: Store, reign: Reign) -> Artifact | None:
    """The tokens that a reign's pretrained model knew; None: neither they nor any that stand for them are in the store."""
    if (reference := reign.models.get("pretrain")) is None:
        return None
    try:
        return known_tokens(store, store.find(reference))
    except RequestError:
        return None


def count(now: Artifact, before: Artifact | None) -> News:
    """How many training documents and tokens of `now` are not in `before`; without `before`, all."""
    known, documents, tokens = known_ids(now, before), 0, 0
    for _, batch in changed_batches(now, before, (*SAMPLED, "tokens")):
        wanted = is_learned(batch) & ~is_known(batch, known)
        documents += int(wanted.sum())
        tokens += int(token_counts(batch)[wanted].sum())
    return News(documents, tokens)


def known_ids(now: Artifact, before: Artifact | None) -> pa.Array:
    """Ids of documents in shards of `before` that `now` has not: only these can stand in a shard of `now` that is none of `before`."""
    chunks = [] if before is None else [batch.column("doc_id") for _, batch in changed_batches(before, now, ("doc_id",))]
    return pa.concat_arrays(chunks) if chunks else pa.array([], pa.binary(16))


def changed_batches(one: Artifact, other: Artifact | None, columns: tuple[str, ...]) -> Iterator[tuple[Path, pa.RecordBatch]]:
    """The batches of token shards of one artifact that the other has not, with their shards. Columns that a shard lacks are left out."""
    same = {file.digest for file in other.manifest.files(ROLE)} if other is not None else set()
    for file in one.manifest.files(ROLE):
        if file.digest not in same:
            path = one.path / file.path
            yield from ((path, batch) for batch in read_batches(path, columns))


def is_known(batch: pa.RecordBatch, known: pa.Array) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = pc.is_in(batch.column("doc_id"), value_set=known).to_numpy(zero_copy_only=False)
    return found


def is_learned(batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """Which rows training reads."""
    train: npt.NDArray[np.bool_] = pc.equal(batch.column("subset"), "train").to_numpy(zero_copy_only=False)
    return train & (times_read(batch) > 0)


def token_counts(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """int64 [rows]."""
    lengths: npt.NDArray[np.int64] = pc.list_value_length(batch.column("tokens")).to_numpy(zero_copy_only=False)
    return lengths
