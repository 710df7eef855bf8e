"""The model: a *span* is the words from one place to another that tags mark as an entity of one type. Entity F1 counts spans that have both
ends and the type right, over all items together (micro).

Where tags contradict each other, a *scheme* decides what is a span: `conlleval` takes an I- after nothing for a beginning, and reads IOB1,
IOB2 and IOBES, as seqeval does by default; `iob2` wants a B-, as seqeval does in its strict mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from model.metrics.metric import Floats, Metric, ratio

Scheme = Literal["conlleval", "iob2"]


def entity_f1(scheme: Scheme = "conlleval") -> Metric:
    """Statistics: spans right, answered, wanted."""
    spans = conlleval if scheme == "conlleval" else iob2

    def statistics(answer: Sequence[str], wanted: Sequence[str]) -> Floats:
        if len(answer) != len(wanted):
            raise ValueError(f"{len(answer)} tags for {len(wanted)} words")
        found, true = set(spans(answer)), set(spans(wanted))
        return np.array([len(found & true), len(found), len(true)], dtype=np.float64)

    return Metric("entity_f1", "higher", f"entity_f1|average:micro|scheme:{scheme}|v1", statistics, entity_f1_value)


def entity_f1_value(sums: Floats) -> Floats:
    return ratio(2 * sums[..., 0], sums[..., 1] + sums[..., 2])


def conlleval(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Type, first word and last word of each span."""
    begun, before, type_before = 0, "O", ""
    for place, tag in enumerate((*tags, "O")):
        prefix, type_ = _parts(tag)
        if before != "O" and (before in "ES" or prefix in "BSO" or type_ != type_before):
            yield type_before, begun, place - 1
        if prefix != "O" and (prefix in "BS" or before in "ESO" or type_ != type_before):
            begun = place
        before, type_before = prefix, type_


def iob2(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Type, first word and last word of each span; raises `ValueError` at a tag that is none of B-, I- and O."""
    begun: int | None = None
    type_of = ""
    for place, tag in enumerate((*tags, "O")):
        prefix, type_ = _parts(tag)
        if prefix not in "BIO":
            raise ValueError(f"tag {tag!r} is none of IOB2: B-TYPE, I-TYPE or O")
        if begun is not None and not (prefix == "I" and type_ == type_of):
            yield type_of, begun, place - 1
            begun = None
        if prefix == "B":
            begun, type_of = place, type_


def _parts(tag: str) -> tuple[str, str]:
    """
    >>> _parts("B-PER"), _parts("I"), _parts("O")
    (('B', 'PER'), ('I', '_'), ('O', '_'))
    """
    if not tag:
        raise ValueError("a tag is empty")
    return tag[0], tag[1:].removeprefix("-") or "_"
