"""The model: *sampling* is how often an epoch of training reads a document. Its *weight* says so: 2.3 is twice, and once more
for 3 documents in 10; 0.1 is once for 1 in 10, and never for the others; 0 is never. Which ones is drawn by the document's id,
which is a hash: it depends on nothing else, and a document that is read at some weight is read at every larger one.

Held-out documents are read once, whatever their weight: it is training that is weighed, not what measures it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from schemas.arrow import ids_of

SAMPLED = ("doc_id", "subset", "weight")
"""The columns that decide it."""


def times_read(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """int64 [rows]: how often an epoch reads each document or token row of a batch with the columns `SAMPLED`.

    Token shards that were made before there were weights have no such column; each of their rows is read once.
    """
    times = np.ones(batch.num_rows, np.int64)
    if "weight" not in batch.schema.names:
        return times
    weight = batch.column("weight").to_numpy().astype(np.float64)
    if (weight == 1).all():
        return times
    whole, rest = np.divmod(weight, 1)
    drawn = ids_of(batch.column("doc_id"))[:, 1] < (rest * 2.0**64).astype(np.uint64)  # samples of tokenizers go by the other half
    train = pc.equal(batch.column("subset"), "train").to_numpy(zero_copy_only=False)
    return np.where(train, whole.astype(np.int64) + drawn, times)
