"""The model: a gain is *askable* if enough text is held out that it could be measured on. That is looked at before anything is spent:
what a gate could not judge is not made. Nothing is compared with training text yet, so the gate itself may find that too little is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from flows.retraining.news import is_known
from model.metrics.gating import FEWEST
from schemas.arrow import read_batches
from schemas.artifact import Artifact
from schemas.sampling import SAMPLED, times_read


def is_askable(before: Artifact, documents: Artifact, on: Literal["new", "old", "both"]) -> bool:
    """Whether a gain can be measured on the test subset of the documents `before`, of those that came since, or of both."""
    count = _tests(before, pa.array([], pa.binary(16))) if on != "new" else 0
    if count < FEWEST and on != "old":
        count += _tests(documents, _ids(before))
    return count >= FEWEST


def _tests(documents: Artifact, known: pa.Array) -> int:
    """Documents of the test subset that are not among those known by their ids."""
    count = 0
    for batch in _batches(documents, SAMPLED):
        test = pc.equal(batch.column("subset"), "test").to_numpy(zero_copy_only=False)
        count += int((test & (times_read(batch) > 0) & ~is_known(batch, known)).sum())
    return count


def _ids(documents: Artifact) -> pa.Array:
    columns = [batch.column("doc_id") for batch in _batches(documents, ("doc_id",))]
    return pa.concat_arrays(columns) if columns else pa.array([], pa.binary(16))


def _batches(documents: Artifact, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    return (batch for path in documents.paths("documents") for batch in read_batches(path, columns))
