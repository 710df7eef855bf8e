"""The model: an *example* shows one document of a difference: where it comes from, and what of it is otherwise, cut to a few words.

Texts are foreign: they go out as they are in JSON, and escaped where people read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flows.diff.rows import ASPECTS, Index
from schemas.arrow import read_batches

Json = dict[str, Any]

_SHOWN = 80
"""Characters of a text that are shown."""
_BEFORE = 20
"""Characters of these before the first difference, to find the place by."""


def alone(index: Index, row: int) -> Json:
    """A document that one side has: what it is and how it begins."""
    found = _row(index, row)
    return _about(found) | ({"text": found["text"][:_SHOWN]} if "text" in found else {"tokens": len(found["tokens"])})


def changed(a: Index, b: Index, row_a: int, row_b: int, aspects: Sequence[str]) -> Json:
    """A document that both sides have: the aspects in which it differs, and for each column of these how."""
    old, new = _row(a, row_a), _row(b, row_b)
    kind = "documents" if "text" in new else "tokens"
    named = {column for columns in ASPECTS[kind].values() for column in columns}
    columns = [c for aspect in aspects for c in ASPECTS[kind][aspect] or sorted((old.keys() | new.keys()) - named)]
    changes = {c: _change(old.get(c), new.get(c)) for c in columns if old.get(c) != new.get(c)}
    return _about(new) | {"aspects": list(aspects), "changes": changes}


def _about(row: Json) -> Json:
    return {"doc_id": row["doc_id"].hex(), **{key: row[key] for key in ("source", "uri", "record", "lang") if key in row}}


def _change(old: Any, new: Any) -> Json:
    """Old and new value; of texts and lists their lengths and what stands around the first difference."""
    if not (isinstance(old, str | list) and isinstance(new, str | list)):
        return {"old": old, "new": new}
    at = next((n for n, (x, y) in enumerate(zip(old, new, strict=False)) if x != y), min(len(old), len(new)))
    if isinstance(old, list):
        return {"at": at, "lengths": [len(old), len(new)], "old": old[at : at + 1], "new": new[at : at + 1]}
    start = max(0, at - _BEFORE)
    return {"at": at, "lengths": [len(old), len(new)], "old": old[start : start + _SHOWN], "new": new[start : start + _SHOWN]}


def _row(index: Index, number: int) -> Json:
    path, left = index.place(number)
    for batch in read_batches(path):
        if left < batch.num_rows:
            (row,) = batch.slice(left, 1).to_pylist()
            return dict(row)
        left -= batch.num_rows
    raise IndexError(f"{path}: has no row {number}")
