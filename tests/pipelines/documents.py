"""Small documents artifacts, written as the documents step writes them, for tests of the steps behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import xxhash

from pipelines.annotate import open_annotator
from pipelines.rules import measure
from schemas.arrow import DOCUMENTS, write_shard
from schemas.artifact import Artifact
from schemas.draft import Draft
from schemas.fingerprint import Identity
from schemas.recipe import Annotator

Document = tuple[str, str, str] | tuple[str, str, str, str]
"""Text, language, subset, and the source if it isn't `s`."""


def batch_of(documents: Sequence[Document]) -> pa.RecordBatch:
    """One record batch of a document shard; ids are digests of text and subset, annotations are the plain engine's."""
    texts, langs, subsets = ([document[i] for document in documents] for i in range(3))
    found = open_annotator(Annotator(engine="plain"), "code").annotate(pa.array(texts, pa.string()))
    n = len(texts)
    columns = {
        "doc_id": pa.array([xxhash.xxh3_128(f"{number}{d}".encode()).digest() for number, d in enumerate(documents)], pa.binary(16)),
        "source": [document[3] if len(document) > 3 else "s" for document in documents],
        "uri": ["u"] * n,
        "record": np.arange(n),
        "record_bytes": [len(text.encode()) for text in texts],
        "clean_is_identity": [True] * n,
        "text": texts,
        "lang": langs,
        "lang_score": [1.0] * n,
        "origin_group": np.arange(n),
        "subset": subsets,
        "signals": measure(texts, langs),
        "flags": [[]] * n,
        "weight": [1.0] * n,
        "redacted": [None] * n,
        "extra": [None] * n,
        **found._asdict(),
    }
    return pa.RecordBatch.from_arrays([_array(columns[field.name], field.type) for field in DOCUMENTS], schema=DOCUMENTS)


def _array(values: object, kind: pa.DataType) -> pa.Array:
    return values if isinstance(values, pa.Array) else pa.array(values, kind)


def documents_artifact(folder: Path, shards: Sequence[Sequence[Sequence[Document]]]) -> Artifact:
    """A committed documents artifact in `folder`: shards of record batches of documents."""
    draft = Draft.start(folder, "documents", "test", Identity("documents", 1, {}, {}, {}))
    for number, batches in enumerate(shards):
        path = draft.scratch() / f"{number}.arrow"
        rows = write_shard(path, DOCUMENTS, map(batch_of, batches), compress=True)
        file = draft.adopt(path, folder="documents", stem=f"{number:05d}", suffix=".arrow", role="documents", rows=rows)
        draft.add_part("finish", f"{number:05d}", [file])
    return draft.commit(["finish"])


def step_draft(folder: Path, kind: str, settings: Mapping[str, object], inputs: Mapping[str, Artifact]) -> Draft:
    """A draft of a later step, assigned as flows assign it."""
    digests = {role: artifact.manifest.content_digest for role, artifact in inputs.items()}
    draft = Draft.start(folder, kind, "test", Identity(kind, 1, settings, digests, {}))
    draft.assign(inputs={role: artifact.path for role, artifact in inputs.items()}, roots={}, run={"workers": 2})
    return draft
