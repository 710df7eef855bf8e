"""The model: of documents in a token space, those are *known* that earlier tokens have as well: *old* ones; the others are *new*.

Shards that both share tell it of all their documents at once. Others, as compaction, forgetting and full builds leave them, are asked id by
id: then the ids of those earlier shards are held, 16 bytes a document.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from schemas.arrow import read_batches
from schemas.artifact import Artifact, Damaged, File

OLD, NEW = "old", "new"


class Known:
    """What earlier tokens know of a token space."""

    def __init__(self, before: Artifact, files: Sequence[File]) -> None:
        """``files``: the shards of the space. Raises Damaged naming an earlier shard that is missing."""
        self.digest = before.manifest.content_digest
        here = {file.digest for file in files}
        earlier = before.manifest.files("tokens")
        self._shared = {file.digest for file in earlier} & here
        if missing := before.missing():
            raise Damaged(f"{missing[0]}: it tells old documents from new ones; restore it from a copy, or take retrain.start: scratch")
        apart = [before.path / file.path for file in earlier if file.digest not in here]
        ids = [_ids(batch) for path in apart for batch in read_batches(path, ("doc_id",))]
        self._ids = np.sort(np.concatenate(ids)) if ids else np.zeros(0, "S16")

    def is_old(self, file: File, batch: pa.RecordBatch) -> NDArray[np.bool_]:
        """bool [rows] of a batch of a shard, which has a column `doc_id`."""
        if file.digest in self._shared or not len(self._ids):
            return np.full(len(batch), file.digest in self._shared)
        asked = _ids(batch)
        place = np.searchsorted(self._ids, asked).clip(max=len(self._ids) - 1)
        found: NDArray[np.bool_] = self._ids[place] == asked
        return found


def _ids(batch: pa.RecordBatch) -> NDArray[np.bytes_]:
    """[rows] ids of 16 bytes, which compare as they do: numpy leaves zeros at the end out, of both sides alike."""
    column = batch.column("doc_id")
    return np.frombuffer(column.buffers()[1] or b"", "S16")[column.offset :][: len(column)]
