"""The model: a token is *drawn* from logits: the most likely one (*temperature* 0), or at random from what *top k*, the *nucleus*
(top p) and *min p* leave of the tempered distribution. A *repetition penalty* makes tokens less likely that were there before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LEAST_PENALTY = 0.01
_GREEDY = 1e-6
"""A temperature below it is 0: logits divided by it may be infinite."""


@dataclass(frozen=True)
class Drawing:
    """How tokens are drawn. Raises ValueError for a setting out of range."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0
    """Not less than `LEAST_PENALTY`, lest a score become infinite."""

    def __post_init__(self) -> None:
        if self.temperature < 0 or (self.top_k is not None and self.top_k < 1) or (self.top_p is not None and not 0 < self.top_p <= 1):
            raise ValueError(f"temperature {self.temperature}, top_k {self.top_k}, top_p {self.top_p}: want >= 0, >= 1 and in (0, 1]")
        if (self.min_p is not None and not 0 <= self.min_p <= 1) or not LEAST_PENALTY <= self.repetition_penalty < math.inf:
            raise ValueError(
                f"min_p {self.min_p}, repetition_penalty {self.repetition_penalty}: want in [0, 1], and finite, {LEAST_PENALTY} or more"
            )

    def draw(self, logits: Tensor, before: Sequence[int], generator: torch.Generator) -> int:
        """A token by float [vocab], after the tokens ``before``. Greedy takes the first of equals and leaves the generator alone."""
        logits = penalise(logits, before, self.repetition_penalty)
        if self.temperature < _GREEDY:
            return int(logits.argmax())
        probability = keep_likely(logits / self.temperature, self.top_k, self.top_p, self.min_p).softmax(-1)
        return int(torch.multinomial(probability, 1, generator=generator))


def penalise(scores: Tensor, before: Sequence[int], penalty: float) -> Tensor:
    """float [vocab] -> the same with scores of tokens that came before divided by the penalty, or times it where they are negative
    (Keskar et al., arXiv:1909.05858, as `transformers` does it)."""
    if penalty == 1:
        return scores
    seen = torch.tensor(sorted(set(before)), device=scores.device)
    found = scores[seen]
    return scores.index_copy(0, seen, torch.where(found < 0, found * penalty, found / penalty))


def keep_likely(logits: Tensor, top_k: int | None, top_p: float | None, min_p: float | None = None) -> Tensor:
    """float [vocab] -> the same with what is outside the top k, outside the nucleus, or less likely than ``min_p`` times the likeliest,
    at minus infinity.

    The nucleus is the smallest set of most likely tokens whose probabilities sum to ``top_p`` or more (Holtzman et al.,
    arXiv:1904.09751); min p is of Nguyen et al., arXiv:2407.01082.
    """
    if top_k is not None and top_k < logits.numel():
        kept = logits.topk(top_k).indices
        logits = torch.full_like(logits, -torch.inf).index_copy(0, kept, logits[kept])
    if top_p is not None and top_p < 1:
        ranked, order = logits.sort(descending=True, stable=True)
        probability = ranked.softmax(-1)
        outside = probability.cumsum(-1) - probability >= top_p
        outside[0] = False  # the least top p is 0 among floats
        logits = logits.index_fill(0, order[outside], -torch.inf)
    if min_p is not None and min_p > 0:
        probability = logits.softmax(-1)
        logits = logits.masked_fill(probability < min_p * probability.max(), -torch.inf)
    return logits
