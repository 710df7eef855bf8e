"""The model: *finishing* a split drops the losers among its prepared documents, cuts parts that other documents have
(`pipelines.cuts`), annotates what is left, and writes the document shard and the reject shard in canonical order.

Documents are annotated a batch at a time, by language. An engine treats every text for itself, so what shares a batch
with it never shows in the bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.annotate import AnnotatorEngine, annotator_for, open_annotator
from pipelines.cuts import Cuts
from pipelines.dedup import LOSERS
from pipelines.job import Handle, Job, key_of
from pipelines.stages import Sifted, Verdict, guarded, rejected_ledger, sift, with_columns
from schemas.arrow import DOCUMENTS, REDACTED, REJECTS, read_shard, write_shard
from schemas.artifact import File, Part
from schemas.fingerprint import canonical_json
from schemas.ledger import Ledger
from schemas.recipe import Annotator, Corpus

STAGE = "finish"

DROPPED = pa.schema([pa.field("row", pa.uint32(), nullable=False)])
"""Rows among the prepared ones of a split."""

_REJECTED_ROWS = 1 << 16


class Annotators:
    """The engines of one process, opened when the first text of their language comes."""

    def __init__(self, settings: Corpus) -> None:
        self._settings = settings
        self._open: dict[tuple[Annotator, str | None], AnnotatorEngine] = {}

    def open(self, langs: Sequence[str]) -> None:
        for lang in langs:
            self.engine(lang)

    def engine(self, lang: str) -> AnnotatorEngine:
        wanted = annotator_for(self._settings.annotate, lang)
        key = wanted, lang if wanted.engine == "fast" else None  # of the others one serves all languages
        if key not in self._open:
            self._open[key] = open_annotator(wanted, lang)
        return self._open[key]


def finish_split(job: Job, ordinal: int, handles: Sequence[Handle], annotators: Annotators) -> str:
    """Finish a split, unless a part record says that it is done; return its key. `handles` are its losers and the parts to cut."""
    key = key_of(ordinal)
    if job.draft.part(STAGE, key) is None:
        with job.attempt(STAGE, key):
            _finish(job, ordinal, handles, annotators, {})
    return key


def record_failed(job: Job, ordinal: int, handles: Sequence[Handle], why: str) -> Part:
    """Record that a split could not be finished: documents that would have been annotated count as failed."""
    return _finish(job, ordinal, handles, None, {"failed": why})


def _finish(job: Job, ordinal: int, handles: Sequence[Handle], annotators: Annotators | None, facts: dict[str, Any]) -> Part:
    stem = key_of(ordinal)
    prepared = job.draft.part("prepare", stem)
    if prepared is None:
        raise RuntimeError(f"{job.draft.path}: split {ordinal} has no prepared part; run the step again")
    shards = {file.path.split("/")[1]: job.draft.path / file.path for file in prepared.files if file.role == "work"}
    rejects = [read_shard(shards["rejects"])]
    ledgers = {name: replace(Ledger.from_json(value), rejected={}, bytes_rejected={}) for name, value in prepared.facts["read"].items()}

    def documents() -> Iterator[pa.RecordBatch]:
        for batch in _left_over(job, read_shard(shards["prepared"]), handles, rejects):
            source = batch.column("source")[0].as_py()
            if annotators is None:
                size = pc.sum(batch.column("record_bytes")).as_py()
                ledgers[source] += Ledger(records_failed=batch.num_rows, bytes_failed=size)
                continue
            annotators.open(batch.column("lang").unique().to_pylist())  # what is not installed is no record's fault
            for kept, rejected in guarded(
                "annotate", partial(_annotate, annotators=annotators), batch, keep_text=job.settings.rejects_hold_text
            ):
                rejects.append(pa.Table.from_batches([rejected]))
                if kept.num_rows:
                    ledgers[source] += _kept_ledger(kept)
                    yield pa.RecordBatch.from_arrays([kept.column(name) for name in schema.names], schema=schema)

    versions = job.annotators
    schema = DOCUMENTS.with_metadata({**(DOCUMENTS.metadata or {}), b"annotators": canonical_json(versions)})
    path = job.temporary(f"documents-{stem}")
    rows = write_shard(path, schema, documents(), compress=True)
    files = [job.draft.adopt(path, folder="documents", stem=stem, suffix=".arrow", role="documents", rows=rows)]
    rejected = pa.concat_tables(rejects).sort_by("seq")
    path = job.temporary(f"rejects-{stem}")
    batches = rejected.select(REJECTS.names).combine_chunks().to_batches(max_chunksize=_REJECTED_ROWS)
    rows = write_shard(path, REJECTS, batches, compress=True)
    files.append(job.draft.adopt(path, folder="rejects", stem=stem, suffix=".arrow", role="rejects", rows=rows))
    if job.kinds_of_parts:  # later versions must know that no part of these counts
        files.append(_dropped(job, stem, handles))
    ledgers = {source: ledger + rejected_ledger(rejected, source) for source, ledger in ledgers.items()}
    return job.draft.add_part(STAGE, stem, files, ledgers, {**prepared_failure(prepared), **facts, "annotators": versions})


def _dropped(job: Job, stem: str, handles: Sequence[Handle]) -> File:
    """A file of the rows that duplicates drop."""
    rows = [job.read(handle)["row"].to_numpy() for handle in handles if handle.kind in LOSERS]
    found = np.unique(np.concatenate([np.empty(0, np.uint32), *rows]))
    path = job.temporary(f"dropped-{stem}")
    write_shard(path, DROPPED, [pa.record_batch([found], schema=DROPPED)], compress=False)
    return job.draft.adopt(path, folder="dropped", stem=stem, suffix=".arrow", role="digests", rows=len(found))


def prepared_failure(prepared: Part) -> dict[str, Any]:
    """What a split's first stage says of its failure, if it failed."""
    return {"failed": prepared.facts["failed"]} if "failed" in prepared.facts else {}


def _kept_ledger(batch: pa.RecordBatch) -> Ledger:
    cleaned: Counter[str] = Counter()
    for kinds in batch.column("cleaned").drop_null().to_pylist():
        cleaned.update(orjson.loads(kinds))
    size = pc.sum(batch.column("record_bytes")).as_py()
    counts = {kind: pc.sum(pc.struct_field(batch.column("redacted"), kind)).as_py() for kind in REDACTED}
    redacted = {kind: count for kind, count in sorted(counts.items()) if count}
    return Ledger(records_kept=batch.num_rows, bytes_kept=size, cleaned=dict(sorted(cleaned.items())), redacted=redacted)


def _left_over(job: Job, prepared: pa.Table, handles: Sequence[Handle], rejects: list[pa.Table]) -> Iterator[pa.RecordBatch]:
    """The prepared batches without losers, and without parts that are cut; what goes is appended to `rejects`."""
    reasons = _near_reasons([job.read(handle) for handle in handles if handle.kind == "near"])
    losers = [job.read(handle) for handle in handles if handle.kind == "losers"]
    for row, first, conflict in chain.from_iterable(_columns(table, "row", "first", "conflict") for table in losers):
        reasons[row] = ("label_conflict", conflict) if conflict else ("exact_duplicate", f"of {first.hex()}")
    cuts = Cuts(job, handles)
    start = 0
    for batch in prepared.to_batches():
        numbers = range(start, start + batch.num_rows)
        start += batch.num_rows
        batch, lost = sift(batch, "duplicates", [reasons.get(row) for row in numbers], keep_text=job.settings.rejects_hold_text)
        batch, repeated = cuts.cut_repeated(batch, [row for row in numbers if row not in reasons])
        batch, shared = cuts.cut_shared(batch)
        rejects += [pa.Table.from_batches([dropped]) for dropped in (lost, repeated, shared)]
        if batch.num_rows:
            yield batch


def _near_reasons(losers: Sequence[pa.Table]) -> dict[int, Verdict]:
    """By row, of which document it is a near duplicate: of the earliest, if partitions found several."""
    earliest: dict[int, tuple[int, int]] = {}
    reasons: dict[int, Verdict] = {}
    names = ("row", "first_split", "first_row", "first", "estimate")
    for row, split, place, first, estimate in chain.from_iterable(_columns(table, *names) for table in losers):
        if row not in earliest or (split, place) < earliest[row]:
            earliest[row] = split, place
            reasons[row] = "near_duplicate", f"of {first.hex()}, estimated Jaccard similarity {estimate:.2f}"
    return reasons


def _annotate(batch: pa.RecordBatch, annotators: Annotators) -> Sifted:
    """Add sentence ends, words and parts of speech, in the batch's order whatever its languages."""
    langs = np.array(batch.column("lang").to_pylist(), dtype=object)
    texts = batch.column("text")
    made, order = [], []
    for lang in sorted(set(langs)):
        rows = np.flatnonzero(langs == lang)
        made.append(annotators.engine(lang).annotate(texts.take(pa.array(rows))))
        order.append(rows)
    back = pa.array(np.argsort(np.concatenate(order)))
    names = ("sentence_ends", "word_starts", "word_ends", "pos")
    columns = {
        name: pa.concat_arrays([getattr(annotations, name).cast(DOCUMENTS.field(name).type) for annotations in made]).take(back)
        for name in names
    }
    return sift(with_columns(batch, **columns), "annotate", [None] * len(texts), keep_text=False)


def _columns(table: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)
