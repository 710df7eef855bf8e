"""The model: the *tokens* step writes one token shard for each document shard, in the same order, row i for row i.

    document batch -> encoder -> ids -> byte-length check -> word starts and sentence ends in tokens -> record batch

`python -m pipelines.tokens DRAFT` works through the document shards, on as many processes as the run has workers, and leaves
a part record for each; a shard with a valid record is not done again. Ids depend neither on the number of processes nor on
the engine that computed them; what that was and what was checked is told in the scratch folder, for `run.json`.
"""

from __future__ import annotations

import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.encode import AnyEncoder, NotLossless, open_encoder
from pipelines.spared import spare
from pipelines.workers import for_each
from schemas.arrow import read_shard, tokens_schema, write_shard
from schemas.artifact import Artifact, File
from schemas.child import RUN_FACTS, run_child
from schemas.draft import Draft
from schemas.files import replace
from schemas.fingerprint import canonical_json, read_json
from schemas.recipe import Tokens
from schemas.sampling import times_read

T = TypeVar("T")

STEP_VERSION: int = 3
"""Raised by hand when the output of this step changes."""

STAGE = "tokens"
_CHECKS = "checks"

_COLUMNS = ["doc_id", "source", "lang", "subset", "weight", "text", "word_starts", "sentence_ends"]

_COUNTED = ("tokens", "bytes", "uncovered", "train", "epoch")
"""What facts count: tokens, bytes, characters in no token; tokens of the training subset, once each and as an epoch reads them."""

Counts = dict[str, dict[str, int]]
"""A number by language and subset, or by source and language."""


def engines(settings: Tokens) -> dict[str, str]:
    """Versions of what decides the tokens, for fingerprints: ids are the reference's, whatever computes them."""
    return {"tokenizers": version("tokenizers"), "pyarrow": version("pyarrow")}


def run(draft: Draft, workers: int = 1) -> None:
    """Encode every document shard of the draft's input that has no valid part record yet.

    Raises `NotLossless` naming the document whose tokens' bytes are not its own.
    """
    todo = [key for key, _ in document_shards(draft.input("documents")) if draft.part(STAGE, key) is None]
    path = str(draft.path)
    for_each(_encode_shard, [(path, key) for key in todo], workers, make_ready=lambda: _opened(path))
    tell_checks(draft.scratch())


def document_shards(documents: Artifact) -> Iterator[tuple[str, File]]:
    """Key of the part and file of every document shard, in order."""
    for part in documents.manifest.parts:
        shards = [file for file in part.files if file.role == "documents"]
        for number, shard in enumerate(shards):
            yield part.key if len(shards) == 1 else f"{part.key}-{number}", shard


class _Work(NamedTuple):
    """A draft at work in this process."""

    draft: Draft
    shards: dict[str, File]
    encoder: AnyEncoder
    schema: pa.Schema


@lru_cache(maxsize=1)
def _opened(path: str) -> _Work:
    draft = Draft.open(path)
    (file,) = draft.input("tokenizer").manifest.files("tokenizer")
    encoder = open_encoder(draft.input("tokenizer").path / file.path, Tokens.model_validate(draft.settings).engine)
    made_by = {"tokenizer": file.digest, "engine": encoder.version, "vocab_size": str(encoder.vocab_size)}
    return _Work(draft, dict(document_shards(draft.input("documents"))), encoder, tokens_schema(encoder.vocab_size, made_by))


def _encode_shard(path: str, key: str) -> None:
    draft, shards, encoder, schema = _opened(path)
    source = draft.input("documents").path / shards[key].path
    temporary = draft.scratch() / f"{STAGE}-{key}-{uuid.uuid4().hex}.arrow"

    def write(encoder: AnyEncoder) -> tuple[int, dict[str, Counts]]:
        counts: dict[str, Counts] = {what: {} for what in _COUNTED if what != "uncovered" or not encoder.lossless}
        try:
            return write_shard(temporary, schema, _batches(source, encoder, schema, counts), compress=False), counts
        except NotLossless as error:
            raise NotLossless(f"{source}: {error}") from error

    with checks_of(encoder, draft.scratch(), key):
        rows, facts = trusting(encoder, write)
    file = draft.adopt(temporary, folder="tokens", stem=key, suffix=".arrow", role="tokens", rows=rows)
    draft.add_part(STAGE, key, [file], facts=facts)


def _batches(source: Path, encoder: AnyEncoder, schema: pa.Schema, counts: dict[str, Counts]) -> Iterator[pa.RecordBatch]:
    for batch in read_shard(source).select(_COLUMNS).to_batches():
        encoded, uncovered = encode_batch(batch, encoder, schema)
        tokens = np.diff(encoded.column("tokens").offsets.to_numpy())
        _add(counts["tokens"], encoded, tokens)
        _add(counts["bytes"], encoded, encoded.column("n_bytes").to_numpy())
        if "uncovered" in counts:
            _add(counts["uncovered"], encoded, uncovered)
        train = pc.equal(encoded.column("subset"), "train").to_numpy(zero_copy_only=False)
        places = encoded.select(["source", "lang"]).filter(pa.array(train))
        _add(counts["train"], places, tokens[train], by=("source", "lang"))
        _add(counts["epoch"], places, (tokens * times_read(encoded))[train], by=("source", "lang"))
        yield encoded


def trusting(encoder: AnyEncoder, write: Callable[[AnyEncoder], T]) -> T:
    """What `write` makes by an encoder; if its engine is found out meanwhile, what the reference makes instead of all of it."""
    trusted = encoder.trusted
    made = write(encoder)
    if trusted and not encoder.trusted:
        encoder.checks["shards again by the reference"] += 1
        return write(encoder.reference)
    return made


@contextmanager
def checks_of(encoder: AnyEncoder, scratch: Path, key: str) -> Iterator[None]:
    """Keep what an encoder checks meanwhile, as a file of the scratch folder."""
    before = encoder.checks.copy()
    yield
    told = {"engine": encoder.engine, "checks": encoder.checks - before}
    (scratch / _CHECKS).mkdir(exist_ok=True)
    replace(scratch / _CHECKS / f"{key}.json", canonical_json(told))


def tell_checks(scratch: Path) -> None:
    """Add up what was checked over all shards, for `run.json`: it is no content, since ids are the same without it."""
    told = [read_json(path) for path in sorted((scratch / _CHECKS).glob("*.json"))]
    checks: Counter[str] = sum((Counter(one["checks"]) for one in told), Counter())
    facts = {"engines": sorted({one["engine"] for one in told}), "checks": dict(sorted(checks.items()))}
    replace(scratch / RUN_FACTS, canonical_json(facts))


def encode_batch(batch: pa.RecordBatch, encoder: AnyEncoder, schema: pa.Schema) -> tuple[pa.RecordBatch, npt.NDArray[np.int64]]:
    """Token rows of a batch of documents, row i for row i; and how many characters of each no token covers, white space aside.

    Documents that nobody looked for words in have no `word_starts` column; `word_start` and `sentence_ends` are null then.
    Raises `NotLossless` naming the first document whose tokens' bytes do not add up to its own, for a lossless tokenizer.
    """
    text = batch.column("text")
    n_bytes = pc.binary_length(text).to_numpy().astype(np.int64)
    encoded = encoder.encode_column(text, batch.column("doc_id"))
    rows, bounds = _offsets(encoded.counts), _offsets(n_bytes)
    if encoded.places is None:
        _check_sizes(batch.column("doc_id"), encoded.sizes, n_bytes)
        uncovered, token_starts = np.zeros(len(text), np.int64), pa.nulls(len(text), pa.list_(pa.uint32()))
    else:
        own_starts, lengths = encoded.places
        starts = own_starts + np.repeat(bounds[:-1], encoded.counts)
        ends = np.maximum.accumulate(starts + lengths)
        uncovered = _uncovered(text, bounds, starts, starts + lengths)
        token_starts = _lists(rows, own_starts.astype(np.uint32))
    word_start = sentence_ends = None
    if "word_starts" in batch.schema.names:
        if encoded.places is None:
            lengths = encoder.token_bytes(encoded.ids)
            ends = np.cumsum(lengths)
            starts = ends - lengths
        word_start = _lists(rows, _word_starts(batch.column("word_starts"), bounds, rows, ends))
        sentences = _lengths(batch.column("sentence_ends"))
        tokens_before = np.searchsorted(starts, _from_batch_start(batch.column("sentence_ends"), bounds))
        sentence_ends = _lists(_offsets(sentences), (tokens_before - np.repeat(rows[:-1], sentences)).astype(np.uint32))
    columns = {
        **{name: batch.column(name) for name in ("doc_id", "source", "lang", "subset", "weight")},
        "tokens": pa.LargeListArray.from_arrays(rows, encoded.ids.astype(f"uint{schema.field('tokens').type.value_type.bit_width}")),
        "token_starts": token_starts,
        "word_start": word_start,
        "sentence_ends": sentence_ends,
        "n_bytes": pa.array(n_bytes.astype(np.uint64)),
    }
    arrays = [pa.nulls(len(text), field.type) if columns[field.name] is None else columns[field.name] for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema), uncovered


def _check_sizes(doc_ids: pa.Array, encoded: npt.NDArray[np.int64], n_bytes: npt.NDArray[np.int64]) -> None:
    if (wrong := np.flatnonzero(encoded != n_bytes)).size:
        row = int(wrong[0])
        raise NotLossless(f"document {doc_ids[row].as_py().hex()}: its tokens hold {encoded[row]:,} bytes, its text {n_bytes[row]:,}")


def _word_starts(
    words: pa.ListArray, bounds: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Of each token, whether a word begins in it, or between the token before and it.

    A token of byte-level BPE takes the space before its word along, so any of its bytes may be the word's first.
    """
    ended = np.cumsum(np.bincount(ends, minlength=int(bounds[-1]) + 1))  # by byte: tokens that end there or before
    found = ended[_from_batch_start(words, bounds)]
    begins = np.zeros(ends.size, bool)
    begins[found[found < np.repeat(rows[1:], _lengths(words))]] = True
    return begins


def _uncovered(
    text: pa.StringArray, bounds: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Characters of each text that lie in no token and aren't white space."""
    depth = np.bincount(starts, minlength=int(bounds[-1]) + 1) - np.bincount(ends, minlength=int(bounds[-1]) + 1)
    bare = np.cumsum(depth)[:-1] == 0
    data = np.frombuffer(b"".join(value.as_buffer() for value in text), np.uint8)
    counts = np.zeros(len(text), np.int64)
    for row in np.unique(np.searchsorted(bounds, np.flatnonzero(bare), side="right") - 1).tolist():
        own = slice(bounds[row], bounds[row + 1])
        counts[row] = sum(not character.isspace() for character in data[own][bare[own]].tobytes().decode("utf-8", "replace"))
    return counts


def _lists(offsets: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> pa.ListArray:
    return pa.ListArray.from_arrays(offsets.astype(np.int32), values)


def _offsets(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))


def _lengths(lists: pa.ListArray) -> npt.NDArray[np.int64]:
    return np.diff(lists.offsets.to_numpy()).astype(np.int64)


def _from_batch_start(lists: pa.ListArray, text_starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Byte offsets of a column of lists, counted from the start of the batch's first text."""
    return lists.flatten().to_numpy() + np.repeat(text_starts[:-1], _lengths(lists))


def _add(counts: Counts, batch: pa.RecordBatch, amounts: npt.NDArray[np.integer], by: tuple[str, str] = ("lang", "subset")) -> None:
    for one, other, amount in zip(*(batch.column(name).to_pylist() for name in by), amounts.tolist(), strict=True):
        found = counts.setdefault(one, {})
        found[other] = found.get(other, 0) + amount


def _work(draft: Draft) -> None:
    run(draft, draft.task["run"]["workers"])


def main(arguments: list[str]) -> int:
    """Run the step on the draft at `arguments[0]`; return the exit code."""
    spare()
    return run_child("pipelines.tokens", arguments, _work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
