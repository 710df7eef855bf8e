"""The model: *validation* measures bits per byte by language on held-out documents while a model trains: the negative
log2-likelihood of all their tokens, eos included, over their bytes of UTF-8 text. It compares across tokenizers.

The documents are a fixed draw, laid in one stream as for training, so that a token sees at most one context before it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from model.data import Stream
from model.decoder import DecoderModel
from model.order import Permutation
from model.parallel import Ranks

IGNORED = -100
BATCH = 16


@dataclass(frozen=True)
class Sample:
    """Held-out text of one language: what the model reads and is to predict, int64 [blocks, context] each, and its size."""

    inputs: torch.Tensor
    targets: torch.Tensor
    """Next tokens; ``IGNORED`` where that is a bos or filling."""
    n_bytes: int
    """Bytes of UTF-8 text of the documents."""


class Validation:
    """A fixed draw of held-out documents by language, and the ranks that score it together."""

    def __init__(self, streams: Mapping[str, Stream], tokens: int, context: int, key: str, ranks: Ranks) -> None:
        """Every language gets an even share of ``tokens``; ``key`` decides the draw. No streams: nothing is measured."""
        self._ranks = ranks
        share = tokens // max(len(streams), 1)
        self._samples = {lang: draw(stream, share, context, f"{key}/{lang}/validation") for lang, stream in streams.items()}

    @torch.no_grad()
    def bits_per_byte(self, model: DecoderModel, precision: torch.dtype) -> dict[str, float]:
        """By language; all ranks call it together and get the same."""
        found = {}
        for lang, sample in self._samples.items():
            mine = slice(self._ranks.rank, None, self._ranks.count)
            nats = torch.zeros((), dtype=torch.float64)
            for inputs, targets in zip(sample.inputs[mine].split(BATCH), sample.targets[mine].split(BATCH), strict=True):
                with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
                    logits = model(inputs)
                loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum")
                nats += loss.double()
            found[lang] = float(self._ranks.add(nats)) / math.log(2) / sample.n_bytes
        return found


def draw(stream: Stream, tokens: int, context: int, key: str) -> Sample:
    """Whole documents, in an order drawn by ``key``, that fit together in ``tokens``; the shortest one if none does."""
    order = Permutation(stream.documents, key.encode())(np.arange(stream.documents))
    chosen, left = [], tokens
    for document in order:
        size = stream.length(document)
        if size <= left:
            chosen.append(document)
            left -= size
        if left < tokens // 50:
            break
    chosen = chosen or [min(order, key=stream.length)]
    ids = np.concatenate([stream.document(document) for document in chosen])
    first = np.cumsum([0] + [stream.length(document) for document in chosen[:-1]])
    following = np.append(ids[1:], IGNORED)
    following[first[1:] - 1] = IGNORED
    blocks = -(-len(ids) // context)
    filling = blocks * context - len(ids)
    inputs = np.pad(ids, (0, filling)).reshape(blocks, context)
    targets = np.pad(following, (0, filling), constant_values=IGNORED).reshape(blocks, context)
    return Sample(torch.from_numpy(inputs), torch.from_numpy(targets), int(stream.n_bytes[chosen].sum()))
