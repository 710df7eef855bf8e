"""The model: BLEU, chrF and TER as sacrebleu counts them: its statistics of each item, its signature, and its values, computed here for
many sums at once. All are of 100, except that TER can be more.

Chinese is cut by characters: BLEU's `zh` tokenizer, TER's Asian support. Others get sacrebleu's defaults, `13a` for BLEU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from model.metrics.metric import Better, Floats, Metric, Value, ratio
from model.metrics.writing import is_unspaced, texts

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as Counted

_ORDERS = 4
_BETA = 2


def bleu(lang: str | None, references: int) -> Metric:
    """`references` is how many texts each item wants: any of them; -1 if they differ."""
    from sacrebleu.metrics import BLEU

    return _counted("bleu", "higher", BLEU(tokenize="zh" if is_unspaced(lang or "") else "13a"), bleu_value, references)


def chrf(references: int) -> Metric:
    from sacrebleu.metrics import CHRF

    return _counted("chrf", "higher", CHRF(), chrf_value, references)


def ter(lang: str | None, references: int) -> Metric:
    from sacrebleu.metrics import TER

    characters = is_unspaced(lang or "")
    return _counted("ter", "lower", TER(normalized=characters, asian_support=characters), ter_value, references)


def _counted(name: str, better: Better, metric: Counted, value: Value, references: int) -> Metric:
    def statistics(answer: str, wanted: str | Sequence[str]) -> Floats:
        (found,) = metric._extract_corpus_statistics([answer], [[text] for text in texts(wanted)])
        return np.array(found, dtype=np.float64)

    metric.num_refs = references  # sacrebleu learns it from a whole corpus, and its signature tells it
    return Metric(name, better, str(metric.get_signature()), statistics, value)


def bleu_value(sums: Floats) -> Floats:
    """Sums are the answers' tokens, those of the wanted texts, then by order the grams right and answered. Orders of which nothing is right
    are smoothed exponentially, as mteval-v13a does."""
    answered, wanted = sums[..., 0], sums[..., 1]
    right, grams = sums[..., 2 : 2 + _ORDERS], sums[..., 2 + _ORDERS :]
    smoothed = np.where(right > 0, right, 0.5 ** np.cumsum(right == 0, axis=-1))
    with np.errstate(divide="ignore"):
        precision = np.exp(np.log(ratio(smoothed, grams)).mean(-1))
        brevity = np.exp(np.minimum(0, 1 - np.divide(wanted, answered, out=np.full(answered.shape, np.inf), where=answered > 0)))
    return np.where((right > 0).any(-1), 100 * brevity * precision, 0.0)


def chrf_value(sums: Floats) -> Floats:
    """Sums are by order of the characters' grams: answered, wanted, right. Orders that one side lacks are left out."""
    by_order = sums.reshape(*sums.shape[:-1], -1, 3)
    answered, wanted, right = by_order[..., 0], by_order[..., 1], by_order[..., 2]
    there = (answered > 0) & (wanted > 0)
    orders = there.sum(-1).astype(np.float64)
    precision = ratio((ratio(right, answered) * there).sum(-1), orders)
    recall = ratio((ratio(right, wanted) * there).sum(-1), orders)
    return 100 * ratio((1 + _BETA**2) * precision * recall, _BETA**2 * precision + recall)


def ter_value(sums: Floats) -> Floats:
    """Sums are edits, and words of the wanted texts. Edits of nothing are an error of 1."""
    edits, words = sums[..., 0], sums[..., 1]
    return 100 * np.where(words > 0, ratio(edits, words), (edits > 0).astype(np.float64))
