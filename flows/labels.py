"""The model: *labels* are what fine-tuning learns to tell, values of one key of `extra`. That a source has them is known as soon as
its documents are there, hours before fine-tuning reads them."""

from __future__ import annotations

from collections import Counter

import orjson
import pyarrow.compute as pc

from flows.rejects import visible
from schemas.arrow import read_batches
from schemas.artifact import Artifact
from schemas.errors import RequestError
from schemas.recipe import Finetune

_NAMED = 12
"""Keys that a message names."""


def check_labels(documents: Artifact, settings: Finetune) -> None:
    """Raises `RequestError` naming the keys that there are, if no document of the source has the label's. Reads no further than to the
    first that has it."""
    keys: Counter[str] = Counter()
    count = 0
    for path in documents.paths("documents"):
        for batch in read_batches(path, ("source", "extra")):
            for extra in batch.filter(pc.equal(batch.column("source"), settings.source)).column("extra").to_pylist():
                found = orjson.loads(extra) if extra else {}
                if found.get(settings.label_field) is not None:
                    return
                keys.update(list(found))
                count += 1
    if not count:
        raise RequestError(
            f"finetune.source: no document of source {settings.source!r} was kept: see `gristmill rejects {documents.reference}`"
        )
    there = ", ".join(visible(key) for key, _ in keys.most_common(_NAMED)) or "none"
    raise RequestError(
        f"finetune.label_field: none of the {count:,} documents of source {settings.source!r} has the key {settings.label_field!r} in "
        f"`extra`; the keys there are: {there}"
    )
