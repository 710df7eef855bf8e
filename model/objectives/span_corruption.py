"""The model: *span corruption* (Raffel et al. 2020, arXiv:1910.10683, section 3.3) is what T5 is trained by. Some *spans* of a sample are
cut out; what is read has a *sentinel* in the place of each, what is written has each behind its sentinel:

    read      Thank you <extra_id_0> me to your party <extra_id_1> week </s>
    written   <extra_id_0> for inviting <extra_id_1> last </s>

How many tokens and spans are cut depends on the sample's length alone, so all samples of one window are of one shape, without padding.
Which ones is drawn, as T5's own code does it: both what is cut and what stays fall into as many pieces, which alternate, and a piece that
stays comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from model.data import Batch
from model.draws import generator
from model.objectives.objective import Inputs
from model.objectives.written import Writing
from schemas.errors import RequestError
from schemas.recipe import Pretrain

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Cuts:
    """How much is cut out of samples of one length."""

    tokens: int
    spans: int
    read: int
    """Tokens that are read then: what stays, a sentinel a span, and the eos."""
    written: int
    """Tokens that are written: what was cut, its sentinels, and the eos."""


def cuts_of(length: int, share: float, span: float) -> Cuts:
    """Of a sample of at least 2 tokens: something is cut, and something stays."""
    tokens = min(max(round(length * share), 1), length - 1)
    spans = min(max(round(tokens / span), 1), length - tokens)
    return Cuts(tokens, spans, length - tokens + spans + 1, tokens + spans + 1)


def longest(context: int, share: float, span: float) -> int:
    """The most tokens of a sample of which no more than ``context`` are read when it is cut."""
    length = 2
    while cuts_of(length + 1, share, span).read <= context:
        length += 1
    return length


class SpanCorruption(Writing):
    """The objective; see the module."""

    def __init__(self, settings: Pretrain, special: Mapping[str, int], sentinels: Sequence[int]) -> None:
        super().__init__(settings, special)
        self._sentinels = np.array(sentinels, dtype=np.int64)

    def window(self, context: int) -> int:
        """Raises RequestError if the tokenizer has too few sentinels."""
        length = longest(context, self._share, self._span)
        spans, there = cuts_of(length, self._share, self._span).spans, len(self._sentinels)
        if there < spans:
            raise RequestError(
                f"the tokenizer has {there} sentinels, and span corruption cuts {spans} spans out of {length} tokens (for a context of "
                f"{context}): set tokenizer.sentinels to {spans} or more"
                + (", or shorten the context, or lengthen pretrain.objective.span" if there else ", or tokenizer.family to t5")
            )
        return length

    def inputs(self, batch: Batch) -> Inputs:
        ids, seed = batch.ids.numpy(), self._settings.seed
        cuts = cuts_of(ids.shape[1], self._share, self._span)
        lengths = [_pieces(seed, number, ids.shape[1], cuts) for number in batch.numbers.tolist()]
        return Inputs(tuple(map(torch.from_numpy, self.corrupt(ids, lengths, cuts))))

    def corrupt(self, ids: Ints, pieces: Sequence[Ints], cuts: Cuts) -> tuple[Ints, Ints]:
        """Samples [samples, length], and for each the lengths of its pieces (what stays and what is cut, in turn) -> what is read
        [samples, read], and what is written [samples, 1 + written], with its start token."""
        special, sentinels = self._special, np.tile(self._sentinels[: cuts.spans], len(ids))
        lengths = np.stack(pieces)
        hidden = np.repeat(np.tile([False, True], cuts.spans * len(ids)), lengths.ravel()).reshape(ids.shape)
        number = np.arange(cuts.spans)
        stay, gone = lengths[:, 0::2], lengths[:, 1::2]
        read = np.full((len(ids), cuts.read), special["eos"])
        written = np.full((len(ids), 1 + cuts.written), special["eos"])
        written[:, 0] = special["pad"]
        _lay(read[:, :-1], stay.cumsum(1) + number, sentinels, ids[~hidden])
        _lay(written[:, 1:-1], gone.cumsum(1) - gone + number, sentinels, ids[hidden])
        return read, written


def cut(draws: np.random.Generator, items: int, parts: int) -> Ints:
    """Lengths of ``parts`` pieces, none empty, that ``items`` fall into: all ways are equally likely. int64 [parts]."""
    ends = np.sort(draws.permutation(items - 1)[: parts - 1]) + 1
    return np.diff(ends, prepend=0, append=items)


def _pieces(seed: int, number: int, length: int, cuts: Cuts) -> Ints:
    draws = generator(seed, number)
    gone, stay = cut(draws, cuts.tokens, cuts.spans), cut(draws, length - cuts.tokens, cuts.spans)
    return np.stack((stay, gone), axis=1).ravel()


def _lay(rows: Ints, places: Ints, sentinels: Ints, others: Ints) -> None:
    """Fill rows: sentinels at their places, [rows, spans], and all else, in order, where none is."""
    at = np.zeros(rows.shape, dtype=bool)
    np.put_along_axis(at, places, True, axis=1)
    rows[at], rows[~at] = sentinels, others
