"""The model: *denoising* (Lewis et al. 2020, arXiv:1910.13461) is what BART is trained by: *text infilling*. Spans of a sample give way to
one *mask* each, whatever their length, and the whole sample is written:

    read      Thank you <mask> me to <mask> your party week </s>
    written   Thank you for inviting me to your party last week </s>

A span may be of no tokens: then a mask stands where nothing is missing. Lengths are of a Poisson distribution. The number of tokens
that are cut is fixed by the sample's length, and given their sum, such lengths are multinomial: so all samples of one window are of one
shape. No two masks stand side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from model.data import Batch
from model.draws import generator
from model.objectives.objective import Inputs
from model.objectives.span_corruption import Cuts, cuts_of, longest
from model.objectives.written import Writing
from schemas.errors import RequestError
from schemas.recipe import Pretrain

Ints = NDArray[np.int64]


class Denoising(Writing):
    """The objective; see the module."""

    def __init__(self, settings: Pretrain, special: Mapping[str, int], sentinels: Sequence[int]) -> None:
        """The mask is the tokenizer's, or else its first sentinel. Raises RequestError if it has neither."""
        super().__init__(settings, special)
        mask = special.get("mask", sentinels[0] if sentinels else None)
        if mask is None:
            raise RequestError(
                "the tokenizer has no token that denoising could put in the place of spans: name one, tokenizer.special_tokens.mask, "
                "or set tokenizer.sentinels to 1 or more"
            )
        self._mask = mask

    def window(self, context: int) -> int:
        return longest(context, self._share, self._span)

    def inputs(self, batch: Batch) -> Inputs:
        ids = batch.ids.numpy()
        cuts = cuts_of(ids.shape[1], self._share, self._span)
        rows = [self.corrupt(row, self._settings.seed, number, cuts) for row, number in zip(ids, batch.numbers.tolist(), strict=True)]
        start, eos = (np.full((len(ids), 1), self._special[role]) for role in ("pad", "eos"))
        return Inputs((torch.from_numpy(np.stack(rows)), torch.from_numpy(np.concatenate((start, ids, eos), axis=1))))

    def corrupt(self, ids: Ints, seed: int, number: int, cuts: Cuts) -> Ints:
        """A sample, int64 [length] -> what is read of it, [read]."""
        draws, stay = generator(seed, number), len(ids) - cuts.tokens
        lengths = draws.multinomial(cuts.tokens, np.full(cuts.spans, 1 / cuts.spans))
        before = np.sort(draws.permutation(stay + 1)[: cuts.spans])  # how many tokens that stay lie before each span
        start = before + np.cumsum(lengths) - lengths
        hidden = np.zeros(len(ids), dtype=bool)
        hidden[np.repeat(start - np.cumsum(lengths) + lengths, lengths) + np.arange(cuts.tokens)] = True
        read = np.full(cuts.read, self._special["eos"])
        masks = np.zeros(cuts.read - 1, dtype=bool)
        masks[before + np.arange(cuts.spans)] = True
        read[:-1][masks], read[:-1][~masks] = self._mask, ids[~hidden]
        return read
