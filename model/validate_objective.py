"""The model: where predicted tokens are not all the text's, bits per byte say nothing, and validation measures the *objective's loss*: mean
nats a predicted token on held-out text, by language. Documents, windows and all that is drawn for them are fixed, so that losses
compare from step to step. They don't compare across tokenizers, nor across settings of the objective.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from model.data import Batch
from model.objectives import Inputs, Objective
from model.parallel import Ranks
from model.stream import Stream
from model.validate import BATCH, drawn_documents


class ObjectiveLoss:
    """A fixed draw of held-out samples by language, and the ranks that score it together."""

    measure = "validation_loss"
    """What metrics call it."""

    def __init__(self, objective: Objective, streams: Mapping[str, Stream], tokens: int, context: int, key: str, ranks: Ranks) -> None:
        """Every language gets an even share of ``tokens``; ``key`` decides the draw. A language that fills no window isn't measured."""
        self._objective, self._ranks = objective, ranks
        window, share = objective.window(context), tokens // max(len(streams), 1)
        self._batches: dict[str, list[Inputs]] = {}
        self._samples: dict[str, int] = {}
        for lang, stream in streams.items():
            ids = np.concatenate([stream.document(document) for document in drawn_documents(stream, max(share, window), f"{key}/{lang}")])
            count = len(ids) // window
            samples = torch.from_numpy(ids[: count * window]).view(count, window)
            numbers = -1 - torch.arange(count)  # training's begin at 0
            mine = slice(ranks.rank, None, ranks.count)
            parts = zip(samples[mine].split(BATCH), numbers[mine].split(BATCH), strict=True)
            if count:
                self._batches[lang] = [objective.inputs(Batch(part, number)) for part, number in parts if len(part)]
                self._samples[lang] = count

    @torch.no_grad()
    def by_language(self, model: nn.Module, precision: torch.dtype) -> dict[str, float]:
        """Mean nats a predicted token; all ranks call it together and get the same."""
        module, found = self._objective.module(model), {}
        for lang, batches in self._batches.items():
            nats = torch.zeros((), dtype=torch.float64)
            for inputs in batches:
                with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
                    loss = module(*inputs.tensors)
                told = loss[1] if isinstance(loss, tuple) else loss
                nats += told.double() * len(inputs.tensors[0])
            found[lang] = float(self._ranks.add(nats)) / self._samples[lang]
        return found
