"""The model: the *tokens* step writes one token shard for each document shard, in the same order, row i for row i.

    document batch -> Encoder -> ids -> byte-length check -> word starts and sentence ends in tokens -> record batch

`python -m pipelines.tokens DRAFT` works through the document shards and leaves a part record for each; a shard with a
valid record is not done again. The library's threads share the work of a batch: ids do not depend on their number.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.encode import Encoder, NotLossless
from schemas.arrow import read_shard, tokens_schema, write_shard
from schemas.artifact import Artifact, File
from schemas.child import run_child
from schemas.draft import Draft
from schemas.recipe import Tokens

STEP_VERSION: int = 1
"""Raised by hand when the output of this step changes."""

STAGE = "tokens"

_COLUMNS = ["doc_id", "source", "lang", "subset", "text", "word_starts", "sentence_ends"]

Counts = dict[str, dict[str, int]]
"""A number by language and subset."""


def engines(settings: Tokens) -> dict[str, str]:
    """Versions of what decides the tokens, for fingerprints."""
    return {settings.engine: version(settings.engine), "pyarrow": version("pyarrow")}


def run(draft: Draft) -> None:
    """Encode every document shard of the draft's input that has no valid part record yet.

    Raises `NotLossless` naming the document whose tokens' bytes are not its own.
    """
    (file,) = draft.input("tokenizer").manifest.files("tokenizer")
    encoder = Encoder(draft.input("tokenizer").path / file.path)
    schema = tokens_schema(encoder.vocab_size, {"tokenizer": file.digest, "engine": encoder.version, "vocab_size": str(encoder.vocab_size)})
    for key, shard in _document_shards(draft.input("documents")):
        if draft.part(STAGE, key) is None:
            _encode_shard(draft, key, shard, encoder, schema)


def _document_shards(documents: Artifact) -> Iterator[tuple[str, File]]:
    """Key of the part and file of every document shard, in order."""
    for part in documents.manifest.parts:
        shards = [file for file in part.files if file.role == "documents"]
        for number, shard in enumerate(shards):
            yield part.key if len(shards) == 1 else f"{part.key}-{number}", shard


def _encode_shard(draft: Draft, key: str, shard: File, encoder: Encoder, schema: pa.Schema) -> None:
    path = draft.input("documents").path / shard.path
    counts: dict[str, Counts] = {"tokens": {}, "bytes": {}}

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in read_shard(path).select(_COLUMNS).to_batches():
            encoded = encode_batch(batch, encoder, schema)
            _add(counts["tokens"], encoded, np.diff(encoded.column("tokens").offsets.to_numpy()))
            _add(counts["bytes"], encoded, encoded.column("n_bytes").to_numpy())
            yield encoded

    temporary = draft.scratch() / f"{STAGE}-{key}-{uuid.uuid4().hex}.arrow"
    try:
        rows = write_shard(temporary, schema, batches(), compress=False)
    except NotLossless as error:
        raise NotLossless(f"{path}: {error}") from error
    file = draft.adopt(temporary, folder="tokens", stem=key, suffix=".arrow", role="tokens", rows=rows)
    draft.add_part(STAGE, key, [file], facts=counts)


def encode_batch(batch: pa.RecordBatch, encoder: Encoder, schema: pa.Schema) -> pa.RecordBatch:
    """Token rows of a batch of documents, row i for row i.

    Raises `NotLossless` naming the first document whose tokens' bytes do not add up to its own.
    """
    text = batch.column("text")
    n_bytes = pc.binary_length(text).to_numpy().astype(np.int64)
    ids, counts = encoder.encode(text.to_pylist())
    lengths = encoder.token_bytes(ids)
    rows = _offsets(counts)
    ends = np.cumsum(lengths)
    encoded = np.diff(np.concatenate(([0], ends))[rows])
    if (wrong := np.flatnonzero(encoded != n_bytes)).size:
        row = int(wrong[0])
        raise NotLossless(
            f"document {batch.column('doc_id')[row].as_py().hex()}: its tokens hold {encoded[row]:,} bytes, its text {n_bytes[row]:,}"
        )
    starts = ends - lengths
    text_starts = _offsets(n_bytes)
    begins = np.zeros(int(text_starts[-1]) + 1, bool)
    begins[_from_batch_start(batch.column("word_starts"), text_starts)] = True
    # A token of byte-level BPE takes the space before its word along, so any of its bytes may be the word's first.
    word_start = np.logical_or.reduceat(begins[:-1], starts) if starts.size else begins[:0]
    sentence_ends = np.searchsorted(starts, _from_batch_start(batch.column("sentence_ends"), text_starts))
    sentences = _lengths(batch.column("sentence_ends"))
    return pa.RecordBatch.from_arrays(
        [
            *(batch.column(name) for name in ("doc_id", "source", "lang", "subset")),
            pa.LargeListArray.from_arrays(pa.array(rows), pa.array(ids).cast(schema.field("tokens").type.value_type)),
            pa.nulls(len(text), pa.list_(pa.uint32())),
            pa.ListArray.from_arrays(pa.array(rows, pa.int32()), pa.array(word_start)),
            pa.ListArray.from_arrays(
                pa.array(_offsets(sentences), pa.int32()),
                pa.array(sentence_ends - np.repeat(rows[:-1], sentences), pa.uint32()),
            ),
            pa.array(n_bytes, pa.uint64()),
        ],
        schema=schema,
    )


def _offsets(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(lengths)))


def _lengths(lists: pa.ListArray) -> npt.NDArray[np.int64]:
    return np.diff(lists.offsets.to_numpy()).astype(np.int64)


def _from_batch_start(lists: pa.ListArray, text_starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Byte offsets of a column of lists, counted from the start of the batch's first text."""
    return lists.flatten().to_numpy() + np.repeat(text_starts[:-1], _lengths(lists))


def _add(counts: Counts, batch: pa.RecordBatch, amounts: npt.NDArray[np.integer]) -> None:
    for lang, subset, amount in zip(*(batch.column(c).to_pylist() for c in ("lang", "subset")), amounts.tolist(), strict=True):
        by_subset = counts.setdefault(lang, {})
        by_subset[subset] = by_subset.get(subset, 0) + amount


def _work(draft: Draft) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    os.environ["RAYON_NUM_THREADS"] = str(draft.task["run"]["workers"])
    run(draft)


def main(arguments: list[str]) -> int:
    """Run the step on the draft at `arguments[0]`; return the exit code."""
    return run_child("pipelines.tokens", arguments, _work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
