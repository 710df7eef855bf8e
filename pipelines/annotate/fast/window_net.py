"""The model: a *window net* labels every *token* of a sequence from the *types* of its neighbours.

    rows of a type -> sum of embeddings -> hidden layer -> one *projection* for every place in the window
    tokens -> sum of the projections of their neighbours -> hidden layer over three tokens -> labels

A token may have a type in several *streams* (a character, the pair it makes with the next); each stream has its own
window. What comes before the second line is computed once a type, so a token costs look-ups, additions and two small
products.

All arithmetic is on integers, so that every machine gives the same labels: weights are int8, activations 7 bits, sums of
the window int16. Products run as float32 because that is what libraries make fast; their terms are whole numbers below
2^14 and no sum reaches 2^24, so each is exact in any order (the test of bounds is `MAX_TERMS`).

Fixed point: a weight w stands for w / 64, an activation a for a / 16, a projection p for p / 256.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from pipelines.annotate.fast.hashing import Indices, Rows

WEIGHT, ACTIVATION, PROJECTION = 64, 16, 256
"""What 1.0 is, for a weight, an activation and a projection."""

TOP = 127
"""Largest magnitude of a weight or an activation."""

MAX_TERMS = (1 << 24) // (TOP * TOP) - 8
"""Terms that a product may sum: any sum of so many products and a bias is below 2^24, exact in float32."""

PROJECTIONS_TOP = (1 << 15) - 1
"""Sums of projections stay within int16."""

_CHUNK_TOKENS = 1024
"""Tokens at a time, so that what is computed stays in the processor's cache."""
_CHUNK_TYPES = 512

Float = npt.NDArray[np.float32]
Types = npt.NDArray[np.int32]
Projections = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Stream:
    """The weights of one stream, as whole numbers in float32, and where its window lies."""

    offsets: tuple[int, ...]
    """Places of the window relative to the token."""
    embedding: npt.NDArray[np.int8]
    """(rows, width)"""
    hidden: Float
    """(width, hidden)"""
    hidden_bias: Float
    projection: Float
    """(width + hidden, places * channels)"""
    projection_bias: Float

    def projections(self, rows: Rows, clip: int) -> Projections:
        """Projections of types, (places, types + 1, channels), from their feature rows (types, features).

        Type 0 is padding: it adds nothing.
        """
        channels = self.projection.shape[1] // len(self.offsets)
        out = np.zeros((len(self.offsets), rows.shape[0] + 1, channels), np.int16)
        with _one_thread():
            for start in range(0, rows.shape[0], _CHUNK_TYPES):
                some = rows[start : start + _CHUNK_TYPES]
                total = np.zeros((some.shape[0], self.embedding.shape[1]), np.int16)
                for feature in range(some.shape[1]):
                    total += self.embedding[some[:, feature]]
                vector = np.clip(_divided(total.astype(np.float32), WEIGHT // ACTIVATION), -TOP, TOP)
                hidden = np.clip(_divided(vector @ self.hidden + self.hidden_bias, WEIGHT), 0, TOP)
                made = _divided(
                    np.concatenate([vector, hidden], axis=1) @ self.projection + self.projection_bias, WEIGHT * ACTIVATION // PROJECTION
                )
                made = np.clip(made, -clip, clip).reshape(some.shape[0], len(self.offsets), channels)
                out[:, start + 1 : start + 1 + some.shape[0]] = made.transpose(1, 0, 2)
        return out


@dataclass(frozen=True)
class WindowNet:
    """The weights of a net; see the module."""

    streams: tuple[Stream, ...]
    context: Float
    """(3, channels, width): the token before, the token, the token behind."""
    context_bias: Float
    output: Float
    """(width + channels, labels)"""
    output_bias: Float

    @property
    def clip(self) -> int:
        """Largest magnitude of a projection."""
        return PROJECTIONS_TOP // sum(len(stream.offsets) for stream in self.streams)

    @property
    def margin(self) -> int:
        """Tokens of padding that part two sequences."""
        return max(abs(offset) for stream in self.streams for offset in stream.offsets) + 1

    def tables(self, features: Sequence[Rows]) -> list[Projections]:
        """Projections of the types of each stream from their feature rows, as `labels` reads them."""
        return [stream.projections(rows, self.clip) for stream, rows in zip(self.streams, features, strict=True)]

    def labels(self, types: Sequence[Types], tables: Sequence[Projections], ends: Indices) -> npt.NDArray[np.uint8]:
        """The label of each token, uint8 (tokens,): that of the highest score, the lowest of equals.

        `types[s]` is the type of each token in stream s, from 0, `tables[s]` the projections of those types; `ends` are the
        ends of the sequences, in tokens, increasing. No sequence sees another.
        """
        tokens = types[0].size
        place = np.arange(tokens) + self.margin
        starts = ends[:-1]
        shift = np.zeros(tokens, np.int64)
        shift[starts[starts < tokens]] = self.margin
        place += np.cumsum(shift)
        size = (int(place[-1]) if tokens else 0) + self.margin + 1
        real = np.zeros(size, bool)
        real[place] = True
        padded = []
        for stream_types in types:
            row = np.zeros(size, np.int32)
            row[place] = stream_types + 1
            padded.append(row)
        labels = np.empty(size, np.uint8)
        scratch = _Scratch.of(self.context.shape[1], self.context.shape[2], self.output_bias.size)
        with _one_thread():
            for start in range(self.margin, size - self.margin, _CHUNK_TOKENS):
                stop = min(start + _CHUNK_TOKENS, size - self.margin)
                labels[start:stop] = self._scores(tables, padded, real, start, stop, scratch).argmax(axis=1)
        return labels[place]

    def _scores(
        self, tables: Sequence[Projections], padded: list[Types], real: npt.NDArray[np.bool_], start: int, stop: int, scratch: _Scratch
    ) -> Float:
        """Scores of the places from `start` to `stop`, in `scratch`: fresh memory costs more than the sums do."""
        tokens = stop - start
        total, part, hidden = scratch.total[: tokens + 2], scratch.part[: tokens + 2], scratch.hidden[: tokens + 2]
        into = total
        for stream, table, row in zip(self.streams, tables, padded, strict=True):
            for number, offset in enumerate(stream.offsets):
                table[number].take(row[start - 1 + offset : stop + 1 + offset], axis=0, out=into, mode="clip")
                if into is part:
                    total += part
                into = part
        shift = PROJECTION // ACTIVATION
        total += shift // 2
        total >>= shift.bit_length() - 1
        np.clip(total, 0, TOP, out=total)
        total[~real[start - 1 : stop + 1]] = 0
        hidden[:] = total
        context, more = scratch.context[:tokens], scratch.more[:tokens]
        scores, share = scratch.scores[:tokens], scratch.share[:tokens]
        np.matmul(hidden[:-2], self.context[0], out=context)
        for side in (1, 2):
            np.matmul(hidden[side : tokens + side], self.context[side], out=more)
            context += more
        context += self.context_bias
        np.clip(_divided(context, WEIGHT), 0, TOP, out=context)
        np.matmul(context, self.output[: context.shape[1]], out=scores)
        np.matmul(hidden[1:-1], self.output[context.shape[1] :], out=share)
        scores += share
        scores += self.output_bias
        return scores


@dataclass(frozen=True)
class _Scratch:
    """Memory for one chunk."""

    total: npt.NDArray[np.int16]
    part: npt.NDArray[np.int16]
    hidden: Float
    context: Float
    more: Float
    scores: Float
    share: Float

    @classmethod
    def of(cls, channels: int, width: int, labels: int) -> _Scratch:
        size = _CHUNK_TOKENS + 2
        return cls(
            np.empty((size, channels), np.int16),
            np.empty((size, channels), np.int16),
            np.empty((size, channels), np.float32),
            np.empty((size, width), np.float32),
            np.empty((size, width), np.float32),
            np.empty((size, labels), np.float32),
            np.empty((size, labels), np.float32),
        )


def _one_thread() -> AbstractContextManager[object]:
    """Products by one thread: these are small, and threads that wait for each other would cost ten times what they save."""
    return _libraries().limit(limits=1, user_api="blas")


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _divided(values: Float, by: int) -> Float:
    """Whole numbers over a power of two, to the nearest, halves up; exact."""
    values *= np.float32(1 / by)
    values += np.float32(0.5)
    return np.floor(values, out=values)


def net_from(tensors: Mapping[str, npt.NDArray[np.generic]], offsets: Sequence[Sequence[int]]) -> WindowNet:
    """The net of named int8 and int32 tensors, as training writes them. Raises ValueError if one is too large to be exact."""

    def whole(name: str) -> Float:
        tensor = tensors[name]
        if tensor.ndim == 2 and tensor.shape[0] > MAX_TERMS:
            raise ValueError(f"{name} sums {tensor.shape[0]} terms, more than the {MAX_TERMS} that are exact")
        return tensor.astype(np.float32)

    streams = tuple(
        Stream(
            tuple(places), np.ascontiguousarray(tensors[f"{s}.embedding"], np.int8), whole(f"{s}.hidden"), whole(f"{s}.hidden_bias"),
            whole(f"{s}.projection"), whole(f"{s}.projection_bias"),
        )
        for s, places in enumerate(offsets)
    )  # fmt: skip
    context = whole("context")
    return WindowNet(
        streams, context.reshape(3, context.shape[0] // 3, context.shape[1]), whole("context_bias"), whole("output"), whole("output_bias")
    )
