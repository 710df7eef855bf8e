"""The model: to *tokenize* directly is to make token shards from raw files without a documents step: nothing is cleaned, judged,
compared or annotated; each record is a document as it stands. For text that is prepared already.

    split -> records -> batch -> encoder -> token shard     row i of each is one record, in the order of the files
                                         -> places shard    where each row lies: uri, record, record_bytes
                     -> reject shard                        records without a text: bad JSON, a missing key, wrong bytes

Splits, formats, ids of documents and ledgers are those of the documents step. `python -m pipelines.tokenize DRAFT` goes on where
an earlier process stopped; the bytes written depend neither on the number of processes nor on the engine.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.clean.decode import Undecodable, decode
from pipelines.encode import AnyEncoder, NotLossless, open_encoder
from pipelines.origin import doc_ids
from pipelines.prepare import inputs_ledger
from pipelines.sources import Record, open_piece, read_records
from pipelines.sources import engines as source_engines
from pipelines.spared import spare
from pipelines.stages import BATCH_BYTES, BATCH_ROWS
from pipelines.tokens import checks_of, encode_batch, tell_checks, trusting
from pipelines.workers import for_each
from schemas.arrow import PLACES, REJECTS, tokens_schema, write_shard
from schemas.artifact import File
from schemas.child import run_child
from schemas.draft import Draft
from schemas.errors import RequestError
from schemas.fingerprint import digest_file
from schemas.ledger import Ledger
from schemas.recipe import Source, Tokens

STEP_VERSION: int = 2
"""Raised by hand when the output of this step changes."""

STAGE = STEP = "tokenize"
TOKENIZER_STAGE = "tokenizer"
TOKENIZER = "tokenizer/file"
"""Where the tokenizer.json lies, among the roots of a draft (no source's name has a slash)."""

_MAX_RECORD_BYTES = 1 << 30
"""A longer record is rejected as `too_long`: an offset in a document has 32 bits."""


def engines(source: Source) -> dict[str, str]:
    """Versions of what decides the tokens, for fingerprints: ids are the reference's, whatever computes them."""
    return {"tokenizers": version("tokenizers"), "pyarrow": version("pyarrow"), **source_engines([source])}


def run(draft: Draft, workers: int = 1) -> None:
    """Tokenize every split of the draft that has no valid part record yet. Raises `RequestError` if the tokenizer has changed."""
    if digest_file(draft.task["roots"][TOKENIZER]) != draft.settings["tokenizer"]:
        raise RequestError(f"{draft.task['roots'][TOKENIZER]}: is not the tokenizer that this run was planned with. Run again to plan anew")
    _keep_tokenizer(draft)
    todo = [split["ordinal"] for split in draft.plan["splits"] if draft.part(STAGE, _key(split["ordinal"])) is None]
    path = str(draft.path)
    for_each(_tokenize_split, [(path, ordinal) for ordinal in todo], workers, make_ready=lambda: _opened(path))
    tell_checks(draft.scratch())


def _keep_tokenizer(draft: Draft) -> None:
    """A copy of the tokenizer beside its tokens, which mean nothing without it."""
    if draft.part(TOKENIZER_STAGE, TOKENIZER_STAGE) is None:
        temporary = draft.scratch() / f"tokenizer-{uuid.uuid4().hex}.json"
        temporary.write_bytes(Path(draft.task["roots"][TOKENIZER]).read_bytes())
        draft.add_part(TOKENIZER_STAGE, TOKENIZER_STAGE, [draft.adopt_as(temporary, "tokenizer.json", "tokenizer")])


class _Work(NamedTuple):
    """A draft at work in this process."""

    draft: Draft
    source: Source
    encoder: AnyEncoder
    schema: pa.Schema


@lru_cache(maxsize=1)
def _opened(path: str) -> _Work:
    draft = Draft.open(path)
    settings = draft.settings
    encoder = open_encoder(Path(draft.task["roots"][TOKENIZER]), Tokens(engine=settings["engine"]).engine)
    made_by = {"tokenizer": settings["tokenizer"], "engine": encoder.version, "vocab_size": str(encoder.vocab_size)}
    source = Source.model_validate({**settings["source"], "path": ""})
    return _Work(draft, source, encoder, tokens_schema(encoder.vocab_size, made_by))


def _tokenize_split(path: str, ordinal: int) -> None:
    work = _opened(path)
    draft, key = work.draft, _key(ordinal)
    with checks_of(work.encoder, draft.scratch(), key):
        shards = trusting(work.encoder, lambda encoder: _Shards(work, encoder, draft.plan["splits"][ordinal]))
    files = [
        draft.adopt(shards.tokens, folder="tokens", stem=key, suffix=".arrow", role="tokens", rows=shards.rows),
        _adopted(draft, "places", key, pa.Table.from_batches(shards.places, PLACES)),
        _adopted(draft, "rejects", key, pa.Table.from_pylist(shards.rejects, REJECTS)),
    ]
    draft.add_part(STAGE, key, files, ledgers={work.source.name: shards.ledger}, facts=shards.facts)


def _adopted(draft: Draft, role: str, key: str, table: pa.Table) -> File:
    path = draft.scratch() / f"{role}-{key}-{uuid.uuid4().hex}.arrow"
    rows = write_shard(path, table.schema, table.to_batches(), compress=True)
    return draft.adopt(path, folder=role, stem=key, suffix=".arrow", role=role, rows=rows)


class _Shards:
    """What one split becomes."""

    def __init__(self, work: _Work, encoder: AnyEncoder, split: dict[str, Any]) -> None:
        self._work, self._encoder, self._split = work, encoder, split
        self.places: list[pa.RecordBatch] = []
        self.rejects: list[dict[str, Any]] = []
        self.ledger = inputs_ledger(split).get(work.source.name, Ledger())
        self._lang = work.source.lang or "und"  # ISO 639: undetermined
        self._totals = {"tokens": 0, "bytes": 0} | ({} if encoder.lossless else {"uncovered": 0})
        self.tokens = work.draft.scratch() / f"tokens-{_key(split['ordinal'])}-{uuid.uuid4().hex}.arrow"
        self.rows = write_shard(self.tokens, work.schema, self._batches(), compress=False)

    @property
    def facts(self) -> dict[str, Any]:
        return {what: {self._lang: {"train": total}} if self.rows else {} for what, total in self._totals.items()}

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for piece in self._split["pieces"]:
            file = open_piece(piece, self._work.source, self._work.draft.task["roots"][self._work.source.name])
            kept: list[Record] = []
            size = read = owned = 0
            for record in read_records(file, self._work.source, _MAX_RECORD_BYTES):
                read, owned = read + 1, owned + record.size
                if not record.fault and not file.gives_utf8:
                    record = _as_utf8(record, record.encoding or file.encoding)
                if record.fault:
                    self._reject(file.uri, record)
                    continue
                kept.append(record)
                size += len(record.raw)
                if size >= BATCH_BYTES or len(kept) >= BATCH_ROWS:
                    yield self._encoded(file.uri, kept)
                    kept, size = [], 0
            if kept:
                yield self._encoded(file.uri, kept)
            self.ledger += Ledger(records_read=read, bytes_read=file.owned, bytes_framing=file.owned - owned)

    def _encoded(self, uri: str, records: list[Record]) -> pa.RecordBatch:
        name, n, uris = self._work.source.name, len(records), [record.uri(uri) for record in records]
        offsets, sizes, digests, raws = zip(*(record[:4] for record in records), strict=True)
        ids = pa.array(doc_ids(name, uris, offsets, digests), pa.binary(16))
        documents = {
            "doc_id": ids,
            "source": pa.array([name] * n, pa.string()),
            "lang": pa.array([self._lang] * n, pa.string()),
            "subset": pa.array(["train"] * n, pa.string()),
            "weight": pa.array(np.ones(n, np.float32)),
            "text": _strings(raws),
        }
        try:
            encoded, uncovered = encode_batch(pa.RecordBatch.from_pydict(documents), self._encoder, self._work.schema)
        except NotLossless as error:
            raise NotLossless(f"{uri}: {error}") from error
        self._totals["tokens"] += len(encoded.column("tokens").values)
        self._totals["bytes"] += sum(map(len, raws))
        if "uncovered" in self._totals:
            self._totals["uncovered"] += int(uncovered.sum())
        self.ledger += Ledger(records_kept=n, bytes_kept=sum(sizes))
        columns = [ids, documents["source"], pa.array(uris, pa.string()), pa.array(offsets, pa.int64()), pa.array(sizes, pa.int64())]
        self.places.append(pa.RecordBatch.from_arrays(columns, schema=PLACES))
        return encoded

    def _reject(self, uri: str, record: Record) -> None:
        assert record.fault is not None
        reason, detail = record.fault
        uri = record.uri(uri)
        (doc_id,) = doc_ids(self._work.source.name, [uri], [record.offset], [record.digest])
        place = {"doc_id": doc_id, "source": self._work.source.name, "uri": uri, "record": record.offset, "record_bytes": record.size}
        self.rejects.append({**place, "stage": "read", "reason": reason, "detail": detail, "text": None})
        self.ledger += Ledger(rejected={reason: 1}, bytes_rejected={reason: record.size})


def _as_utf8(record: Record, encoding: str) -> Record:
    """The record with its text in UTF-8, or with a fault."""
    try:
        return record._replace(raw=decode(record.raw, encoding).encode())
    except Undecodable as error:
        return record._replace(fault=("undecodable", error.detail))


def _strings(raws: tuple[bytes, ...]) -> pa.StringArray:
    """A column of texts that are known to be UTF-8."""
    offsets = np.zeros(len(raws) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, raws), np.int32, len(raws)), out=offsets[1:])
    return pa.StringArray.from_buffers(len(raws), pa.py_buffer(offsets), pa.py_buffer(b"".join(raws)))


def _key(ordinal: int) -> str:
    return f"{ordinal:05d}"


def main(arguments: list[str]) -> int:
    """Run the step on the draft at `arguments[0]`; return the exit code."""
    spare()
    return run_child("pipelines.tokenize", arguments, lambda draft: run(draft, draft.task["run"]["workers"]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
