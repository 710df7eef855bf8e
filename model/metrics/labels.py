"""The model: an answer and what was wanted are *labels* (accuracy, macro F1, Matthews' correlation), or as many labels as an item has
words (accuracy by word).

Macro F1 is the plain mean over the labels that occur, in what was wanted or in the answers, as scikit-learn's. A generated answer can be no
label at all: all such answers count as one more label, which nobody wants.

Labels of relations may have a *direction*, `Cause-Effect(e1,e2)`. Relation F1 is the official score of SemEval-2010 task 8 (Hendrickx
et al. 2010): an answer is right if the direction is, and the mean is over relations whatever their direction, without `Other`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from model.metrics.metric import Floats, Metric, mean, ratio, scored

NO_RELATION = "Other"
"""The label of pairs that stand in none of the relations."""


def accuracy() -> Metric:
    return Metric("accuracy", "higher", "accuracy|v1", lambda answer, wanted: scored(answer == wanted), mean)


def word_accuracy() -> Metric:
    """Of sequences of tags; an item counts as many times as it has words."""

    def statistics(answer: Sequence[str], wanted: Sequence[str]) -> Floats:
        if len(answer) != len(wanted):
            raise ValueError(f"{len(answer)} tags for {len(wanted)} words")
        return np.array([sum(a == w for a, w in zip(answer, wanted, strict=True)), len(wanted)], dtype=np.float64)

    return Metric("accuracy", "higher", "accuracy|of:words|v1", statistics, mean)


def macro_f1(labels: Sequence[str]) -> Metric:
    """Statistics: by label, and for no label, the items right, answered and wanted."""
    place = _places(labels)

    def statistics(answer: str, wanted: str) -> Floats:
        found = np.zeros((len(labels) + 1, 3))
        answered, true = place(answer, wanted)
        found[answered, 1] = 1
        found[true, 2] = 1
        found[answered, 0] = answered == true
        return found.ravel()

    return Metric("macro_f1", "higher", f"macro_f1|labels:{len(labels)}|v1", statistics, macro_f1_value)


def macro_f1_value(sums: Floats) -> Floats:
    by_label = sums.reshape(*sums.shape[:-1], -1, 3)
    right, both = by_label[..., 0], by_label[..., 1] + by_label[..., 2]
    return ratio(ratio(2 * right, both).sum(-1), (both > 0).sum(-1).astype(np.float64))


def relation_f1(labels: Sequence[str]) -> Metric:
    """Statistics: by relation, the items right, answered and wanted, in either direction. Raises `ValueError` if there is no relation."""
    relations = sorted({relation_of(label) for label in labels} - {NO_RELATION})
    if not relations:
        raise ValueError(f"no label is a relation: {', '.join(labels)}")
    places = {relation: place for place, relation in enumerate(relations)}

    def statistics(answer: str, wanted: str) -> Floats:
        found = np.zeros((len(relations), 3))
        answered, true = (places.get(relation_of(label)) for label in (answer, wanted))
        if answered is not None:
            found[answered, 1] = 1
        if true is not None:
            found[true, 2] = 1
            found[true, 0] = answer == wanted
        return found.ravel()

    return Metric(
        "relation_f1", "higher", f"relation_f1|directed|without:{NO_RELATION}|relations:{len(relations)}|v1", statistics, macro_f1_value
    )


def relation_of(label: str) -> str:
    """A label without its direction."""
    return label.partition("(")[0]


def mcc(labels: Sequence[str]) -> Metric:
    """Matthews' correlation for any number of labels (Gorodkin 2004). Statistics: items, items right, then by label and for no label the
    items answered and wanted."""
    place = _places(labels)

    def statistics(answer: str, wanted: str) -> Floats:
        found = np.zeros((len(labels) + 1, 2))
        answered, true = place(answer, wanted)
        found[answered, 0] = 1
        found[true, 1] = 1
        return np.concatenate([[1, answered == true], found.ravel()])

    return Metric("mcc", "higher", f"mcc|labels:{len(labels)}|v1", statistics, mcc_value)


def mcc_value(sums: Floats) -> Floats:
    items, right = sums[..., 0], sums[..., 1]
    answered, wanted = sums[..., 2::2], sums[..., 3::2]
    together = right * items - (answered * wanted).sum(-1)
    spread = (items**2 - (answered**2).sum(-1)) * (items**2 - (wanted**2).sum(-1))
    return ratio(together, np.sqrt(spread))


def _places(labels: Sequence[str]) -> Callable[[str, str], tuple[int, int]]:
    """Gives the places of an answer and of what was wanted among labels; that of no label is the last."""
    places = {label: place for place, label in enumerate(labels)}
    if len(places) != len(labels) or not places:
        raise ValueError(f"labels must be given, each once: {list(labels)}")

    def place(answer: str, wanted: str) -> tuple[int, int]:
        if wanted not in places:
            raise ValueError(f"label {wanted!r} is none of {', '.join(labels)}")
        return places.get(answer, len(labels)), places[wanted]

    return place
