"""The model: to *browse* rejects is to count them by source, stage and reason, and to look at some of them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from schemas.arrow import REJECTS, read_shard
from schemas.artifact import Artifact
from schemas.errors import RequestError

_SHOWN = 200
"""Characters of a reject's text that are shown."""


def visible(text: str) -> str:
    """Text as a terminal may show it: control characters, which could move its cursor or worse, as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def browse(documents: Artifact, reason: str | None, source: str | None, limit: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Counts (most records first) and at most `limit` rows, in canonical order."""
    if not documents.manifest.files("rejects"):
        raise RequestError(f"{documents.reference}: has no rejects: documents have, and tokens that `gristmill tokenize` made")
    tables = [read_shard(path) for path in documents.paths("rejects")]
    table = pa.concat_tables(tables) if tables else REJECTS.empty_table()
    for column, wanted in (("reason", reason), ("source", source)):
        if wanted is not None:
            known = sorted(pc.unique(table[column]).to_pylist())
            table = table.filter(pc.equal(table[column], wanted))
            if not table.num_rows:
                there_is = ", ".join(known) or "none at all"
                raise RequestError(f"{documents.reference}: no reject has {column} {wanted!r}; there is {there_is}")
    keys = ["source", "stage", "reason"]
    grouped = table.group_by(keys).aggregate([("record_bytes", "count"), ("record_bytes", "sum")])
    counts = grouped.rename_columns([*keys, "records", "bytes"]).to_pylist()
    counts.sort(key=lambda c: (-c["records"], c["source"], c["reason"]))
    rows = table.slice(0, limit).to_pylist()
    for row in rows:
        row["doc_id"] = row["doc_id"].hex()
        row["text"] = row["text"] and row["text"][:_SHOWN]
    return counts, rows
