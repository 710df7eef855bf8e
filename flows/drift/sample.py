"""The model: a *side* is what drift compares: the training documents that the champion learned, or the new ones. Of each side a *sample* of
documents is looked at: those with the smallest ids. Ids are digests, so that is a fair draw, and the same one each time.

All is read batch by batch: what is held at once is a sample, and one counter a token of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.retraining.news import changed_batches, is_known, is_learned, known_ids, token_counts
from schemas.arrow import UPOS, read_batches
from schemas.artifact import Artifact
from schemas.sampling import SAMPLED

DOCUMENTS = 5_000
"""Of a sample, at the most."""
RARE = 5
"""A token that stands less often in what was learned is rare."""

Ints = npt.NDArray[np.int64]
_MEASURED = pa.schema(
    [("doc_id", pa.binary(16)), ("lang", pa.string()), ("n_bytes", pa.int64()), ("n_tokens", pa.int64()), ("n_rare", pa.int64())]
)

Batches = Callable[[tuple[str, ...]], Iterator[pa.RecordBatch]]
"""The batches of a side, with some columns; rows that are not of the side are gone."""


@dataclass(frozen=True)
class Sample:
    """What is known of each document of a sample."""

    ids: pa.Array
    """[n] in ascending order."""
    langs: npt.NDArray[np.str_]
    """[n]"""
    n_bytes: Ints
    """[n]"""
    n_tokens: Ints
    """[n]"""
    n_rare: Ints
    """[n]: tokens that are unknown, or rare in what was learned, the document itself not counted."""
    pos: Ints
    """[n, len(UPOS)]: words by part of speech; nothing but zeros where nobody tagged."""
    of: int
    """Documents of the side."""

    def __len__(self) -> int:
        return len(self.ids)


def learned(before: Artifact) -> Batches:
    """The side of what some tokens' model learned."""
    return lambda columns: (batch.filter(pa.array(is_learned(batch))) for _, batch in changed_batches(before, None, columns))


def news(now: Artifact, before: Artifact) -> Batches:
    """The side of training documents of `now` that `before` hasn't."""
    known = known_ids(now, before)

    def batches(columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        for _, batch in changed_batches(now, before, columns):
            yield batch.filter(pa.array(is_learned(batch) & ~is_known(batch, known)))

    return batches


def vocabulary_counts(side: Batches) -> Ints:
    """How often each token stands in a side, by its number."""
    counts = np.zeros(1, np.int64)
    for batch in side((*SAMPLED, "tokens")):
        found = np.bincount(pc.list_flatten(batch.column("tokens")).to_numpy(zero_copy_only=False).astype(np.int64), minlength=len(counts))
        found[: len(counts)] += counts
        counts = found
    return counts


def sample(side: Batches, counts: Ints, unknown: int | None, own: bool, documents: Artifact | None) -> Sample:
    """A sample of a side. `counts` are those of what was learned, in which documents of the side were counted if they are its `own`;
    parts of speech are those of `documents`."""
    ids, of = _smallest_ids(side)
    chosen = _of(side((*SAMPLED, "lang", "n_bytes", "tokens")), ids)
    found = pa.Table.from_batches([_measured(batch, counts, unknown, own) for batch in chosen], _MEASURED).sort_by("doc_id")
    pos = np.zeros((len(ids), len(UPOS)), np.int64)
    if documents is not None:
        _count_pos(documents, ids, pos)
    n_bytes, n_tokens, n_rare = (found.column(name).to_numpy() for name in ("n_bytes", "n_tokens", "n_rare"))
    return Sample(ids, np.array(found.column("lang").to_pylist(), np.str_), n_bytes, n_tokens, n_rare, pos, of)


def _smallest_ids(side: Batches) -> tuple[pa.Array, int]:
    """Sorted, and how many documents there are."""
    held, of = pa.array([], pa.binary(16)), 0
    for batch in side(SAMPLED):
        of += batch.num_rows
        held = pa.concat_arrays([held, batch.column("doc_id")])
        held = held.take(pc.array_sort_indices(held)[:DOCUMENTS])
    return held, of


def _of(batches: Iterator[pa.RecordBatch], ids: pa.Array) -> Iterator[pa.RecordBatch]:
    chosen = (batch.filter(pc.is_in(batch.column("doc_id"), value_set=ids)) for batch in batches)
    return (batch for batch in chosen if batch.num_rows)


def _measured(batch: pa.RecordBatch, counts: Ints, unknown: int | None, own: bool) -> pa.RecordBatch:
    lengths = token_counts(batch)
    tokens = pc.list_flatten(batch.column("tokens")).to_numpy(zero_copy_only=False).astype(np.int64)
    width = max(len(counts), int(tokens.max(initial=0)) + 1)
    rows = np.repeat(np.arange(batch.num_rows), lengths)
    kinds, times = np.unique(rows * width + tokens, return_counts=True)
    token, row = kinds % width, kinds // width
    elsewhere = np.where(token < len(counts), counts[np.minimum(token, len(counts) - 1)], 0) - (times if own else 0)
    rare = (elsewhere < RARE) | (token == (-1 if unknown is None else unknown))
    n_rare = np.bincount(row[rare], weights=times[rare], minlength=batch.num_rows)
    columns = [batch.column("doc_id"), batch.column("lang"), batch.column("n_bytes").cast(pa.int64()), pa.array(lengths, pa.int64())]
    return pa.RecordBatch.from_arrays([*columns, pa.array(n_rare.astype(np.int64))], schema=_MEASURED)


def _count_pos(documents: Artifact, ids: pa.Array, pos: Ints) -> None:
    """Add up the tags of the documents in `ids`, by their place there."""
    for path in documents.paths("documents"):
        for batch in _of(read_batches(path, ("doc_id", "pos")), ids):
            places = pc.index_in(batch.column("doc_id"), value_set=ids).to_numpy()
            tags = batch.column("pos")
            flat = tags.flatten().to_numpy(zero_copy_only=False)
            rows = np.repeat(places, pc.fill_null(pc.list_value_length(tags), 0).to_numpy(zero_copy_only=False))
            pos += np.bincount(rows * len(UPOS) + flat, minlength=pos.size).reshape(pos.shape)
