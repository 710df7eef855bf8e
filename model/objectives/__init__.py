"""The model: an *objective* is what a pretraining minimises. On the host it makes of a batch what a pass over it reads, its *inputs*: a
pure function of the batch and the seed. In the graph it is a module that turns these into a loss, in nats a *predicted* token.

One file an objective. Each token that a step predicts weighs the same, whatever ranks and micro-batches it is spread over.
"""

from __future__ import annotations

from model.objectives.denoising import Denoising
from model.objectives.next_token import NextTokenObjective
from model.objectives.objective import Inputs, Objective
from model.objectives.span_corruption import SpanCorruption
from model.vocabulary import Vocabulary
from schemas.recipe import Pretrain

__all__ = ["Inputs", "Objective", "objective_of"]


def objective_of(settings: Pretrain, vocabulary: Vocabulary) -> Objective:
    """What a recipe's pretraining minimises. Raises RequestError if the tokenizer lacks a token for it."""
    told = settings.aim
    match told.name:
        case "span_corruption":
            return SpanCorruption(settings, told, vocabulary)
        case "denoising":
            return Denoising(settings, told, vocabulary)
        case _:
            return NextTokenObjective(settings)
