"""The model: the *nats* of a text are the negative log-likelihood that a language model gives to all its tokens and its
eos, after a bos. A decoder reads a text through *windows* of its context: one if it fits, else windows that start half a
context apart, the last one flush with the text's end. Each token counts once, in the first window that predicts it, so
that from the second window on at least half a context stands before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from model.evaluate.held_out import Text
from model.families import Causal
from model.ngram import KneserNey, frame

Floats = npt.NDArray[np.float64]

LENGTH_STEP = 16
"""Windows are padded to multiples of this, to be few lengths."""
BATCH_POSITIONS = 4096
"""Padded positions of a batch; bounds the memory of the logits."""


class Window(NamedTuple):
    """Predictions `start` to `end` of text number `text`, of which those from `count_from` on count."""

    text: int
    start: int
    count_from: int
    end: int


def windows(text: int, predictions: int, context: int) -> Iterator[Window]:
    """The windows of a text with so many predictions; what counts in them covers each prediction once, in order."""
    stride = max(context // 2, 1)
    start = counted = 0
    while counted < predictions:
        end = min(start + context, predictions)
        yield Window(text, max(0, end - context), counted, end)
        start, counted = start + stride, end


@torch.no_grad()
def decoder_nats(model: Causal, texts: Sequence[Text], bos: int, eos: int, advance: Callable[[int], None] = lambda tokens: None) -> Floats:
    """[texts] nats under a decoder, in float32, scoring only what counts. Which texts share a batch changes nothing but float noise.

    Padding stands at the end of a window, where a causal model never looks. `advance` hears of tokens scored.
    """
    framed = [np.concatenate(([bos], text.tokens, [eos])).astype(np.int64) for text in texts]
    queue = [w for number, text in enumerate(texts) for w in windows(number, text.predicted, model.config.context)]
    queue.sort(key=lambda window: window.start - window.end)  # longest first: a batch too big for the memory fails at once
    nats = np.zeros(len(texts))
    while queue:
        length = -(-(queue[0].end - queue[0].start) // LENGTH_STEP) * LENGTH_STEP
        length = min(length, model.config.context)
        size = max(BATCH_POSITIONS // length, 1)
        batch, queue = queue[:size], queue[size:]
        ids, target = np.full((2, len(batch), length), eos)
        counts = np.zeros((len(batch), length), dtype=bool)
        for row, window in enumerate(batch):
            n = window.end - window.start
            ids[row, :n] = framed[window.text][window.start : window.end]
            target[row, :n] = framed[window.text][window.start + 1 : window.end + 1]
            counts[row, window.count_from - window.start : n] = True
        states = model.hidden(torch.from_numpy(ids))[torch.from_numpy(counts)]
        logits = model.lm_head(states)[:, : model.vocab_size]
        losses = F.cross_entropy(logits, torch.from_numpy(target[counts]), reduction="none")
        which = np.repeat([window.text for window in batch], counts.sum(-1))
        np.add.at(nats, which, losses.double().numpy())
        advance(int(counts.sum()))
    return nats


def ngram_nats(model: KneserNey, texts: Sequence[Text], bos: int, eos: int) -> Floats:
    """[texts] nats under an n-gram model."""
    if not texts:
        return np.zeros(0)
    framed = frame([text.tokens for text in texts], bos, eos)
    starts = np.flatnonzero(framed.place == 0)
    return -np.add.reduceat(model.log_probs(framed), starts)
