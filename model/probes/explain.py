"""The model: an *explanation* of what a model makes of a text: what it *expects*, tokens with probabilities; what it *attends* to; what each of
its layers *would say* of each token; and how much each token of the text adds to the log-probability of one outcome, the *target*.

A decoder's outcome is the next token, an encoder's is what stands at a mask. All of it says how numbers came about in one model for one
text, and not why the text is so: attention is no proof of use (Jain & Wallace, arXiv:1902.10186).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from model.decoder import DecoderModel
from model.encoder import EncoderModel
from model.probes.attributions import Attributions, integrated_gradients, through
from model.probes.layers import lens, watched
from model.probes.reading import Reader

LONGEST = 64
"""Tokens whose pictures a person can still read."""
CANDIDATES = 5

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Candidate:
    """A token, and how likely it is."""

    token: str
    probability: float


@dataclass(frozen=True)
class Explanation:
    """See the module. Lists go by token of the text, as the model reads it, with what frames it."""

    text: str
    tokens: tuple[str, ...]
    place: int
    """Of the token whose outcome is explained: the mask, or the last token, behind which the next one stands."""
    expected: tuple[Candidate, ...]
    target: str
    attributions: Attributions
    baseline: str
    """The token that stands everywhere in the baseline's text."""
    attention: Floats
    """[layers, heads, token, token attended to]"""
    layers: tuple[tuple[tuple[Candidate, ...], ...], ...]
    """By layer, the state below the first one at 0, and token."""
    next_token: bool
    """Whether what is said stands behind the token; else at its place."""


def explain(reader: Reader, text: str, target: str | None = None) -> Explanation:
    """``target``: a text whose first token is the outcome; the likeliest one, unless told. Raises ValueError for a text that is too long or
    has no mask where one is needed, and for a model that has no layers of attention or no head."""
    model = reader.model
    if not isinstance(model, DecoderModel | EncoderModel):
        raise ValueError(f"is {reader.name}, which has no attention to look at: this needs a decoder or an encoder")
    read = reader.ids(text)
    if len(read) > LONGEST:
        raise ValueError(f"the text has {len(read)} tokens: {LONGEST} at the most make a picture that can be read: shorten it")
    ids, causal = torch.tensor(read), isinstance(model, DecoderModel)
    place = len(read) - 1 if causal else _mask_place(reader, read)
    with torch.no_grad(), watched(model) as (weights, states):
        model.hidden(ids[None])
        said = [lens(model, state[0]).exp() for state in states]
    last = said[-1][place]
    goal = _first_token(reader, target) if target else int(last.argmax())
    calm = reader.calm_token()
    table = model.model.embed_tokens
    # Special tokens stay: what frames a text, and the mask, say nothing themselves.
    special = reader.special(read)
    around = torch.tensor([token if number in special else calm for number, token in enumerate(read)])
    scalar = through(model, table, ids, lambda logits: logits[:, place].float().log_softmax(-1)[:, goal])
    shares = integrated_gradients(scalar, table(ids).detach(), table(around).detach())
    return Explanation(
        text=text,
        tokens=tuple(map(reader.written, read)),
        place=place,
        expected=_likeliest(reader, last),
        target=reader.written(goal),
        attributions=shares,
        baseline=reader.written(calm),
        attention=torch.cat(weights).float().numpy(),
        layers=tuple(tuple(_likeliest(reader, row) for row in layer) for layer in said),
        next_token=causal,
    )


def _likeliest(reader: Reader, chances: torch.Tensor) -> tuple[Candidate, ...]:
    best = chances.topk(min(CANDIDATES, len(chances)))
    return tuple(Candidate(reader.written(int(i)), float(p)) for i, p in zip(best.indices, best.values, strict=True))


def _first_token(reader: Reader, target: str) -> int:
    tokens = reader.tokens(target)
    if not tokens:
        raise ValueError(f"target {target!r}: the tokenizer makes no token of it")
    return tokens[0]


def _mask_place(reader: Reader, ids: list[int]) -> int:
    written, number = reader.mask()
    places = [place for place, token in enumerate(ids) if token == number]
    if len(places) != 1:
        raise ValueError(f"the text has {len(places)} masks: write {written} once, where a token is wanted")
    return places[0]
