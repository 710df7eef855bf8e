"""The model: *cuts* are the parts that go from the documents of a split, though the documents stay: those that earlier documents
have, then lines that held-out documents share with training text (`pipelines.dedup.parts`).

Signals of a changed text are measured anew, and a document of which nothing is left is rejected. Rules are not asked again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.dedup.parts import REPEATED, SHARED, without_parts
from pipelines.dedup.runs import concatenated
from pipelines.job import REPEATED_LINES, REPEATED_PARAGRAPHS, SHARED_LINES, Handle, Job
from pipelines.rules.scored import signals_of
from pipelines.stages import Sifted, Verdict, sift, with_columns
from schemas.fingerprint import canonical_json
from schemas.recipe import Corpus

_OVERLAP = {False: "training documents hold all of its lines", True: "held-out documents of an earlier version hold all of its lines"}

_Changed = tuple[str, dict[str, int]]
"""A text, and the bytes that were cut from it by kind."""


class Cuts:
    """See the module."""

    def __init__(self, job: Job, handles: Sequence[Handle]) -> None:
        def table(kind: str, schema: pa.Schema) -> pa.Table:
            return concatenated([job.read(handle) for handle in handles if handle.kind == kind], schema)

        self._job = job
        shared = table(SHARED_LINES, SHARED)
        self._shared = {side: frozenset(shared["line"].filter(pc.equal(shared["held_out"], side)).to_pylist()) for side in (True, False)}
        self._repeated = {}
        for kind in (REPEATED_PARAGRAPHS, REPEATED_LINES):
            if len(found := table(kind, REPEATED).sort_by("row")):
                self._repeated[kind] = found["row"].to_numpy(), found["line"].to_numpy()

    def cut_repeated(self, batch: pa.RecordBatch, rows: Sequence[int]) -> Sifted:
        """The batch, whose documents are these rows of the split, without what earlier documents have."""
        if not self._repeated:
            return sift(batch, "duplicates", [None] * batch.num_rows, keep_text=False)
        gone: dict[str, list[set[int]]] = {}
        for kind, (of, parts) in self._repeated.items():
            starts, ends = np.searchsorted(of, rows, "left"), np.searchsorted(of, rows, "right")
            gone[kind] = [set(parts[start:end].tolist()) for start, end in zip(starts, ends, strict=True)]

        def cut(at: int, text: str) -> _Changed:
            sizes = {}
            for kind in gone:
                if gone[kind][at]:
                    rest = without_parts(text, kind, gone[kind][at], self._job.repeats(kind).min_characters)
                    sizes[kind] = len(text.encode()) - len(rest.encode())
                    text = rest
            return text, {kind: size for kind, size in sizes.items() if size}

        return _cut(batch, self._job.settings, cut, "duplicates", lambda at: ("repeated", "earlier documents hold all of it"))

    def cut_shared(self, batch: pa.RecordBatch) -> Sifted:
        """The batch without lines that held-out documents share with training text: of the two sides what is older stays."""
        subsets = batch.column("subset").to_pylist()
        longer_than = self._job.settings.held_out.cut_shared_lines_over
        if longer_than is None or not any(self._shared.values()):
            return sift(batch, "held_out", [None] * batch.num_rows, keep_text=False)

        def cut(at: int, text: str) -> _Changed:
            gone = self._shared[subsets[at] != "train"]
            if not gone or (rest := without_parts(text, SHARED_LINES, gone, longer_than + 1)) == text:
                return text, {}
            return rest, {"shared_lines": len(text.encode()) - len(rest.encode())}

        return _cut(batch, self._job.settings, cut, "held_out", lambda at: ("held_out_overlap", _OVERLAP[subsets[at] == "train"]))


def _cut(
    batch: pa.RecordBatch, settings: Corpus, cut: Callable[[int, str], _Changed], stage: str, verdict: Callable[[int], Verdict]
) -> Sifted:
    """Cut every document by its place in the batch; one of which nothing is left gets the verdict."""
    texts, langs, cleaned = (batch.column(name).to_pylist() for name in ("text", "lang", "cleaned"))
    changed = np.zeros(len(texts), np.bool_)
    for at, text in enumerate(texts):
        texts[at], sizes = cut(at, text)
        if sizes:
            changed[at] = True
            kinds = orjson.loads(cleaned[at]) if cleaned[at] else {}
            cleaned[at] = canonical_json(kinds | sizes).decode()
    if not changed.any():
        return sift(batch, stage, [None] * len(texts), keep_text=settings.rejects_hold_text)
    verdicts = [None if text.strip() else verdict(at) for at, text in enumerate(texts)]
    places = np.flatnonzero(changed)
    cut_texts, cut_langs = [texts[at] for at in places], [langs[at] for at in places]
    anew = signals_of(cut_texts, cut_langs, settings)
    order = np.arange(len(texts))
    order[places] = len(texts) + np.arange(len(places))
    rest = with_columns(
        batch,
        text=pa.array(texts, pa.string()),
        cleaned=pa.array(cleaned, pa.string()),
        clean_is_identity=pc.and_(batch.column("clean_is_identity"), pa.array(~changed)),
        signals=pa.concat_arrays([batch.column("signals"), anew]).take(pa.array(order)),
    )
    return sift(rest, stage, verdicts, keep_text=settings.rejects_hold_text)
