"""The model: *preparing* a split reads its records and takes them through the record stages. What is kept goes to a work
file, with the digests that duplicates are found by; what isn't goes to rejects. Only handles come out.

Text never leaves the process but to disk, and memory is bounded by the batch (and by the split for its rejects, digests
and signatures).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import pyarrow as pa

from pipelines.dedup.near import NearRun
from pipelines.dedup.parts import PartRun
from pipelines.dedup.runs import DigestRun
from pipelines.job import Handle, Job, key_of
from pipelines.origin import doc_ids
from pipelines.places import naming, place_of
from pipelines.record_stages import run_stages
from pipelines.replay import REPLAYED, only, replayed_ids
from pipelines.sources import open_piece, read_records
from pipelines.stages import BATCH_BYTES, BATCH_ROWS, PREPARED, PREPARED_REJECTS, RAW, rejected_ledger
from schemas.arrow import write_shard
from schemas.artifact import Part
from schemas.ledger import Ledger
from schemas.recipe import Corpus

STAGE = "prepare"

Run = DigestRun | PartRun | NearRun


def prepare_split(job: Job, ordinal: int) -> list[tuple[int, Handle]]:
    """Prepare a split, unless a part record says that it is done; return (partition, handle) of its runs."""
    part = job.draft.part(STAGE, key_of(ordinal))
    if part is None:
        with job.attempt(STAGE, key_of(ordinal)):
            part = _prepare(job, ordinal)
    return run_handles(part, ordinal)


def run_handles(part: Part, ordinal: int) -> list[tuple[int, Handle]]:
    """(partition, handle) of each run that a part of this stage wrote, empty ones too: every partition leaves a part record."""
    handles = []
    files = {file.path.split("/")[-2]: file for file in part.files}
    for kind, offsets in part.facts["offsets"].items():
        for partition, (start, end) in enumerate(pairwise(offsets)):
            handles.append((partition, Handle(kind, ordinal, files[kind].path, start, end - start, files[kind].digest)))
    if (file := files.get("signatures")) is not None:  # whoever meets in a band, in whatever partition, is looked up in them
        whole = Handle("signatures", ordinal, file.path, 0, file.rows or 0, file.digest)
        handles += [(partition, whole) for partition in range(part.facts["partitions"])]
    return handles


def _prepare(job: Job, ordinal: int) -> Part:
    split = job.split[ordinal]
    ledgers = inputs_ledger(split)
    encodings: dict[str, Counter[str]] = {}
    rejects: list[pa.RecordBatch] = []
    batches = read_batches(split, job.settings, job.roots, ledgers, encodings)
    if REPLAYED in split and job.parent is not None:  # all else in its files was counted when they were read first
        ledgers = dict.fromkeys(ledgers, Ledger())
        batches = only(read_batches(split, job.settings, job.roots, inputs_ledger(split), {}), replayed_ids(job.parent, split), ledgers)
    runs = _open_runs(job)

    def prepared() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            source = job.sources[batch.column("source")[0].as_py()]
            for sifted in run_stages(batch, source, job.settings, job.evaluation_index, job.tombstones):
                rejects.append(sifted.rejects)
                if sifted.kept.num_rows:
                    for run in runs:
                        run.add(sifted.kept)
                    yield sifted.kept

    return _record(job, ordinal, prepared(), rejects, runs, ledgers, {"encodings": encodings})


def record_failed(job: Job, ordinal: int, why: str) -> Part:
    """Record that a split could not be prepared: each of its pieces counts as one failed record, with its bytes as stored."""
    split = job.split[ordinal]
    ledgers = inputs_ledger(split)
    for piece in split["pieces"]:
        size = piece["end"] - piece["start"]
        ledgers[piece["source"]] += Ledger(records_read=1, records_failed=1, bytes_read=size, bytes_failed=size)
    return _record(job, ordinal, iter(()), [], _open_runs(job), ledgers, {"failed": why})


def _open_runs(job: Job) -> list[Run]:
    runs: list[Run] = [DigestRun(job.settings.dedup.conflict_field)]
    runs += [PartRun(kind, at_least) for kind, at_least in job.kinds_of_parts.items()]
    if (near := job.settings.dedup.near) is not None:
        runs.append(NearRun(near))
    return runs


def _record(
    job: Job,
    ordinal: int,
    prepared: Iterator[pa.RecordBatch],
    rejects: list[pa.RecordBatch],
    runs: list[Run],
    ledgers: dict[str, Ledger],
    facts: dict[str, Any],
) -> Part:
    """Write all files of a part, and its record. `rejects`, `runs`, `ledgers` and `facts` fill while `prepared` is drawn."""
    stem = key_of(ordinal)
    path = job.temporary(f"prepared-{stem}")
    rows = write_shard(path, PREPARED, prepared, compress=True)
    files = [job.draft.adopt(path, folder="work/prepared", stem=stem, suffix=".arrow", role="work", rows=rows)]
    table = pa.Table.from_batches([batch for batch in rejects if batch.num_rows], PREPARED_REJECTS)
    path = job.temporary(f"rejects-{stem}")
    rows = write_shard(path, PREPARED_REJECTS, table.to_batches(), compress=True)
    files.append(job.draft.adopt(path, folder="work/rejects", stem=stem, suffix=".arrow", role="work", rows=rows))
    offsets = {}
    for run in runs:
        path = job.temporary(f"{run.kind}-{stem}")
        offsets[run.kind] = run.write(path, job.partitions)
        files.append(job.draft.adopt(path, folder=run.folder, stem=stem, suffix=".arrow", role=run.role, rows=offsets[run.kind][-1]))
        if isinstance(run, NearRun):
            path = job.temporary(f"signatures-{stem}")
            rows = run.write_signatures(path)
            files.append(job.draft.adopt(path, folder="signatures", stem=stem, suffix=".arrow", role="digests", rows=rows))
    read = {source: ledger + rejected_ledger(table, source) for source, ledger in ledgers.items()}
    facts |= {
        "partitions": job.partitions,
        "offsets": offsets,
        "read": {source: ledger.as_json() for source, ledger in sorted(read.items())},
        "unreadable": job.split[ordinal]["unreadable"],
    }
    return job.draft.add_part(STAGE, stem, files, facts=facts)


def inputs_ledger(split: dict[str, Any]) -> dict[str, Ledger]:
    """Inputs of a split by source: a file that ranges cut counts where it begins."""
    read: Counter[str] = Counter(piece["source"] for piece in split["pieces"] if piece["start"] == 0)
    empty: Counter[str] = Counter(source for source, _ in split["empty"])
    unreadable: Counter[str] = Counter(source for source, _, _ in split["unreadable"])
    names = {piece["source"] for piece in split["pieces"]} | empty.keys() | unreadable.keys()
    return {n: Ledger(read[n] + empty[n] + unreadable[n], read[n], empty[n], unreadable[n]) for n in sorted(names)}


def read_batches(
    split: Mapping[str, Any],
    settings: Corpus,
    roots: Mapping[str, str],
    ledgers: dict[str, Ledger] | None = None,
    encodings: dict[str, Counter[str]] | None = None,
) -> Iterator[pa.RecordBatch]:
    """The records of a split as batches of schema RAW, each of one source.

    Counts what is read into `ledgers`, and by source the files that begin here by their encoding into `encodings`.
    """
    sources = {source.name: source for source in settings.sources}
    rows: list[tuple[Any, ...]] = []
    size, seq, name = 0, 0, ""
    for piece in split["pieces"]:
        if piece["source"] != name and rows:
            yield _raw_batch(rows, name)
            rows, size = [], 0
        name = piece["source"]
        source = sources[name]
        records = owned = 0
        with naming(place_of(roots[name], piece["uri"]).name):
            file = open_piece(piece, source, roots[name])
            for record in read_records(file, source, settings.clean.max_document_bytes):
                rows.append((seq, record.uri(file.uri), record.encoding or file.raw_encoding, record))
                seq, records, owned, size = seq + 1, records + 1, owned + record.size, size + len(record.raw)
                if size >= BATCH_BYTES or len(rows) >= BATCH_ROWS:
                    yield _raw_batch(rows, name)
                    rows, size = [], 0
        if file.encodings and encodings is not None:
            encodings.setdefault(name, Counter()).update(file.encodings)
        if ledgers is not None:
            ledgers[name] += Ledger(records_read=records, bytes_read=file.owned, bytes_framing=file.owned - owned)
    if rows:
        yield _raw_batch(rows, name)


def _raw_batch(rows: list[tuple[Any, ...]], source: str) -> pa.RecordBatch:
    seqs, uris, encodings, records = zip(*rows, strict=True)
    offsets, sizes, digests, raws, extras, faults, _, _ = zip(*records, strict=True)
    columns = {
        "seq": seqs,
        "doc_id": doc_ids(source, uris, offsets, digests),
        "source": [source] * len(rows),
        "uri": uris,
        "record": offsets,
        "record_bytes": sizes,
        "digest": digests,
        "raw": raws,
        "encoding": encodings,
        "extra": extras,
        "reason": [fault and fault[0] for fault in faults],
        "detail": [fault and fault[1] for fault in faults],
    }
    return pa.RecordBatch.from_arrays([pa.array(columns[field.name], field.type) for field in RAW], schema=RAW)
