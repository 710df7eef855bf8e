"""The model: a *stream* is all documents of one language and subset, each as bos + tokens + eos, one after another in
shard order. A *block* is context + 1 tokens of it; neighbouring blocks share one token, so every token but the first is
predicted once an epoch. A *batch* is what `order` picks for one step.

Shards stay memory-mapped: a stream knows where its documents lie, and tokens are copied only into batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from model.order import Permutation, Schedule, integer_weights
from schemas.arrow import read_shard
from schemas.artifact import Artifact, Damaged
from schemas.errors import RequestError


class Stream:
    """The documents of one language and subset as one long sequence of token ids, addressable at any position."""

    def __init__(
        self,
        pieces: list[NDArray[Any]],
        piece: NDArray[np.int64],
        start: NDArray[np.int64],
        length: NDArray[np.int64],
        n_bytes: NDArray[np.int64],
        bos: int,
        eos: int,
    ) -> None:
        """Document d is ``pieces[piece[d]][start[d] : start[d] + length[d]]``; ``n_bytes`` are its bytes of UTF-8 text."""
        self.n_bytes = n_bytes
        self._pieces, self._piece, self._start = pieces, piece, start
        self._begin = np.concatenate(([0], np.cumsum(length + 2)))
        self._bos, self._eos = bos, eos

    @property
    def tokens(self) -> int:
        """Length, bos and eos included."""
        return int(self._begin[-1])

    @property
    def documents(self) -> int:
        return len(self.n_bytes)

    def length(self, document: int) -> int:
        """Tokens of a document, bos and eos included."""
        return int(self._begin[document + 1] - self._begin[document])

    def document(self, document: int) -> NDArray[np.int64]:
        """All tokens of a document, bos and eos included."""
        return self.at(np.arange(self._begin[document], self._begin[document + 1]))

    def at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Token ids at positions, int64 of any shape in and out."""
        document = np.searchsorted(self._begin, positions, side="right") - 1
        inside = positions - self._begin[document] - 1
        ids = np.full(positions.shape, self._bos, dtype=np.int64)
        ids[positions == self._begin[document + 1] - 1] = self._eos
        text = (inside >= 0) & (positions < self._begin[document + 1] - 1)
        piece, place = self._piece[document], self._start[document] + inside
        for number in np.unique(piece[text]):
            here = text & (piece == number)
            ids[here] = self._pieces[number][place[here]]
        return ids


def open_streams(shards: Iterable[Path], subset: str, bos: int, eos: int) -> dict[str, Stream]:
    """The streams of a subset, by language in sorted order, over token shards in their order.

    Token columns are views of the mapped files. Raises Damaged naming a shard without the columns of a token shard.
    """
    pieces: list[NDArray[Any]] = []
    found: dict[str, list[tuple[NDArray[np.int64], ...]]] = {}
    for path in shards:
        for batch in _batches(path):
            tokens = batch.column("tokens")
            offsets = tokens.offsets.to_numpy()
            pieces.append(tokens.values.to_numpy(zero_copy_only=True))
            langs, subsets = batch.column("lang").to_numpy(zero_copy_only=False), batch.column("subset").to_numpy(zero_copy_only=False)
            n_bytes = batch.column("n_bytes").to_numpy().astype(np.int64)
            for lang in set(langs[subsets == subset]):
                rows = np.flatnonzero((langs == lang) & (subsets == subset))
                piece = np.full(len(rows), len(pieces) - 1, dtype=np.int64)
                found.setdefault(lang, []).append((piece, offsets[rows], offsets[rows + 1] - offsets[rows], n_bytes[rows]))
    streams = {}
    for lang in sorted(found):
        piece, start, length, n_bytes = (np.concatenate(column) for column in zip(*found[lang], strict=True))
        streams[lang] = Stream(pieces, piece, start, length, n_bytes, bos, eos)
    return streams


def _batches(path: Path) -> Iterator[pa.RecordBatch]:
    table = read_shard(path)
    missing = {"tokens", "lang", "subset", "n_bytes"} - set(table.column_names)
    if missing:
        raise Damaged(f"{path}: is not a token shard: it has no column {sorted(missing)[0]!r}")
    yield from table.to_batches()


class Batches:
    """The training batches of a run; a pure function of (content digest, seed, step). Its state is the step alone."""

    def __init__(self, streams: Mapping[str, Stream], mix: Mapping[str, float], context: int, digest: str, seed: int) -> None:
        """``mix`` weighs the languages (empty: by blocks). Raises RequestError naming a language with too little text."""
        self.context = context
        self._key = f"{digest}/{seed}"
        blocks = {lang: (stream.tokens - 1) // context for lang, stream in streams.items()}
        for lang in mix:
            if mix[lang] > 0 and not blocks.get(lang):
                have = ", ".join(f"{name} {count:,}" for name, count in blocks.items()) or "none"
                raise RequestError(
                    f"mix: {lang!r} has no block of {context + 1} tokens to train on (blocks: {have}): change mix or the corpus"
                )
        weights = integer_weights(mix or {lang: count for lang, count in blocks.items() if count})
        self.languages = sorted(weights)
        self._streams = [streams[lang] for lang in self.languages]
        self._blocks = np.array([blocks[lang] for lang in self.languages], dtype=np.int64)
        self._schedule = Schedule([weights[lang] for lang in self.languages])

    def epochs(self, samples: int) -> dict[str, float]:
        """How often each language's text has been seen after so many samples."""
        turn, _ = self._schedule.at(np.arange(self._schedule.period))
        share = np.bincount(turn, minlength=len(self.languages)) / self._schedule.period
        return {lang: float(samples * share[i] / self._blocks[i]) for i, lang in enumerate(self.languages)}

    def samples(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Global sample indices int64 [n] -> blocks int64 [n, context + 1]."""
        turn, rank = self._schedule.at(indices)
        epoch, place = np.divmod(rank, self._blocks[turn])
        out = np.empty((len(indices), self.context + 1), dtype=np.int64)
        for number, which in {(int(t), int(e)) for t, e in zip(turn, epoch, strict=True)}:
            here = (turn == number) & (epoch == which)
            key = f"{self._key}/{self.languages[number]}/{which}".encode()
            block = Permutation(int(self._blocks[number]), key)(place[here])
            out[here] = self._streams[number].at(block[:, None] * self.context + np.arange(self.context + 1))
        return out

    def batch_at(self, step: int, rank: int, ranks: int, batch: int) -> torch.Tensor:
        """The share of ``rank`` in the batch of ``step`` (from 0): int64 [batch / ranks, context + 1].

        Shares in order of rank make the whole batch, whatever the number of ranks. Raises RequestError if it doesn't divide.
        """
        if batch % ranks:
            raise RequestError(f"batch {batch} does not divide over {ranks} ranks: change batch or run.ranks")
        share = batch // ranks
        return torch.from_numpy(self.samples(step * batch + rank * share + np.arange(share)))


def training_batches(tokens: Artifact, mix: Mapping[str, float], context: int, seed: int, bos: int, eos: int) -> Batches:
    """The batches of the training subset of a tokens artifact."""
    streams = open_streams(tokens.paths("tokens"), "train", bos, eos)
    return Batches(streams, mix, context, tokens.manifest.content_digest, seed)


def validation_streams(tokens: Artifact, bos: int, eos: int) -> dict[str, Stream]:
    """The streams of the validation subset of a tokens artifact, by language."""
    return open_streams(tokens.paths("tokens"), "validation", bos, eos)
