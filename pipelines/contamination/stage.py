"""The model: to *decontaminate* a batch is to look for evaluation items in its documents, and to do with those that hold
some what the recipe says: drop them, cut the grams out, or flag them.

Cutting goes on until nothing is found: what is left of a text may spell an item anew where a piece was taken out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson
import pyarrow as pa

from pipelines.contamination.hits import NAMED, Hit, hits, of_hits, told
from pipelines.contamination.index import Index
from pipelines.contamination.search import Matches, find_matches
from pipelines.span_hashes import Ints
from pipelines.stages import PREPARED, Sifted, Verdict, sift, with_columns
from schemas.recipe import Decontaminate

STAGE = "decontaminate"

CONTAMINATED = "contaminated"
"""Reason of rejects; kind of cleaning, of bytes that are cut; flag, and the key of `extra` that names a flagged document's items."""


def decontaminate(batch: pa.RecordBatch, index: Index, settings: Decontaminate, *, keep_text: bool) -> Sifted:
    """Drop, cut or flag the documents of a batch (with columns `text`, `cleaned`, `extra`) that hold evaluation items."""
    texts = batch.column("text").to_pylist()
    found = _by_text(find_matches(texts, index))
    held = {row: hit for row, matches in found.items() if (hit := hits(matches.entries, index, settings.min_share))}
    verdicts: list[Verdict] = [None] * len(texts)
    if settings.action == "flag":
        batch = _flagged(batch, held, index)
    elif settings.action == "drop":
        for row, hit in held.items():
            verdicts[row] = CONTAMINATED, told(hit, index)
    else:
        cleaned = batch.column("cleaned").to_pylist()
        for row, hit in held.items():
            text = texts[row]
            texts[row] = _cut(text, found[row], hit, index, settings.min_share)
            gone = len(text.encode()) - len(texts[row].encode())
            cleaned[row] = _json({**(orjson.loads(cleaned[row]) if cleaned[row] else {}), CONTAMINATED: gone})
            if not any(map(str.isalnum, texts[row])):
                verdicts[row] = CONTAMINATED, f"nothing is left of it without {told(hit, index)}"
        if held:
            batch = with_columns(batch, text=pa.array(texts, pa.string()), cleaned=pa.array(cleaned, pa.string()))
    return sift(batch, STAGE, verdicts, keep_text=keep_text)


def _by_text(matches: Matches) -> dict[int, Matches]:
    rows, firsts = np.unique(matches.texts, return_index=True)
    bounds = [*firsts.tolist(), matches.texts.size]
    return {row: Matches(*(column[bounds[n] : bounds[n + 1]] for column in matches)) for n, row in enumerate(rows.tolist())}


def _flagged(batch: pa.RecordBatch, held: dict[int, list[Hit]], index: Index) -> pa.RecordBatch:
    extras = batch.column("extra").to_pylist()
    for row, hit in held.items():
        named = [{"item": index.labels[one.item].as_py(), "share": round(one.share, 4)} for one in hit[:NAMED]]
        extras[row] = _json({**(orjson.loads(extras[row]) if extras[row] else {}), CONTAMINATED: named})
    flags = [[CONTAMINATED] if row in held else [] for row in range(batch.num_rows)]
    return with_columns(batch, extra=pa.array(extras, pa.string()), flags=pa.array(flags, PREPARED.field("flags").type))


def _cut(text: str, matches: Matches, hit: Sequence[Hit], index: Index, min_share: float) -> str:
    while hit:
        at = of_hits(matches.entries, hit, index)
        text = _without(text, matches.starts[at], matches.ends[at])
        matches = find_matches([text], index)
        hit = hits(matches.entries, index, min_share)
    return text


def _without(text: str, starts: Ints, ends: Ints) -> str:
    """The text without some spans, which may overlap."""
    kept, done = [], 0
    order = np.argsort(starts, kind="stable")
    for start, end in zip(starts[order].tolist(), ends[order].tolist(), strict=True):
        if start > done:
            kept.append(text[done:start])
        done = max(done, end)
    return "".join([*kept, text[done:]])


def _json(value: object) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
