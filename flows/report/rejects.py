"""The model: an *example* is a reject that the report shows. For every reason the few with the smallest `doc_id` are
shown: as good as a random draw, since ids are digests, and always the same one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.report.facts import Example
from flows.report.texts import read_batches
from schemas.arrow import REJECTS

EXAMPLES = 3
"""Examples a reason."""
EXCERPT = 160
"""Characters of text an example."""


def read_examples(shards: Iterable[Path]) -> tuple[Example, ...]:
    """The examples of every reason, by reason and doc_id. Holds one batch and the examples so far."""
    chosen = REJECTS.empty_table()
    for path in shards:
        for batch in read_batches(path, REJECTS.names):
            chosen = _smallest(pa.concat_tables([chosen, _excerpts(pa.table(batch))]))
    return tuple(_example(row) for row in chosen.to_pylist())


def _excerpts(table: pa.Table) -> pa.Table:
    """One character more than is shown, so that the cut can be seen."""
    for name in ("text", "detail"):
        index = table.schema.get_field_index(name)
        table = table.set_column(index, REJECTS.field(name), pc.utf8_slice_codeunits(table[name], 0, EXCERPT + 1))
    return table.cast(REJECTS)


def _smallest(table: pa.Table) -> pa.Table:
    table = table.combine_chunks().sort_by([("reason", "ascending"), ("doc_id", "ascending")])
    codes = pc.rank(table["reason"], tiebreaker="min").to_numpy()
    return table.filter(pa.array(np.arange(1, table.num_rows + 1) - codes.astype(np.int64) < EXAMPLES))


def _example(row: dict[str, object]) -> Example:
    text = row["text"]
    cut = isinstance(text, str) and len(text) > EXCERPT
    fields = {name: row[name] for name in ("reason", "stage", "source", "uri", "record", "record_bytes", "detail")}
    return Example(**fields, text=text[:EXCERPT] if isinstance(text, str) else None, truncated=cut)  # type: ignore[arg-type]
