"""The model: a gain is *askable* if text is held out that it could be measured on. That is looked at before anything is spent: what a gate
could not judge is not made. Nothing is compared with training text yet, so the gate itself may still find that none is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.retraining.news import is_known
from schemas.arrow import read_batches
from schemas.artifact import Artifact
from schemas.sampling import SAMPLED, times_read


def is_askable(before: Artifact, documents: Artifact, on: Literal["new", "old", "both"]) -> bool:
    """Whether a gain can be measured on the test subset of the documents `before`, of those that came since, or of either."""
    if on in ("old", "both") and _has_test(before, pa.array([], pa.binary(16))):
        return True
    return on in ("new", "both") and _has_test(documents, _ids(before))


def _has_test(documents: Artifact, known: pa.Array) -> bool:
    """Whether any document of the test subset is not among those that are known by their ids."""
    for batch in _batches(documents, SAMPLED):
        test = pc.equal(batch.column("subset"), "test").to_numpy(zero_copy_only=False)
        if np.any(test & (times_read(batch) > 0) & ~is_known(batch, known)):
            return True
    return False


def _ids(documents: Artifact) -> pa.Array:
    columns = [batch.column("doc_id") for batch in _batches(documents, ("doc_id",))]
    return pa.concat_arrays(columns) if columns else pa.array([], pa.binary(16))


def _batches(documents: Artifact, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    return (batch for path in documents.paths("documents") for batch in read_batches(path, columns))
