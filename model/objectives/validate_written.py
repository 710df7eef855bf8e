"""The model: *validation* of an encoder-decoder takes held-out text apart, the same way each time, and measures nats a written token by
language. These compare from step to step, not across tokenizers nor settings of the objective; bits per byte would say nothing, where
most of the text is read.

The text is a fixed draw of documents, end to end, cut into windows as training's is.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from model.data import Batch
from model.device import computing
from model.encoder_decoder import EncoderDecoderModel
from model.objectives.objective import Inputs, Objective
from model.parallel import Ranks
from model.stream import Stream
from model.validate import BATCH, drawn_documents


class WrittenLoss:
    """A fixed draw of held-out samples by language, and the ranks that score it together."""

    measure = "validation_loss"
    fact = "validation_loss"

    def __init__(self, objective: Objective, streams: Mapping[str, Stream], tokens: int, window: int, key: str, ranks: Ranks) -> None:
        """Every language gets an even share of ``tokens``; ``key`` decides the draw. A language that fills no window isn't measured."""
        self._objective, self._ranks = objective, ranks
        share = max(tokens // max(len(streams), 1), window)
        self._batches: dict[str, list[Inputs]] = {}
        self._samples: dict[str, int] = {}
        for lang, stream in streams.items():
            documents = drawn_documents(stream, share, f"{key}/{lang}/validation")
            ids = np.concatenate([stream.document(document) for document in documents])
            count = len(ids) // window
            samples = torch.from_numpy(ids[: count * window]).view(count, window)
            numbers = -1 - torch.arange(count)  # training's begin at 0
            mine = slice(ranks.rank, None, ranks.count)
            parts = zip(samples[mine].split(BATCH), numbers[mine].split(BATCH), strict=True)
            if count:
                self._batches[lang] = [objective.inputs(Batch(part, number)) for part, number in parts if len(part)]
                self._samples[lang] = count

    @torch.no_grad()
    def measures(self, model: EncoderDecoderModel, precision: torch.dtype) -> dict[str, dict[str, float]]:
        """By name, then language; all ranks call it together and get the same."""
        module, found, device = self._objective.module(model), {}, self._ranks.device
        for lang, batches in self._batches.items():
            nats = torch.zeros((), dtype=torch.float64, device=device)
            for inputs in (batch.on(device) for batch in batches):
                with computing(device, precision):
                    loss = module(*inputs.tensors)
                told = loss[1] if isinstance(loss, tuple) else loss
                nats += told.double() * len(inputs.tensors[0])
            found[lang] = float(self._ranks.add(nats)) / self._samples[lang]
        return {self.measure: found}
