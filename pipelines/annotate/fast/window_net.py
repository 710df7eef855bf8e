"""The model: a *window net* labels every *token* of a sequence from the *types* of its neighbours.

    rows of a type -> sum of embeddings -> hidden layer -> one *projection* for every place in the window
    tokens -> sum of the projections of their neighbours -> hidden layer over three tokens -> labels

A token may have a type in several *streams* (a character, the pair it makes with the next); each stream has its own
window. What comes before the second line is computed once a type, so a token costs look-ups, additions and two small
products.

All arithmetic is on integers, so that every machine gives the same labels: weights are int8, activations 7 bits, sums of
the window int16. Products run as float32 because that is what libraries make fast; their terms are whole numbers below
2^14 and no sum reaches 2^24, so each is exact in any order (the test of bounds is `MAX_TERMS`).

Fixed point: a weight w stands for w / 64, an activation a for a / 16, a projection p for p / 256. What a product is divided by
to come to the next scale, a power of two, is in its weights already, and the half that makes floor round to the nearest is in its
bias: all terms are multiples of that power, so nothing is less exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

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

_EMBEDDED = WEIGHT // ACTIVATION
"""What a sum of embeddings is divided by."""

_CHUNK_TOKENS = 1024
"""Tokens at a time, so that what is computed stays in the processor's cache."""
_CHUNK_TYPES = 512

Float = npt.NDArray[np.float32]
Types = npt.NDArray[np.int32]
Projections = npt.NDArray[np.int16]


class Table(NamedTuple):
    """Projections of types: of one stream, or, for types of several streams that go together, their sums."""

    offsets: tuple[int, ...]
    """Places of the window relative to the token, increasing."""
    projections: Projections
    """(places, types + 1, channels); row 0 is for padding, it adds nothing."""

    def add(self, types: Types, offsets: Sequence[int], out: Projections) -> None:
        """Add the projections of types, from 0, to `out`, (len(offsets), types, channels)."""
        for start in range(0, types.size, _CHUNK_TYPES):
            rows = types[start : start + _CHUNK_TYPES].astype(np.intp) + 1
            for offset, projections in zip(self.offsets, self.projections, strict=True):
                out[offsets.index(offset), start : start + _CHUNK_TYPES] += projections.take(rows, axis=0)


def union(*windows: Sequence[int]) -> tuple[int, ...]:
    """The offsets of a table for several streams together, from each one's."""
    return tuple(sorted({offset for window in windows for offset in window}))


@dataclass(frozen=True)
class Stream:
    """The weights of one stream, and where its window lies."""

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

    def add(self, rows: Rows, clip: int, offsets: Sequence[int], out: Projections) -> None:
        """Add the projections of types to `out`, (len(offsets), types, channels), from their feature rows (types, features)."""
        places = [offsets.index(offset) for offset in self.offsets]
        with _one_thread():
            for start in range(0, rows.shape[0], _CHUNK_TYPES):
                some = rows[start : start + _CHUNK_TYPES]
                total = np.full((some.shape[0], self.embedding.shape[1]), _EMBEDDED // 2, np.int16)
                for feature in range(some.shape[1]):
                    total += self.embedding.take(some[:, feature], axis=0)
                vector = np.clip(total >> (_EMBEDDED.bit_length() - 1), -TOP, TOP).astype(np.float32)
                hidden = np.floor(vector @ self.hidden + self.hidden_bias).clip(0, TOP)
                made = np.concatenate([vector, hidden], axis=1) @ self.projection
                made += self.projection_bias
                np.floor(made, out=made)
                np.clip(made, -clip, clip, out=made)
                whole = made.astype(np.int16).reshape(some.shape[0], len(places), -1)
                for number, place in enumerate(places):
                    out[place, start : start + _CHUNK_TYPES] += whole[:, number]

    def table(self, rows: Rows, clip: int) -> Table:
        """The table of types from their feature rows (types, features)."""
        places = len(self.offsets)
        out = np.zeros((places, rows.shape[0] + 1, self.projection.shape[1] // places), np.int16)
        self.add(rows, clip, self.offsets, out[:, 1:])
        return Table(self.offsets, out)


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
    def channels(self) -> int:
        """Channels of a projection."""
        return self.context.shape[1]

    @property
    def margin(self) -> int:
        """Tokens of padding that part two sequences."""
        return max(abs(offset) for stream in self.streams for offset in stream.offsets) + 1

    def tables(self, features: Sequence[Rows]) -> list[Table]:
        """The table of each stream from the feature rows of its types."""
        return [stream.table(rows, self.clip) for stream, rows in zip(self.streams, features, strict=True)]

    def labels(self, types: Sequence[Types], tables: Sequence[Table], ends: Indices) -> npt.NDArray[np.uint8]:
        """The label of each token, uint8 (tokens,): that of the highest score, the lowest of equals.

        `types[t]` is the type of each token in `tables[t]`, from 0; `ends` are the ends of the sequences, in tokens,
        increasing. No sequence sees another.
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
            row = np.zeros(size, np.intp)  # what `take` would make of other indices, again in every window
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
        self,
        tables: Sequence[Table],
        padded: list[npt.NDArray[np.intp]],
        real: npt.NDArray[np.bool_],
        start: int,
        stop: int,
        scratch: _Scratch,
    ) -> Float:
        """Scores of the places from `start` to `stop`, in `scratch`: fresh memory costs more than the sums do."""
        tokens = stop - start
        total, part, hidden = scratch.total[: tokens + 2], scratch.part[: tokens + 2], scratch.hidden[: tokens + 2]
        into = total
        for table, row in zip(tables, padded, strict=True):
            for offset, projections in zip(table.offsets, table.projections, strict=True):
                projections.take(row[start - 1 + offset : stop + 1 + offset], axis=0, out=into, mode="clip")
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
        np.floor(context, out=context)
        np.clip(context, 0, TOP, out=context)
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


def net_from(tensors: Mapping[str, npt.NDArray[np.generic]], offsets: Sequence[Sequence[int]]) -> WindowNet:
    """The net of named int8 and int32 tensors, as training writes them. Raises ValueError if one is too large to be exact."""

    def weights(name: str, by: int) -> Float:
        tensor = tensors[name]
        if tensor.shape[0] > MAX_TERMS:
            raise ValueError(f"{name} sums {tensor.shape[0]} terms, more than the {MAX_TERMS} that are exact")
        return tensor.astype(np.float32) / np.float32(by)

    def bias(name: str, by: int) -> Float:
        return tensors[name].astype(np.float32) / np.float32(by) + np.float32(0.5 if by > 1 else 0)

    by = WEIGHT * ACTIVATION // PROJECTION
    streams = tuple(
        Stream(
            tuple(places), np.ascontiguousarray(tensors[f"{s}.embedding"], np.int8), weights(f"{s}.hidden", WEIGHT),
            bias(f"{s}.hidden_bias", WEIGHT), weights(f"{s}.projection", by), bias(f"{s}.projection_bias", by),
        )
        for s, places in enumerate(offsets)
    )  # fmt: skip
    context = weights("context", WEIGHT)
    return WindowNet(
        streams, context.reshape(3, context.shape[0] // 3, context.shape[1]), bias("context_bias", WEIGHT), weights("output", 1),
        bias("output_bias", 1),
    )  # fmt: skip
