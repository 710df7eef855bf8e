"""The model: the *tokenizer* step trains a byte-level BPE tokenizer on a *sample* of the training subset, or hands on the
tokenizer that the recipe pins.

A document's place in the sample is drawn by its `doc_id`, which is a hash: documents with the smallest ids are taken, in
each language, until the language's share of `sample_bytes` is reached. So the sample depends neither on the order of
shards nor on their number, and grows evenly over sources.

`python -m pipelines.tokenizer DRAFT` writes `tokenizer.json`, the same bytes each time.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.encode import Encoder, special_roles, train
from schemas.arrow import read_shard
from schemas.child import run_child
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.progress import ProgressFile
from schemas.recipe import Tokenizer

STEP_VERSION: int = 1
"""Raised by hand when the output of this step changes."""

STAGE = KEY = "tokenizer"
FILE = "tokenizer.json"

_PROBE_BYTES = 1 << 20
"""Bytes of the sample, in each language, that `bytes_per_token` is measured on."""


def engines(settings: Tokenizer) -> dict[str, str]:
    """Versions of what decides the tokenizer, for fingerprints."""
    return {"tokenizers": version("tokenizers")}


class Sample(NamedTuple):
    """Documents drawn for training: rows by shard, in order, and bytes by language."""

    rows: list[npt.NDArray[np.int64]]
    documents: int
    bytes: dict[str, int]


def run(draft: Draft) -> None:
    """Train or copy the tokenizer, and record it. Raises `RequestError` if a weighted language has no text to train on."""
    if draft.part(STAGE, KEY) is not None:
        return
    temporary = draft.scratch() / f"tokenizer-{uuid.uuid4().hex}.json"
    if draft.has_input("tokenizer"):
        pinned = draft.input("tokenizer")
        (source,) = pinned.paths("tokenizer")
        temporary.write_bytes(source.read_bytes())
        facts: Mapping[str, Any] = pinned.facts(STAGE)
    else:
        facts = _train(draft, Tokenizer.model_validate(draft.settings), temporary)
    draft.add_part(STAGE, KEY, [draft.adopt_as(temporary, FILE, "tokenizer")], facts=facts)


def _train(draft: Draft, settings: Tokenizer, target: Path) -> dict[str, Any]:
    shards = draft.input("documents").paths("documents")
    sample = draw(shards, settings.sample_bytes, settings.weights)
    probes: dict[str, list[str]] = {lang: [] for lang in sample.bytes}
    progress = ProgressFile(draft.scratch(), sum(sample.bytes.values()), "bytes")

    def texts() -> Iterator[str]:
        filled, read = dict.fromkeys(probes, 0), 0
        for lang, text in _texts(shards, sample.rows):
            read += len(text.encode())
            progress.tell(read, "counting words")
            if filled[lang] < _PROBE_BYTES:
                probes[lang].append(text)
                filled[lang] += len(text.encode())
            yield text
        progress.tell(read, "merging pairs", force=True)

    tokenizer = train(texts(), settings.vocab_size, settings.special_tokens)
    target.write_text(tokenizer.to_str(), encoding="utf-8")
    encoder = Encoder(target)
    return {
        "vocab_size": encoder.vocab_size,
        "special_tokens": {role: tokenizer.token_to_id(token) for role, token in special_roles(settings.special_tokens).items()},
        "sample": {"documents": sample.documents, "bytes": sample.bytes},
        "bytes_per_token": {lang: _bytes_per_token(encoder, texts) for lang, texts in sorted(probes.items())},
    }


def draw(shards: list[Path], sample_bytes: int, weights: Mapping[str, float]) -> Sample:
    """The sample of about `sample_bytes` of training text, shared over languages by `weights` (none: as the corpus is).

    The document that passes a share is still taken. A language with less text than its share gives all it has. Raises
    `RequestError` for a weighted language without training text, and if there is none at all.
    """
    order, sizes, langs, shard, row = _listing(shards)
    kept = np.zeros(order.size, bool)
    total = sum(weights.values())
    shares = {lang: weight / total for lang, weight in weights.items()} if total > 0 else {None: 1.0}
    for lang, share in shares.items():
        members = np.flatnonzero((langs == lang) | (lang is None))
        if share > 0 and not sizes[members].any():
            raise RequestError(f"tokenizer: no training text in language {lang!r}; set tokenizer.weights to languages of the corpus")
        members = members[np.argsort(order[members], kind="stable")]
        before = np.cumsum(sizes[members]) - sizes[members]
        kept[members[before < share * sample_bytes]] = True
    if not kept.any():
        raise RequestError("tokenizer: the documents hold no training text to learn from")
    taken = {str(lang): int(sizes[kept & (langs == lang)].sum()) for lang in np.unique(langs[kept])}
    return Sample([row[kept & (shard == number)] for number in range(len(shards))], int(kept.sum()), taken)


def _listing(shards: list[Path]) -> tuple[npt.NDArray[Any], ...]:
    """Of each training document: first 8 bytes of its id, bytes of its text, language, shard and row."""
    columns = []
    for number, path in enumerate(shards):
        table = read_shard(path).select(["doc_id", "text", "lang", "subset"])
        row = np.flatnonzero(pc.equal(table.column("subset"), "train").to_numpy())
        table = table.take(row)
        ids = np.frombuffer(b"".join(table.column("doc_id").to_pylist()), ">u8").reshape(-1, 2)[:, 0]
        sizes = pc.binary_length(table.column("text").cast(pa.binary())).to_numpy().astype(np.int64)
        columns.append((ids, sizes, table.column("lang").to_numpy(), np.full(row.size, number), row))
    empty = (np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, object), np.zeros(0, np.int64), np.zeros(0, np.int64))
    return tuple(np.concatenate(column) for column in zip(empty, *columns, strict=True))


def _texts(shards: list[Path], rows: list[npt.NDArray[np.int64]]) -> Iterator[tuple[str, str]]:
    """Language and text of the drawn documents, shard by shard."""
    for path, drawn in zip(shards, rows, strict=True):
        if drawn.size:
            table = read_shard(path).select(["lang", "text"]).take(drawn)
            yield from zip(table.column("lang").to_pylist(), table.column("text").to_pylist(), strict=True)


def _bytes_per_token(encoder: Encoder, texts: list[str]) -> float:
    ids, _ = encoder.encode(texts)
    return round(sum(len(text.encode()) for text in texts) / max(ids.size, 1), 4)


def _work(draft: Draft) -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    os.environ["RAYON_NUM_THREADS"] = str(draft.task["run"]["workers"])
    run(draft)


def main(arguments: list[str]) -> int:
    """Run the step on the draft at `arguments[0]`; return the exit code."""
    return run_child("pipelines.tokenizer", arguments, _work)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
