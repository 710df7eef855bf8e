"""The model: the objective of encoders: *masked tokens*. Some tokens of a sample are hidden (`model.objectives.hiding`), words whole
where the corpus knows words, and the model tells what they were from all that stands around them. With *next sentence* a sample is a
pair (`model.pairs`), and the model tells, too, whether its second part follows the first (Devlin et al., arXiv:1810.04805).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.data import Batch, Packing
from model.encoder import FILLING, EncoderModel
from model.objectives.hiding import IGNORED, Hiding
from model.objectives.objective import Inputs
from model.objectives.validate_masked import MaskedValidation
from model.pairs import follows
from model.parallel import Ranks
from model.text import Special
from schemas.errors import RequestError
from schemas.recipe import Pretrain


class MaskedTokensObjective:
    """What encoders are trained by."""

    def __init__(self, settings: Pretrain, vocabulary: Mapping[str, Any]) -> None:
        """``vocabulary``: a tokenizer's facts. Raises RequestError if it has no mask token."""
        special = vocabulary["special_tokens"]
        if "mask" not in special:
            raise RequestError(
                "the tokenizer has no token that serves as mask, which masked_tokens hides others by: use tokenizer.family bert, "
                "or name one: tokenizer.special_tokens.mask"
            )
        aim, size = settings.aim, vocabulary["vocab_size"]
        ids = np.array(sorted(set(special.values())), dtype=np.int64)
        self._fixed = np.isin(np.arange(size), ids)
        self._hiding = Hiding(aim.share, special["mask"], np.flatnonzero(~self._fixed), settings.seed)
        self._settings, self._pairs = settings, aim.next_sentence
        self.words = aim.whole_words
        self.packing: Packing = "pairs" if self._pairs else settings.packing
        self._apart = settings.document_mask

    def window(self, context: int) -> int:
        return context

    def inputs(self, batch: Batch) -> Inputs:
        """ids, places and targets of hidden tokens; if batches know documents, those; then positions, or types and labels of pairs."""
        ids = batch.ids.numpy()
        starts = np.ones(ids.shape, dtype=np.bool_) if batch.words is None else batch.words.numpy()
        fixed = self._fixed[ids] if batch.documents is None else self._fixed[ids] | (batch.documents.numpy() == FILLING)
        hidden = self._hiding.hide(ids, starts, fixed, batch.numbers.numpy())
        tensors = [torch.from_numpy(column) for column in (hidden.ids, hidden.places, hidden.targets)]
        if batch.documents is not None and batch.positions is not None:
            filling = batch.documents == FILLING
            tensors.append(batch.documents if self._apart else torch.zeros_like(batch.documents).masked_fill(filling, FILLING))
            if self._apart:
                tensors.append(batch.positions)
            if self._pairs:
                tensors.append((batch.documents == 1).long())
                tensors.append(torch.from_numpy(~follows(self._settings.seed, batch.numbers.numpy())).long())
        return Inputs(tuple(tensors), int((hidden.targets != IGNORED).sum()))

    def module(self, model: EncoderModel) -> MaskedTokens:
        return MaskedTokens(model, self._apart, self._pairs, self._settings.accumulate)

    def validation(self, location: Path, around: Special, key: str, group: Ranks) -> MaskedValidation:
        return MaskedValidation(self, location, around, self._settings, key, group)


class MaskedTokens(nn.Module):
    """The training objective: mean cross entropy, in nats, of each hidden token; and of whether sentences follow, a pair's, if asked."""

    def __init__(self, encoder: EncoderModel, apart: bool, pairs: bool, parts: int) -> None:
        """``apart``: batches carry positions in documents; ``pairs``: types and labels; ``parts``: passes that make up a batch."""
        super().__init__()
        self.encoder, self.apart, self.pairs, self.parts = encoder, apart, pairs, parts

    def forward(self, ids: Tensor, places: Tensor, targets: Tensor, *more: Tensor) -> Tensor:
        """As `MaskedTokensObjective.inputs` has them, and the number of tokens to divide the sum of nats by -> float32 scalar."""
        states = self.states(ids, *more[:-1])
        nats = F.cross_entropy(self.scores(states, places).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum")
        loss = nats / more[-1]
        if self.pairs:
            loss = loss + F.cross_entropy(self.encoder.follows(states).float(), more[2]) / self.parts
        return loss

    def states(self, ids: Tensor, documents: Tensor | None = None, *more: Tensor) -> Tensor:
        """float [batch, time, width]."""
        return self.encoder.hidden(ids, more[0] if self.pairs else None, documents, more[0] if self.apart else None)

    def scores(self, states: Tensor, places: Tensor) -> Tensor:
        """Logits of the tokens at int64 [batch, most] places: float [batch * most, vocab]."""
        chosen = states.gather(1, places[..., None].expand(-1, -1, states.shape[-1]))
        return self.encoder.scores(chosen.flatten(0, 1))
