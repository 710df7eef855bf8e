"""The model: the documents of two artifacts fall on four *sides*: in both and equal, in both and changed, only in A, only in B.

A document's id has its source, file, place there and raw bytes in it: what the file says otherwise is another document. *Changed* is
thus what was made of the same record: cleaning, language, annotation, tokens. Of a document that is on one side only, the other
side's rejects say why, if the record was read there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from flows.diff.examples import alone, changed
from flows.diff.matching import Ids, Rows, match
from flows.diff.rows import ASPECTS, Index, Names, index_pair
from schemas.arrow import ids_of, read_batches
from schemas.artifact import Artifact

Json = dict[str, Any]


def compare_rows(a: Artifact, b: Artifact, limit: int) -> Json:
    """Counts of each side by source and language, and `limit` examples of each in canonical order."""
    names = Names()
    left, right = index_pair(a, b, names)
    matched = match(left.ids, right.ids, (a.reference, b.reference))
    unequal = left.digests[matched.a] != right.digests[matched.b]
    differs = unequal.any(axis=1)
    aspects = list(ASPECTS[a.kind])
    pairs = list(zip(matched.a[differs].tolist(), matched.b[differs].tolist(), unequal[differs].tolist(), strict=False))[:limit]
    same = np.concatenate([right.shared, right.groups[matched.b[~differs]]])
    return {
        "equal": _side(names, same),
        "changed": {
            **_side(names, right.groups[matched.b[differs]]),
            "aspects": {aspect: int(n) for aspect, n in zip(aspects, unequal.sum(axis=0), strict=True) if n},
            "examples": [changed(left, right, i, j, [x for x, one in zip(aspects, flags, strict=True) if one]) for i, j, flags in pairs],
        },
        "only_a": _only(names, left, matched.only_a, b, limit),
        "only_b": _only(names, right, matched.only_b, a, limit),
    }


def _side(names: Names, groups: npt.NDArray[np.int32]) -> Json:
    by = [{"source": source, "lang": lang, "documents": n} for (source, lang), n in names.counted(groups).items()]
    return {"documents": len(groups), "by": by}


def _only(names: Names, index: Index, rows: Rows, other: Artifact, limit: int) -> Json:
    rejected = _rejected(index.ids[rows], other)
    return {
        **_side(names, index.groups[rows]),
        "rejected_there": [{"stage": stage, "reason": reason, "documents": n} for (stage, reason), n in rejected.items()],
        "not_read_there": len(rows) - sum(rejected.values()) if other.manifest.files("rejects") else None,
        "examples": [alone(index, row) for row in rows[:limit].tolist()],
    }


def _rejected(ids: Ids, other: Artifact) -> Mapping[tuple[str, str], int]:
    """How many of the documents are rejects of the other artifact, by stage and reason, most first."""
    keys = np.sort(_keys(ids))
    why: dict[tuple[str, str], int] = {}
    found = np.full(len(keys), -1)
    for path in other.paths("rejects") if len(keys) else ():
        for batch in read_batches(path, ("doc_id", "stage", "reason")):
            wanted = _keys(ids_of(batch.column("doc_id")))
            places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            hits = np.flatnonzero(keys[places] == wanted)
            stages, reasons = (batch.column(name).take(hits).to_pylist() for name in ("stage", "reason"))
            found[places[hits]] = [why.setdefault(pair, len(why)) for pair in zip(stages, reasons, strict=True)]
    counts = Counter(dict(zip(why, np.bincount(found[found >= 0], minlength=len(why)).tolist(), strict=True)))
    return dict(counts.most_common())


def _keys(ids: Ids) -> npt.NDArray[np.bytes_]:
    """The ids as strings of 16 bytes, which numpy sorts and searches."""
    return np.ascontiguousarray(ids.astype(">u8")).view("S16").reshape(-1)
