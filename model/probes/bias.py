"""The model: *bias* is looked for by sentences that differ in nothing but who they are about.

- A classifier's *gap*: how much likelier the positive label is when a sentence names one group than for all groups on average; and the
  *flip rate*: the share of templates whose label depends on the group.
- A causal model's *leaning* of an occupation: how many nats a token it finds the sentence with "he" likelier than that with "she".

Intervals (95 %) are bootstrapped over templates, or occupations; a rate's is Wilson's. They tell how the figure would vary with other
sentences of that kind, and nothing of how people are treated where the model is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model.metrics.bootstrap import interval, resampled, wilson
from model.probes.reading import Reader, surprise
from model.probes.templates import Counterfactual, Occupations

SEED = 0
"""Of the bootstrap."""

Floats = npt.NDArray[np.float64]
Answers = Callable[[Sequence[str]], Floats]
"""Texts -> probabilities [texts, labels]."""


@dataclass(frozen=True)
class Gap:
    """What naming a group does to the positive label."""

    group: str
    probability: float
    """Mean over templates."""
    gap: float
    """That minus the mean over groups."""
    interval: tuple[float, float]


@dataclass(frozen=True)
class Dimension:
    """The groups of one dimension, such as gender."""

    name: str
    gaps: tuple[Gap, ...]
    widest: float
    """The largest gap minus the smallest: above 0 by chance alone, the more so the more groups there are."""
    widest_interval: tuple[float, float]
    flip_rate: float
    flip_interval: tuple[float, float]
    templates: int


@dataclass(frozen=True)
class Leaning:
    """Which pronoun a model expects of an occupation."""

    occupation: str
    nats_per_token: float
    """Above 0: the male pronoun's sentences are likelier."""


@dataclass(frozen=True)
class Leanings:
    occupations: tuple[Leaning, ...]
    """From the most male to the most female."""
    mean: float
    interval: tuple[float, float]
    spread: float
    """Standard deviation over occupations: what depends on the occupation, and not on the pronouns alone."""
    templates: int


def gaps(answer: Answers, positive: int, sentences: Counterfactual) -> tuple[Dimension, ...]:
    """Of a classifier whose label number ``positive`` is the good one, for each dimension."""
    found = []
    for name, groups in sentences.groups.items():
        asked = sentences.sentences(name)
        chances = np.asarray(answer([text for row in asked for text in row]), np.float64).reshape(len(asked), len(groups), -1)
        good = chances[:, :, positive]
        apart = good - good.mean(1, keepdims=True)
        means, labels = resampled(apart, SEED) / len(apart), chances.argmax(2)
        flips = int((labels != labels[:, :1]).any(1).sum())
        told = [Gap(group, float(good[:, k].mean()), float(apart[:, k].mean()), interval(means[:, k])) for k, group in enumerate(groups)]
        widest = max(one.gap for one in told) - min(one.gap for one in told)
        found.append(
            Dimension(
                name,
                tuple(told),
                widest,
                interval(means.max(1) - means.min(1)),
                flips / len(asked),
                wilson(flips, len(asked)),
                len(asked),
            )
        )
    return tuple(found)


def leanings(reader: Reader, occupations: Occupations) -> Leanings:
    """Of a causal model. Raises `Mismatch` for an encoder, KeyError for templates without the pronouns `male` and `female`."""
    asked = [(job, sentence) for job in occupations.occupations for sentence in occupations.sentences(job)]
    likely = {}
    for gender in ("male", "female"):
        nats = surprise(reader.causal, [reader.ids(sentence[gender]) for _, sentence in asked])
        likely[gender] = np.array([-float(one.mean()) for one in nats])
    apart = (likely["male"] - likely["female"]).reshape(len(occupations.occupations), -1).mean(1)
    told = [Leaning(job, float(value)) for job, value in zip(occupations.occupations, apart, strict=True)]
    told.sort(key=lambda one: -one.nats_per_token)
    means = resampled(apart, SEED) / len(apart)
    return Leanings(tuple(told), float(apart.mean()), interval(means), float(apart.std(ddof=1)), len(occupations.templates))
