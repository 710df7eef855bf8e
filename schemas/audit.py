"""The model: an *audit* derives what a manifest claims from the files themselves. Each *finding* names a file.

Digests and sizes of all files, part records and plan; rows of shards; for documents the ledger from the rows of its
shards; for tokens the alignment of rows with the documents or places they came from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from schemas.arrow import REDACTED, read_shard
from schemas.artifact import Artifact, File, Part
from schemas.draft import PLAN
from schemas.fingerprint import canonical_json, digest_file, digest_json, read_json

_WITH_RECORDS = ("finish", "tokenize")
"""Stages whose shards hold every record that was read."""


def audit(artifact: Artifact, documents: Artifact | None = None) -> list[str]:
    """All findings, empty if the artifact is sound. `documents` is the input of a tokens artifact, if it is at hand."""
    findings = [*_plan(artifact), *_records(artifact), *_strays(artifact)]
    damaged = set()
    for file in artifact.manifest.files():
        for finding in _file(artifact.path, file):
            damaged.add(file.path)
            findings.append(finding)
    for part in artifact.manifest.parts:
        if part.stage in _WITH_RECORDS and not damaged & {f.path for f in part.files}:
            findings += [*_ledger(artifact.path, part), *_places(artifact.path, part)]
    if artifact.kind == "tokens" and documents is not None and not damaged:
        findings += _alignment(artifact, documents)
    for source, ledger in artifact.manifest.ledgers.items():
        findings += [f"{artifact.path / 'manifest.json'}: source {source}: {p}" for p in ledger.imbalances()]
    return findings


def _plan(artifact: Artifact) -> Iterator[str]:
    path = artifact.path / PLAN
    if not path.is_file():
        yield f"{path}: is missing"
    else:
        try:
            sound = digest_json(read_json(path)) == artifact.manifest.plan_digest
        except ValueError:
            sound = False
        if not sound:
            yield f"{path}: was changed after it was committed"


def _records(artifact: Artifact) -> Iterator[str]:
    for part in artifact.manifest.parts:
        path = artifact.path / part.record_path
        if not path.is_file():
            yield f"{path}: is missing"
            continue
        try:
            recorded = Part.from_json(read_json(path))
        except (ValueError, KeyError, TypeError) as error:
            yield f"{path}: not a part record: {error}"
            continue
        kept = Part(recorded.stage, recorded.key, tuple(f for f in recorded.files if f.role != "work"), recorded.ledgers, recorded.facts)
        if canonical_json(kept.as_json()) != canonical_json(part.as_json()):
            yield f"{path}: differs from the manifest"


def _strays(artifact: Artifact) -> Iterator[str]:
    """Data files that no part record lists: readers never see them, so they can only be a mistake."""
    listed = {file.path for part in artifact.manifest.own_parts for file in part.files}
    for folder in sorted({Path(p).parts[0] for p in listed if "/" in p}):
        for path in sorted((artifact.path / folder).rglob("*")):
            if path.is_file() and path.relative_to(artifact.path).as_posix() not in listed:
                yield f"{path}: is not listed in the manifest"


def _file(folder: Path, file: File) -> Iterator[str]:
    path = folder / file.path
    if not path.is_file():
        yield f"{path}: is missing"
        return
    if path.stat().st_size != file.bytes:
        yield f"{path}: has {path.stat().st_size:,} bytes, recorded were {file.bytes:,}"
    elif digest_file(path) != file.digest:
        yield f"{path}: its bytes are not those that were committed (digest differs)"
    elif file.rows is not None and path.suffix == ".arrow":
        rows = read_shard(path).num_rows
        if rows != file.rows:
            yield f"{path}: has {rows:,} rows, recorded were {file.rows:,}"


def _ledger(folder: Path, part: Part) -> Iterator[str]:
    """Compare a part's ledgers with the rows of its shards, source by source."""
    kept: Counter[str] = Counter()
    kept_bytes: Counter[str] = Counter()
    redacted: Counter[tuple[str, str]] = Counter()
    rejected: Counter[tuple[str, str]] = Counter()
    rejected_bytes: Counter[tuple[str, str]] = Counter()
    for file in part.files:
        if file.role in ("documents", "places"):
            shard = read_shard(folder / file.path)
            redacted.update(_redacted(shard))
            table = shard.group_by("source").aggregate([("record_bytes", "sum"), ("record_bytes", "count")])
            for source, total, count in zip(*_columns(table, "source", "record_bytes_sum", "record_bytes_count"), strict=True):
                kept[source] += count
                kept_bytes[source] += total
        elif file.role == "rejects":
            table = read_shard(folder / file.path)
            table = table.group_by(["source", "reason"]).aggregate([("record_bytes", "sum"), ("record_bytes", "count")])
            columns = _columns(table, "source", "reason", "record_bytes_sum", "record_bytes_count")
            for source, reason, total, count in zip(*columns, strict=True):
                rejected[source, reason] += count
                rejected_bytes[source, reason] += total
    record = folder / part.record_path
    for source in sorted(part.ledgers.keys() | kept.keys() | {s for s, _ in rejected}):
        ledger = part.ledgers.get(source)
        if ledger is None:
            yield f"{record}: has no ledger for source {source}, of which its shards have rows"
            continue
        if (ledger.records_kept, ledger.bytes_kept) != (kept[source], kept_bytes[source]):
            yield f"{record}: source {source}: kept {ledger.records_kept:,} in the ledger, {kept[source]:,} in the shards"
        for kind in sorted(ledger.redacted.keys() | {k for s, k in redacted if s == source}):
            if ledger.redacted.get(kind, 0) != redacted[source, kind]:
                claim = f"{ledger.redacted.get(kind, 0):,} values in the ledger, {redacted[source, kind]:,} in the shards"
                yield f"{record}: source {source}: redacted {kind} {claim}"
        for reason in sorted(ledger.rejected.keys() | {r for s, r in rejected if s == source}):
            claimed = (ledger.rejected.get(reason, 0), ledger.bytes_rejected.get(reason, 0))
            found = (rejected[source, reason], rejected_bytes[source, reason])
            if claimed != found:
                yield f"{record}: source {source}: {reason} {claimed[0]:,} in the ledger, {found[0]:,} in the shards"


def _redacted(shard: pa.Table) -> dict[tuple[str, str], int]:
    """Values that were replaced in the texts of a shard, by source and kind."""
    if "redacted" not in shard.column_names:  # places have none
        return {}
    columns = pa.table({"source": shard.column("source"), **{kind: pc.struct_field(shard.column("redacted"), kind) for kind in REDACTED}})
    sums = columns.group_by("source").aggregate([(kind, "sum") for kind in REDACTED])
    return {(row["source"], kind): row[f"{kind}_sum"] for row in sums.to_pylist() for kind in REDACTED if row[f"{kind}_sum"]}


def _places(folder: Path, part: Part) -> Iterator[str]:
    """Compare the rows of token shards with the places beside them, if there are any."""
    shards = {role: [folder / file.path for file in part.files if file.role == role] for role in ("tokens", "places")}
    for tokens, places in zip(shards["tokens"], shards["places"], strict=bool(shards["places"])):
        if read_shard(tokens).column("doc_id") != read_shard(places).column("doc_id"):
            yield f"{tokens}: its rows are not aligned with {places}"


def _columns(table: pa.Table, *names: str) -> list[list[object]]:
    return [table.column(name).to_pylist() for name in names]


def _alignment(tokens: Artifact, documents: Artifact) -> Iterator[str]:
    if documents.manifest.content_digest != tokens.manifest.identity.inputs.get("documents"):
        yield f"{documents.path}: is not the documents artifact that {tokens.reference} was made from"
        return
    ours, theirs = tokens.paths("tokens"), documents.paths("documents")
    if len(ours) != len(theirs):
        yield f"{tokens.path}: {len(ours)} token shards for {len(theirs)} document shards"
        return
    for token_shard, document_shard in zip(ours, theirs, strict=True):
        a, b = read_shard(token_shard), read_shard(document_shard)
        if a.column("doc_id") != b.column("doc_id"):
            yield f"{token_shard}: its rows are not aligned with {document_shard}"
        elif "weight" in a.column_names and a.column("weight") != b.column("weight"):
            yield f"{token_shard}: its weights are not those of {document_shard}"
        elif pc.sum(a.column("n_bytes")).as_py() != pc.sum(pc.binary_length(b.column("text"))).as_py():
            yield f"{token_shard}: n_bytes is not the length of the texts of {document_shard}"
