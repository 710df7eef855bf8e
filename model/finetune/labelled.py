"""The model: a *labelled* document is one of a source whose `extra` JSON holds a label. Subsets are the documents' own: what pretraining
held out is held out here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow.compute as pc

from model.examples import Classified
from schemas.arrow import SUBSETS, read_batches
from schemas.artifact import Artifact
from schemas.errors import RequestError

COLUMNS = ("doc_id", "source", "uri", "record", "subset", "text", "extra")


def read_labelled(documents: Artifact, source: str, label_field: str) -> dict[str, list[Classified]]:
    """The labelled documents of a source by subset, all three subsets present, in the order of the shards.

    Documents of the source without the field are passed over. Raises `RequestError` if none has it or a label is neither a
    string nor a whole number.
    """
    found: dict[str, list[Classified]] = {subset: [] for subset in SUBSETS}
    seen = 0
    for row in _rows(documents, source):
        seen += 1
        label = _label(row, label_field)
        if label is not None:
            found[row["subset"]].append(Classified(row["doc_id"].hex(), row["text"], None, label))
    if not any(found.values()):
        raise RequestError(
            f"source {source!r} has no labelled documents: none of its {seen:,} documents in {documents.path} has the key "
            f"{label_field!r} in `extra`; set finetune.source and finetune.label_field to where labels are"
        )
    return found


def _rows(documents: Artifact, source: str) -> Iterator[dict[str, Any]]:
    for shard in documents.paths("documents"):
        for batch in read_batches(shard, COLUMNS):
            yield from batch.filter(pc.equal(batch.column("source"), source)).to_pylist()


def _label(row: Mapping[str, Any], field: str) -> str | None:
    extra = json.loads(row["extra"]) if row["extra"] else {}
    label = extra.get(field) if isinstance(extra, dict) else None
    if isinstance(label, int):  # a number of stars, or true and false
        return str(label)
    if label is not None and (not isinstance(label, str) or not label):
        where = f"{row['uri']} (source {row['source']}, record {row['record']})"
        raise RequestError(f"{where}: {field!r} is {label!r}; labels are whole numbers or strings of one character or more")
    return label
