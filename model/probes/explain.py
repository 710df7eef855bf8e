"""The model: an *explanation* of what a model makes of a text: what it *expects*, outcomes with probabilities; what it *attends* to; what
each of its layers *would say* of each token; and how much each token of the text adds to the log-probability of one outcome, the *target*.

All of it says how numbers came about in one model for one text, and not why the text is so: attention is no proof of use (Jain & Wallace,
arXiv:1902.10186).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.probes.attributions import Attributions, integrated_gradients, through
from model.probes.layers import watched
from model.probes.subjects import subject_of

LONGEST = 64
"""Tokens whose pictures a person can still read."""
CANDIDATES = 5

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Candidate:
    """An outcome or a token, and how likely it is."""

    token: str
    probability: float


@dataclass(frozen=True)
class Explanation:
    """See the module. Lists go by token of the text, as the model reads it, with what frames it."""

    text: str
    tokens: tuple[str, ...]
    place: int | None
    """Of the token at which, or behind which, the outcome stands; None if it is a label of the text."""
    expected: tuple[Candidate, ...]
    target: str
    attributions: Attributions
    baseline: str
    """The token that stands everywhere in the baseline's text."""
    attention: Floats
    """[layers, heads, token, token attended to]"""
    layers: tuple[tuple[tuple[Candidate, ...], ...], ...]
    """By layer, the state below the first one at 0, and token; empty for a model that tells no tokens."""
    next_token: bool
    """Whether what is said stands behind the token; else at its place."""


def explain(folder: Path, text: str, target: str | None = None) -> Explanation:
    """What the model of a folder makes of a text. ``target``: a label, or a text whose first token is the outcome; the likeliest, unless
    told.

    Raises `Mismatch` for a model that is not as it should be, and ValueError for a text or target that does not suit it.
    """
    subject = subject_of(folder, text)
    if len(subject.ids) > LONGEST:
        raise ValueError(f"the text has {len(subject.ids)} tokens: {LONGEST} at the most make a picture that can be read: shorten it")
    ids, table = torch.tensor(subject.ids), subject.model.model.embed_tokens
    with torch.no_grad(), watched(subject.model) as (weights, states):
        chances = subject.logits(ids[None])[0].float().softmax(-1)
        said = [] if subject.lens is None else [subject.lens(state[0]).exp() for state in states]
    goal = subject.number(target) if target else int(chances.argmax())
    # What frames a text stays, and so does a mask: they say nothing themselves.
    around = torch.tensor([token if place in subject.special else subject.calm for place, token in enumerate(subject.ids)])
    scalar = through(subject.logits, table, ids, lambda logits: logits.float().log_softmax(-1)[:, goal])
    shares = integrated_gradients(scalar, table(ids).detach(), table(around).detach())
    return Explanation(
        text=text,
        tokens=tuple(map(subject.token, subject.ids)),
        place=subject.place,
        expected=_likeliest(subject.outcome, chances),
        target=subject.outcome(goal),
        attributions=shares,
        baseline=subject.token(subject.calm),
        attention=torch.cat(weights).float().numpy(),
        layers=tuple(tuple(_likeliest(subject.token, row) for row in layer) for layer in said),
        next_token=subject.next_token,
    )


def _likeliest(name: Callable[[int], str], chances: Tensor) -> tuple[Candidate, ...]:
    best = chances.topk(min(CANDIDATES, len(chances)))
    return tuple(Candidate(name(int(i)), float(p)) for i, p in zip(best.indices, best.values, strict=True))
