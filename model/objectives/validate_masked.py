"""The model: *validation* of an encoder hides tokens of held-out text, the same ones each time, and measures by language: nats a hidden
token, the share of them that is told right, and, for pairs, the share of pairs.

The text is a fixed draw of rows, laid as pairs if the model was trained on these, else as packs of whole documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from model.data import Batch, Packing, layout_of, read_batch
from model.device import computing
from model.encoder import EncoderModel
from model.objectives.hiding import IGNORED
from model.objectives.objective import Inputs
from model.order import Permutation
from model.parallel import Ranks
from model.text import Special, open_text
from model.words import WordStarts
from schemas.recipe import Pretrain

if TYPE_CHECKING:
    from model.objectives.masked_tokens import MaskedTokensObjective

BATCH = 16
FIRST = 1 << 62
"""Number of the first sample: no sample of training has it, so masks are others."""


class MaskedValidation:
    """A fixed draw of held-out rows by language, and the ranks that score it together."""

    measure = "validation_loss"
    fact = "validation_loss"

    def __init__(
        self, objective: MaskedTokensObjective, location: Path, around: Special, settings: Pretrain, key: str, group: Ranks
    ) -> None:
        """Every language gets an even share of `validate_tokens`; ``key`` decides the draw."""
        self._objective, self._group = objective, group
        text, _ = open_text(location, "validation", around)
        window = objective.window(settings.model.context)
        packing: Packing = "pairs" if objective.packing == "pairs" else "best_fit"
        layout = layout_of(text, window, packing, settings.seed)
        starts = WordStarts(text) if objective.words else None
        rows = max(settings.validate_tokens // max(len(text.index.streams), 1) // window, 1)
        self._passes: dict[str, list[Inputs]] = {}
        for number, (lang, count) in enumerate(zip(text.index.streams, layout.counts, strict=True)):
            if count:
                taken = Permutation(count, f"{key}/{lang}/validation".encode())(np.arange(min(rows, count)))
                samples = FIRST + number * (1 << 32) + np.arange(len(taken))
                segments = layout.segments(np.full(len(taken), number), taken, samples)
                batch = read_batch(text, segments, samples, window, True, starts if starts and starts.known else None)
                self._passes[lang] = [objective.inputs(part) for part in _cut(batch, group)]

    @torch.no_grad()
    def measures(self, model: EncoderModel, precision: torch.dtype) -> dict[str, dict[str, float]]:
        """By name, then language; all ranks call it together and get the same."""
        module, device = self._objective.module(model), self._group.device
        found: dict[str, dict[str, float]] = {self.measure: {}, "masked_accuracy": {}, "next_sentence_accuracy": {}}
        for lang, passes in self._passes.items():
            total = torch.zeros(5, dtype=torch.float64, device=device)  # nats, right, hidden; pairs told right, pairs
            for inputs in passes:
                ids, places, targets, *more = inputs.on(device).tensors
                with computing(device, precision):
                    states = module.states(ids, *more)
                    logits = module.scores(states, places).float()
                    told = model.follows(states).argmax(-1) if self._objective.packing == "pairs" else None
                wanted = targets.flatten()
                total[0] += F.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="sum").double()
                total[1] += (logits.argmax(-1) == wanted).sum()
                total[2] += (wanted != IGNORED).sum()
                if told is not None:
                    total[3] += (told == more[2]).sum()
                    total[4] += len(told)
            nats, right, hidden, following, pairs = self._group.add(total).tolist()
            if hidden:
                found[self.measure][lang], found["masked_accuracy"][lang] = nats / hidden, right / hidden
            if pairs:
                found["next_sentence_accuracy"][lang] = following / pairs
        return {name: by_language for name, by_language in found.items() if by_language or name == self.measure}


def _cut(sample: Batch, group: Ranks) -> Iterator[Batch]:
    """This rank's rows, some at a time."""
    mine = np.arange(group.rank, len(sample.ids), group.count)
    for first in range(0, len(mine), BATCH):
        rows = torch.from_numpy(mine[first : first + BATCH])
        columns = {name: getattr(sample, name) for name in ("ids", "numbers", "documents", "positions", "words")}
        yield replace(sample, **{name: column[rows] for name, column in columns.items() if column is not None})
