"""The model: the *language modelling* task compares *systems* by bits per byte on the same held-out texts: the decoder,
and an interpolated Kneser-Ney model of each order asked for, over the same training tokens in the same frame.

An n-gram model is fitted on all training text and, again, on each language's own; the validation subset chooses for each
language, so the baseline is the stronger of the two (in the demo's text the language's own, but for English above order
2). Intervals are the 2.5 and 97.5 percentiles of a bootstrap over documents (Efron and Tibshirani 1993), every system on
the same draws. All tokens count, the eos too; a text's bytes are those of its UTF-8. Perplexity is per token, so it
compares only under one tokenizer; bits per byte always do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.evaluate.held_out import Text, bytes_of
from model.evaluate.scoring import Floats, decoder_nats, ngram_nats
from model.families import Causal
from model.metrics.bootstrap import interval, resampled
from model.ngram import KneserNey, frame

TASK = {"task": "language_modelling", "version": 1, "metric": "bits_per_byte", "better": "lower"}
MODEL = "model"
ALL, LANGUAGE = "all", "language"
"""What an n-gram model was fitted on: all training text, or that of the language it judges."""


@dataclass(frozen=True)
class Frame:
    """The ids that stand around every text, and the size of the vocabulary they belong to."""

    bos: int
    eos: int
    vocab_size: int


def kneser_ney(order: int) -> str:
    """Name of the baseline system of an order."""
    return f"kneser_ney_{order}"


def language_modelling(
    model: Causal,
    train: Sequence[Text],
    validation: Sequence[Text],
    held_out: Sequence[Text],
    orders: Sequence[int],
    around: Frame,
    seed: int,
    advance: Callable[[int, str], None],
) -> tuple[dict[str, Any], dict[str, Floats]]:
    """Results by language and by source, and the nats of each system, [held_out]; `advance` hears of tokens scored and by whom. Languages
    without text are absent."""
    nats: dict[str, Floats] = {}
    fitted_on: dict[str, dict[str, Any]] = {}
    for order in orders:
        name = kneser_ney(order)
        nats[name], fitted_on[name] = strongest_ngram(order, train, validation, held_out, around)
        advance(sum(text.predicted for text in held_out), name)
    nats[MODEL] = decoder_nats(model, held_out, around.bos, around.eos, lambda tokens: advance(tokens, MODEL))
    groups: dict[str, dict[str, Any]] = {}
    for grouping, of in (("languages", lambda text: text.lang), ("sources", lambda text: text.source)):
        names = np.array([of(text) for text in held_out], dtype=object)
        groups[grouping] = {}
        for name in sorted(set(names)):
            rows = np.flatnonzero(names == name).tolist()
            texts = [held_out[row] for row in rows]
            groups[grouping][name] = compare({system: values[rows] for system, values in nats.items()}, texts, orders, seed)
    return {**TASK, "context": model.config.context, "fitted_on": fitted_on, **groups}, nats


def strongest_ngram(
    order: int, train: Sequence[Text], validation: Sequence[Text], held_out: Sequence[Text], around: Frame
) -> tuple[Floats, dict[str, Any]]:
    """[held_out] nats of the baseline, and by language which fit was chosen, with the bits per byte of each fit."""

    def fit(texts: Sequence[Text]) -> KneserNey:
        return KneserNey(frame([text.tokens for text in texts], around.bos, around.eos), order, around.vocab_size)

    def score(model: KneserNey, texts: Sequence[Text]) -> Floats:
        return ngram_nats(model, texts, around.bos, around.eos)

    nats, fits = np.zeros(len(held_out)), {}
    joint = fit(train)
    for lang in sorted({text.lang for text in held_out}):
        rows = [row for row, text in enumerate(held_out) if text.lang == lang]
        texts = [held_out[row] for row in rows]
        judge = [text for text in validation if text.lang == lang]
        own = [text for text in train if text.lang == lang]
        models = {LANGUAGE: fit(own), ALL: joint} if own else {ALL: joint}
        found = {name: score(model, texts) for name, model in models.items()}
        judged = {name: score(model, judge).sum() for name, model in models.items()}
        chosen = min(judged, key=judged.__getitem__)
        nats[rows] = found[chosen]
        bits = {name: float(values.sum()) / math.log(2) / int(bytes_of(texts).sum()) for name, values in found.items()}
        fits[lang] = {"chosen": chosen, "bits_per_byte": bits}
    return nats, fits


def compare(nats: Mapping[str, Floats], texts: Sequence[Text], orders: Sequence[int], seed: int) -> dict[str, Any]:
    """One group of texts: its size, each system's figures, and how far the model is from each baseline.

    `relative_to_order_N` is bits per byte of the model over the baseline's, less 1: below 0, the model is better.
    """
    sizes = bytes_of(texts)
    tokens = sum(text.predicted for text in texts)
    bits = {system: values / math.log(2) for system, values in nats.items()}
    *sums, drawn_sizes = resampled(np.column_stack([*bits.values(), sizes]), seed).T
    drawn = {system: values / drawn_sizes for system, values in zip(bits, sums, strict=True)}
    group: dict[str, Any] = {"documents": len(texts), "tokens": tokens, "bytes": int(sizes.sum()), "systems": {}}
    for system, values in bits.items():
        group["systems"][system] = {
            "bits_per_byte": float(values.sum() / sizes.sum()),
            "bits_per_byte_interval": list(interval(drawn[system])),
            "perplexity": math.exp(nats[system].sum() / tokens),
        }
    for order in orders:
        base = kneser_ney(order)
        group[f"relative_to_order_{order}"] = float(bits[MODEL].sum() / bits[base].sum() - 1)
        group[f"relative_to_order_{order}_interval"] = list(interval(drawn[MODEL] / drawn[base] - 1))
    return group
