"""The model: an *objective* is what a pretraining minimises. On the host it makes of a batch what a pass over it reads, its *inputs*: a
pure function of the batch and the seed. In the graph it is a module that turns these into a loss, in nats a *predicted* token.

One file an objective. Each token that a step predicts weighs the same, whatever ranks and micro-batches it is spread over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.objectives.denoising import Denoising
from model.objectives.masked_tokens import MaskedTokensObjective
from model.objectives.next_token import NextTokenObjective
from model.objectives.objective import Inputs, Objective
from model.objectives.span_corruption import SpanCorruption
from schemas.recipe import Pretrain

__all__ = ["Inputs", "Objective", "objective_of"]


def objective_of(settings: Pretrain, vocabulary: Mapping[str, Any], sentinels: Sequence[int]) -> Objective:
    """What a recipe's pretraining minimises; ``vocabulary`` and ``sentinels``: a tokenizer's facts, and the ids of its sentinels. Raises
    RequestError if they lack what it needs."""
    match settings.aim.name:
        case "masked_tokens":
            return MaskedTokensObjective(settings, vocabulary)
        case "span_corruption":
            return SpanCorruption(settings, vocabulary["special_tokens"], sentinels)
        case "denoising":
            return Denoising(settings, vocabulary["special_tokens"], sentinels)
        case _:
            return NextTokenObjective(settings)
