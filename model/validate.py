"""The model: *validation* measures bits per byte by language on held-out documents while a model trains: the negative
log2-likelihood of all their tokens, eos included, over their bytes of UTF-8 text. It compares across tokenizers.

The documents are a fixed draw, laid in one stream as for training, so that a token sees at most one context before it; of its own
document alone, if the model was trained so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from model.device import computing
from model.families import Causal
from model.order import Permutation
from model.parallel import Ranks
from model.stream import Stream

IGNORED = -100
BATCH = 16


@dataclass(frozen=True)
class Sample:
    """Held-out text of one language: what the model reads and is to predict, int64 [blocks, context] each, and its size."""

    inputs: torch.Tensor
    targets: torch.Tensor
    """Next tokens; ``IGNORED`` where that is a bos or filling."""
    documents: torch.Tensor
    """Which document each input is of."""
    positions: torch.Tensor
    """Of each input in its document, as far as its block has that."""
    n_bytes: int
    """Bytes of UTF-8 text of the documents."""


class Validation:
    """A fixed draw of held-out documents by language, and the ranks that score it together."""

    measure = "bits_per_byte"
    """What metrics call it."""
    fact = "validation_bits_per_byte"
    """What the model's facts call it."""

    def __init__(self, streams: Mapping[str, Stream], tokens: int, context: int, key: str, ranks: Ranks, masked: bool) -> None:
        """Every language gets an even share of ``tokens``; ``key`` decides the draw; ``masked``: documents are read as if each stood
        alone. No streams: nothing is measured."""
        self._ranks, self._masked = ranks, masked
        share = tokens // max(len(streams), 1)
        self._samples = {lang: draw(stream, share, context, f"{key}/{lang}/validation") for lang, stream in streams.items()}

    def measures(self, model: Causal, precision: torch.dtype) -> dict[str, dict[str, float]]:
        """By name, then language."""
        return {self.measure: self.by_language(model, precision)}

    @torch.no_grad()
    def by_language(self, model: Causal, precision: torch.dtype) -> dict[str, float]:
        """Bits per byte; all ranks call it together and get the same."""
        found, device = {}, self._ranks.device
        for lang, sample in self._samples.items():
            mine = slice(self._ranks.rank, None, self._ranks.count)
            nats = torch.zeros((), dtype=torch.float64, device=device)
            columns = (sample.inputs, sample.targets, sample.documents, sample.positions)
            for inputs, targets, documents, positions in zip(*(column[mine].to(device).split(BATCH) for column in columns), strict=True):
                with computing(device, precision):
                    logits = model(inputs, packed=(documents, positions) if self._masked else None)
                loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum")
                nats += loss.double()
            found[lang] = float(self._ranks.add(nats)) / math.log(2) / sample.n_bytes
        return found


def drawn_documents(stream: Stream, tokens: int, key: str) -> list[int]:
    """Documents, in an order drawn by ``key``, that fit together in ``tokens``; the shortest one if none does."""
    order = Permutation(stream.documents, key.encode())(np.arange(stream.documents))
    chosen, left = [], tokens
    for document in order:
        size = stream.length(document)
        if size <= left:
            chosen.append(document)
            left -= size
        if left < tokens // 50:
            break
    return chosen or [min(order, key=stream.length)]


def draw(stream: Stream, tokens: int, context: int, key: str) -> Sample:
    """The text of `drawn_documents`."""
    chosen = drawn_documents(stream, tokens, key)
    ids = np.concatenate([stream.document(document) for document in chosen])
    sizes = np.array([stream.length(document) for document in chosen])
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    following = np.append(ids[1:], IGNORED)
    following[np.cumsum(sizes) - 1] = IGNORED
    place = np.arange(len(ids))
    positions = place - np.maximum(first, place // context * context)
    columns = [(ids, 0), (following, IGNORED), (np.repeat(np.arange(len(sizes)), sizes), -1), (positions, 0)]
    blocks = -(-len(ids) // context)
    filled = [np.pad(column, (0, blocks * context - len(ids)), constant_values=value) for column, value in columns]
    inputs, targets, documents, positions = (torch.from_numpy(column).reshape(blocks, context) for column in filled)
    return Sample(inputs, targets, documents, positions, int(stream.n_bytes[chosen].sum()))
