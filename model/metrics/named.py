"""The model: metrics by the *names* that tasks ask for them. What an answer is depends on the kind of task: the accuracy of tagging is by
word."""

from __future__ import annotations

import re
from collections.abc import Sequence

from model.metrics.answers import answer_f1, exact_match
from model.metrics.gaps import widest_gap_value
from model.metrics.labels import accuracy, macro_f1, macro_f1_value, mcc, mcc_value, relation_f1, word_accuracy
from model.metrics.likelihood import bits_per_byte, bits_per_byte_value, loss, loss_value, perplexity, perplexity_value
from model.metrics.metric import Metric, Value, mean
from model.metrics.programs import pass_at
from model.metrics.rouge import rouge_1, rouge_2, rouge_l
from model.metrics.spans import Scheme, entity_f1, entity_f1_value
from model.metrics.translation import bleu, bleu_value, chrf, chrf_value, ter, ter_value

_VALUES: dict[str, Value] = {
    **dict.fromkeys(("accuracy", "exact_match", "f1", "rouge_1", "rouge_2", "rouge_l"), mean),
    "macro_f1": macro_f1_value,
    "relation_f1": macro_f1_value,
    "mcc": mcc_value,
    "entity_f1": entity_f1_value,
    "bleu": bleu_value,
    "chrf": chrf_value,
    "ter": ter_value,
    "loss": loss_value,
    "perplexity": perplexity_value,
    "bits_per_byte": bits_per_byte_value,
    "widest_gap": widest_gap_value,
    **dict.fromkeys(("mean_gap", "verbatim_texts"), mean),
}
_HARNESS = frozenset({"acc", "acc_norm"})
"""What lm-evaluation-harness calls shares of items that are right."""
_PASS_AT = re.compile(r"pass_at_([1-9]\d*)")


def metric_named(
    name: str,
    kind: str,
    *,
    labels: Sequence[str] = (),
    lang: str | None = None,
    scheme: Scheme = "conlleval",
    references: int = 1,
) -> Metric:
    """A metric for a kind of task. `labels` are what macro_f1, relation_f1 and mcc count by; `lang` is the language of what is written
    (null: by each item's script, but BLEU and TER, which count over all items, cut nothing by characters then); `scheme` is how entity_f1
    reads tags; `references` how many texts each item wants, -1 if they differ. Raises `ValueError` for an unknown name."""
    if found := _PASS_AT.fullmatch(name):
        return pass_at(int(found[1]))
    match name:
        case "accuracy":
            return word_accuracy() if kind == "tagging" else accuracy()
        case "macro_f1":
            return macro_f1(labels)
        case "relation_f1":
            return relation_f1(labels)
        case "mcc":
            return mcc(labels)
        case "entity_f1":
            return entity_f1(scheme)
        case "exact_match":
            return exact_match(lang)
        case "f1":
            return answer_f1(lang)
        case "rouge_1":
            return rouge_1(lang)
        case "rouge_2":
            return rouge_2(lang)
        case "rouge_l":
            return rouge_l(lang)
        case "bleu":
            return bleu(lang, references)
        case "chrf":
            return chrf(references)
        case "ter":
            return ter(lang, references)
        case "loss":
            return loss()
        case "perplexity":
            return perplexity()
        case "bits_per_byte":
            return bits_per_byte()
    raise ValueError(_unknown(name))


def value_named(name: str) -> Value:
    """How sums of a metric's statistics become its value, whatever it was asked for. Raises `ValueError` for an unknown name."""
    if name in _HARNESS or _PASS_AT.fullmatch(name):
        return mean
    if name not in _VALUES:
        raise ValueError(_unknown(name))
    return _VALUES[name]


def _unknown(name: str) -> str:
    return f"there is no metric {name!r}; there is {', '.join(sorted(_VALUES))} and pass_at_K"
