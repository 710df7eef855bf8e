"""The model: a *labelled* text is a document of one source whose `extra` JSON holds a label, with its tokens from the
token shard's row. Subsets are the documents' own: what pretraining held out is held out here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy.typing as npt
import pyarrow.compute as pc

from schemas.arrow import SUBSETS, read_shard
from schemas.artifact import Artifact, Damaged
from schemas.errors import RequestError


@dataclass(frozen=True)
class Labelled:
    """A text with its label."""

    text: str
    tokens: npt.NDArray[Any]
    """[t] ids without special tokens, a view of the mapped shard."""
    label: str


def read_labelled(documents: Artifact, tokens: Artifact, source: str, label_field: str) -> dict[str, list[Labelled]]:
    """The labelled texts of a source by subset, all three subsets present, in the order of the shards.

    Documents of the source without the field are passed over. Raises `RequestError` if none has it or a label is neither a
    string nor a whole number, `Damaged` if the shards of the two artifacts don't belong together.
    """
    found: dict[str, list[Labelled]] = {subset: [] for subset in SUBSETS}
    seen = 0
    shards, token_shards = documents.paths("documents"), tokens.paths("tokens")
    if len(shards) != len(token_shards):
        raise Damaged(f"{tokens.path}: has {len(token_shards)} token shards for the {len(shards)} document shards of {documents.path}")
    for shard, token_shard in zip(shards, token_shards, strict=True):
        rows = read_shard(shard).select(["doc_id", "source", "uri", "record", "subset", "text", "extra"])
        ids = read_shard(token_shard).select(["doc_id", "tokens"])
        if rows.column("doc_id") != ids.column("doc_id"):
            raise Damaged(f"{token_shard}: its rows are not those of {shard}: make the tokens again")
        wanted = pc.equal(rows.column("source"), source)
        seen += pc.sum(wanted).as_py() or 0
        arrays = (array for chunk in ids.filter(wanted).column("tokens").chunks for array in _each(chunk))
        for row, array in zip(rows.filter(wanted).to_pylist(), arrays, strict=True):
            label = _label(row, label_field)
            if label is not None:
                found[row["subset"]].append(Labelled(row["text"], array, label))
    if not any(found.values()):
        raise RequestError(
            f"source {source!r} has no labelled documents: none of its {seen:,} documents in {documents.path} has the key "
            f"{label_field!r} in `extra`; set finetune.source and finetune.label_field to where labels are"
        )
    return found


def classes(subsets: Mapping[str, Sequence[Labelled]]) -> list[str]:
    """The labels of the training subset, sorted. Raises `RequestError` if it can't teach what the others ask for."""
    known = {item.label for item in subsets["train"]}
    for subset in SUBSETS:
        if not subsets[subset]:
            raise RequestError(
                f"no labelled document fell into the {subset} subset: give more documents, raise corpus.held_out, or change "
                "the source's origin (uri keeps all of a file in one subset)"
            )
        if unknown := {item.label for item in subsets[subset]} - known:
            raise RequestError(f"label {min(unknown)!r} of the {subset} subset does not occur in train: give more documents of that class")
    if len(known) < 2:
        raise RequestError(f"all training documents have the label {min(known)!r}: a classifier needs two classes or more")
    return sorted(known)


def _label(row: Mapping[str, Any], field: str) -> str | None:
    extra = json.loads(row["extra"]) if row["extra"] else {}
    label = extra.get(field) if isinstance(extra, dict) else None
    if isinstance(label, int):  # a number of stars, or true and false
        return str(label)
    if label is not None and (not isinstance(label, str) or not label):
        where = f"{row['uri']} (source {row['source']}, record {row['record']})"
        raise RequestError(f"{where}: {field!r} is {label!r}; labels are whole numbers or strings of one character or more")
    return label


def _each(chunk: Any) -> list[npt.NDArray[Any]]:
    offsets, ids = chunk.offsets.to_numpy(), chunk.values.to_numpy()
    return [ids[begin:end] for begin, end in pairwise(offsets)]
