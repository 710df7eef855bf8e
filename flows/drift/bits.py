"""The model: the champion's *bits per byte* on new documents, beside those on held-out documents that came with what it learned. Neither
were learned from, so what differs is the text. Both are asked in one evaluation, so nothing else can differ.
"""

from __future__ import annotations

import heapq
import json
import math
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flows.ensure import Say
from flows.evaluated import results_of
from flows.evaluating import Asked, evaluate_model
from model.evaluate.held_out_text import passage_id
from model.metrics.items import read_items
from schemas.arrow import read_batches
from schemas.artifact import Artifact
from schemas.recipe import Evaluation, HeldOutText, Run
from schemas.results import MODEL
from schemas.store import Store

MOST = 100_000
"""Bytes of text of each side."""
SUFFIX = "-drift"
"""Behind a recipe's name: the name of the evaluation."""

Asking = tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64], npt.NDArray[np.float64]]
"""Of each document: whether it is new, its bits, its bytes."""


def bits_of(store: Store, model: Artifact, name: str, run: Run, old: Artifact, now: Artifact, ids: pa.Array, say: Say) -> dict[str, Asking]:
    """By language, what the champion's model makes of held-out documents of `old` and of the documents `ids` of `now`."""
    new = _drawn(_new(now, ids))
    sides = (_drawn(_held_out(old, {lang for lang, _ in new})), new)
    chosen: dict[str, tuple[bool, str, str]] = {}
    for comes_new, side in zip((False, True), sides, strict=True):
        chosen |= {passage_id(text).hex(): (comes_new, lang, text) for lang, text in side}
    lines = [json.dumps({"lang": lang, "text": text}, ensure_ascii=False) for _, lang, text in chosen.values()]
    most = sum(len(text.encode()) for _, _, text in chosen.values())
    if not lines or all(comes_new for comes_new, _, _ in chosen.values()):
        return {}
    cache = store.root / ".cache"
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="drift-", dir=cache) as folder:
        path = Path(folder) / "drift.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        asked = Asked(Evaluation(text=HeldOutText(name="drift", max_bytes=most, ngram_orders=())), text=str(path))
        evaluation = evaluate_model(store, model, asked, name + SUFFIX, run, say).artifact
    found = {}
    for result in results_of(evaluation):
        if result.items is not None:
            items = read_items(evaluation.path / result.items, MODEL)
            statistics = items.statistics["bits_per_byte"]
            is_new = np.array([chosen[item][0] for item in items.names])
            found[result.task.removeprefix("drift.")] = (is_new, statistics[:, 0] / math.log(2), statistics[:, -1])
    return found


def _held_out(documents: Artifact, langs: Collection[str]) -> Iterator[pa.RecordBatch]:
    spoken = pa.array(sorted(langs), pa.string())
    for path in documents.paths("documents"):
        for batch in read_batches(path, ("doc_id", "lang", "subset", "text")):
            of = pc.is_in(batch.column("lang"), value_set=spoken)
            yield batch.filter(pc.and_(of, pc.not_equal(batch.column("subset"), "train")))


def _new(documents: Artifact, ids: pa.Array) -> Iterator[pa.RecordBatch]:
    for path in documents.paths("documents"):
        for batch in read_batches(path, ("doc_id", "lang", "text")):
            yield batch.filter(pc.is_in(batch.column("doc_id"), value_set=ids))


def _drawn(batches: Iterator[pa.RecordBatch]) -> list[tuple[str, str]]:
    """Language and text of the documents with the smallest ids, up to `MOST` bytes."""
    held: list[tuple[int, str, str]] = []  # the greatest id first, as the first to go
    size = 0
    for batch in batches:
        for row in batch.to_pylist():
            if 0 < (length := len(row["text"].encode())) <= MOST:
                heapq.heappush(held, (-int.from_bytes(row["doc_id"], "big"), row["lang"], row["text"]))
                size += length
            while size > MOST:
                size -= len(heapq.heappop(held)[2].encode())
    return [(lang, text) for _, lang, text in sorted(held, reverse=True)]
