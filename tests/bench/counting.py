"""The model: a *guess* stands where an encoder or an encoder-decoder would, knows only counts of training text, and is measured by
the validation of a run, on the same hidden tokens of held-out text:

    most frequent   how often each token is hidden, or written: the entropy of frequencies, and the accuracy of always the same answer
    neighbours      of masked tokens: how often each follows the one before it, and is followed by the one behind it, where these show
    bigram          of written tokens: how often each, sentinels too, follows the one written before it

Counts of pairs are discounted by what then goes to the frequencies (absolute discounting: Ney, Essen and Kneser 1994).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from model.data import Batches, training_batches
from model.families import build_model
from model.objectives import Objective, objective_of
from model.objectives.hiding import IGNORED
from model.parallel import Ranks
from model.phases import stages
from model.sentinels import sentinels_of
from model.text import Special
from schemas.artifact import Artifact
from schemas.recipe import Pretrain

DISCOUNT = 0.75
UNKNOWN = -1
"""In the place of a neighbour."""
MEASURES = ("validation_loss", "masked_accuracy", "next_sentence_accuracy")


class Guess(nn.Module):
    """Scores of tokens, by those beside them if it knows pairs."""

    def __init__(self, often: Tensor, pairs: Tensor | None = None, mask: int | None = None) -> None:
        """``often``: int64 [vocab] counts of what is told; ``pairs``: int64 [vocab, vocab] of a token (row) and its next; ``mask``: what
        hides a token that stands between two."""
        super().__init__()
        share = (often + 0.01) / (often + 0.01).sum()
        self._often, self._mask = share.log(), mask
        self._pairs = None if pairs is None else log_shares(pairs, share)

    def read(self, ids: Tensor) -> None:
        """Nothing is known of what is read."""

    def hidden(self, ids: Tensor, *_: object) -> Tensor:
        """int64 [batch, time] -> the token before what is told and the one behind it, int64 [batch, time, 2]. What is told at a place
        follows it, where something is written; and is the place itself, where something is masked."""
        before, behind = torch.full_like(ids, UNKNOWN), torch.full_like(ids, UNKNOWN)
        if self._mask is None:
            return torch.stack((ids, behind), -1)
        shown = ids.masked_fill(ids == self._mask, UNKNOWN)
        before[:, 1:], behind[:, :-1] = shown[:, :-1], shown[:, 1:]
        return torch.stack((before, behind), -1)

    def scores(self, states: Tensor) -> Tensor:
        """int64 [tokens, 2] -> float [tokens, vocab], log-probabilities but for a constant."""
        found = self._often.expand(len(states), -1)
        if self._pairs is None:
            return found
        before, behind = states[:, :1], states[:, 1:]
        found = torch.where(before == UNKNOWN, found, self._pairs[before[:, 0]])
        return found + torch.where(behind == UNKNOWN, 0.0, self._pairs.T[behind[:, 0]])

    logits = scores

    def follows(self, states: Tensor) -> Tensor:
        """Always yes."""
        return torch.tensor([1.0, 0.0]).expand(len(states), -1)


def log_shares(pairs: Tensor, share: Tensor) -> Tensor:
    """Counts of a token (row) and its next, int64 [vocab, vocab] -> the logarithm of how likely each is to be next, float."""
    total = pairs.sum(1, keepdim=True)
    seen = (pairs - DISCOUNT).clamp(min=0) / total.clamp(min=1)
    return (seen + (1 - seen.sum(1, keepdim=True)) * share).log()


def guesses(batches: Batches, objective: Objective, vocab: int, mask: int | None) -> dict[str, Guess]:
    """Fitted on an epoch of training text; ``mask``: if tokens are masked."""
    texts, told = [], []
    for step in range(int(1 / max(batches.epochs(1).values()))):
        batch = batches.batch_at(step)
        inputs = objective.inputs(batch).tensors
        texts.append(inputs[1] if mask is None else batch.ids)
        told.append(inputs[1][:, 1:] if mask is None else inputs[2])
    text, targets = torch.cat(texts), torch.cat([part.flatten() for part in told])
    often = torch.bincount(targets[targets != IGNORED], minlength=vocab)
    pairs = torch.bincount((text[:, :-1] * vocab + text[:, 1:]).flatten(), minlength=vocab * vocab).view(vocab, vocab)
    return {"most frequent": Guess(often, mask=mask), "bigram" if mask is None else "neighbours": Guess(often, pairs, mask)}


def measure_guesses(tokens: Artifact, tokenizer: Artifact, settings: Pretrain) -> dict[str, dict[str, float]]:
    """What the validation of a run says of its first weights (`untrained`) and of guesses, of English text."""
    facts, special = tokenizer.facts("tokenizer"), tokenizer.facts("tokenizer")["special_tokens"]
    around, size = Special(special["bos"], special["eos"]), facts["vocab_size"]
    objective = objective_of(settings, facts, sentinels_of(tokenizer))
    batches = training_batches(
        tokens.path, stages(settings), settings.seed, around, packing=objective.packing, window=objective.window, words=objective.words
    )
    validation = objective.validation(tokens.path, around, f"{tokens.manifest.content_digest}/{settings.seed}", Ranks(0, 1))
    torch.manual_seed(settings.seed)
    models: dict[str, nn.Module] = {"untrained": build_model(settings.architecture, size)}
    models |= guesses(batches, objective, size, special["mask"] if settings.aim.name == "masked_tokens" else None)
    return {name: of_english(validation.measures(model, torch.float32)) for name, model in models.items()}


def of_english(measures: dict[str, Any]) -> dict[str, float]:
    return {name: measures[name]["en"] for name in MEASURES if name in measures}
