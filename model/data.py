"""The model: a *batch* is what one step reads: samples of one window, int64. *Batches* says which samples those are: a pure
function of the tokens' content digest, the seed, the phases and the step, whatever the number of ranks, threads and
micro-batches. Its *state* is a few scalars, and any step is found at once.

    token space -> index -> text -> layout (blocks, packs or pairs) -> phases and order -> batches
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.layout import Blocks, Layout, Packed
from model.order import Permutations
from model.packing import build_packs, kept_packs
from model.pairs import AROUND, Pairs, find_seams
from model.phases import Phases, Stage, names_sources
from model.replay import Replay
from model.shard_cache import ShardCache
from model.text import Segments, Special, Text, open_text
from model.words import WordStarts
from schemas.errors import RequestError
from schemas.fingerprint import digest_json

Ints = NDArray[np.int64]
Packing = Literal["concat", "best_fit", "pairs"]


@dataclass(frozen=True)
class Batch:
    """Samples of one window."""

    ids: Tensor
    """int64 [samples, window]"""
    numbers: Tensor
    """int64 [samples], global indices: what is drawn for a sample is drawn by these, whoever reads it."""
    documents: Tensor | None = None
    """int32 [samples, window]: which document of its row a token belongs to, from 0; -1 is filling."""
    positions: Tensor | None = None
    """int64 [samples, window], counted from each document's first token in the row; 0 is filling."""
    words: Tensor | None = None
    """bool [samples, window]: which tokens begin a word."""

    def part(self, number: int, parts: int) -> Batch:
        """Micro-batch ``number`` of ``parts``; together, in order, they are the batch."""
        if len(self.ids) % parts:
            raise RequestError(f"{len(self.ids)} samples of a rank do not divide into {parts} micro-batches: change one of them")
        size = len(self.ids) // parts
        return self._rows(slice(number * size, (number + 1) * size))

    def _rows(self, which: slice) -> Batch:
        documents, positions, words = (c if c is None else c[which] for c in (self.documents, self.positions, self.words))
        return Batch(self.ids[which], self.numbers[which], documents, positions, words)


class Batches:
    """The training batches of a run; see the module."""

    def __init__(
        self,
        text: Text,
        layouts: Mapping[int, Layout],
        stages: Sequence[Stage],
        digest: str,
        seed: int,
        boundaries: bool,
        words: WordStarts | None = None,
    ) -> None:
        """``layouts`` by context; ``digest`` of the tokens and ``seed`` decide the order; ``boundaries``: carry documents and positions;
        ``words``: carry where they begin.

        Raises RequestError naming a weight of a phase that can't be kept.
        """
        self._text, self._layouts, self._boundaries, self._words = text, layouts, boundaries, words
        self.streams = list(text.index.streams)
        self.phases = Phases(stages, self.streams, {context: layout.counts for context, layout in layouts.items()})
        self._orders = {}
        for context, layout in layouts.items():
            keys = [f"{digest}/{seed}/{context}/{stream}".encode() for stream in self.streams]
            self._orders[context] = Permutations([max(count, 1) for count in layout.counts], keys)
        self._counts = {context: np.array(layout.counts, dtype=np.int64) for context, layout in layouts.items()}
        packing = {str(context): type(layout).__name__ for context, layout in layouts.items()}
        table = [[row.step, row.batch, row.context, row.streams.tolist(), row.schedule.counts.tolist()] for row in self.phases.rows]
        order = digest_json([table, packing, self.streams, text.special.bos, text.special.eos])
        self.know_words = words is not None
        self._identity: dict[str, Any] = {"tokens": digest, "seed": seed, "order": order}

    def epochs(self, step: int) -> dict[str, float]:
        """How often each stream's text has been read before ``step``; streams that no phase takes from are left out."""
        taken = sorted({int(number) for row in self.phases.rows for number in row.streams})
        found = self.phases.epochs(step)
        return {self.streams[number]: float(found[number]) for number in taken}

    def samples(self, indices: Ints) -> Batch:
        """Samples of one window by their global indices, int64 [n], in any order."""
        segments, window = self._segments(indices)
        return read_batch(self._text, segments, indices, window, self._boundaries, self._words)

    def alike(self, step: int, tokens: int) -> int:
        """How many steps from ``step`` on make up ``tokens`` tokens; at least one, and no more than its phase has."""
        phase = self.phases.of_step(step)
        later = [row.step for row in self.phases.rows if row.step > step]
        wanted = -(-tokens // (phase.batch * phase.context))
        return min(wanted, later[0] - step) if later else wanted

    def batch_at(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The share of ``rank`` in the batch of ``step`` (from 0).

        Shares in order of rank make the whole batch, whatever the number of ranks. Raises RequestError if it doesn't divide.
        """
        return self.batches_at(step, 1, rank, ranks)[0]

    def batches_at(self, step: int, count: int, rank: int = 0, ranks: int = 1) -> list[Batch]:
        """``batch_at`` for ``count`` steps of one phase; their tensors share memory."""
        phase = self.phases.of_step(step)
        if phase.batch % ranks:
            raise RequestError(f"batch {phase.batch} does not divide over {ranks} ranks: change batch or run.ranks")
        share = phase.batch // ranks
        whole = self.phases.first_sample(step) + np.arange(count * phase.batch).reshape(count, phase.batch)
        group = self.samples(whole[:, rank * share : (rank + 1) * share].ravel())
        return [group._rows(slice(number * share, (number + 1) * share)) for number in range(count)]

    def state(self, step: int) -> dict[str, Any]:
        """What a run must remember to go on at ``step``: a few scalars."""
        return {"step": step, "sample": self.phases.first_sample(step), **self._identity}

    def resume(self, state: Mapping[str, Any]) -> int:
        """The step to go on at. Raises RequestError if the state is of other tokens, another seed or other phases."""
        for name, meaning in (("tokens", "of other tokens"), ("seed", "of another seed"), ("order", "of other phases, weights or packing")):
            if state.get(name) != self._identity[name]:
                raise RequestError(
                    f"the loader's state at step {state.get('step')} is {meaning} ({name} {state.get(name)}, here {self._identity[name]}), "
                    "so samples would be repeated or left out: go on with the tokens and the recipe that it was saved with, or start "
                    "from step 0"
                )
        step = int(state["step"])
        if self.phases.first_sample(step) != state["sample"]:
            raise RequestError(f"the loader's state is damaged: step {step} does not begin at sample {state['sample']}")
        return step

    def _segments(self, indices: Ints) -> tuple[Segments, int]:
        """The segments of samples, and their window."""
        low, high = self.phases.of_sample(int(indices.min())), self.phases.of_sample(int(indices.max()))
        stream, rank = low.draw(indices) if low is high else self._draw(indices)
        epoch, place = np.divmod(rank, self._counts[low.context][stream])
        layout = self._layouts[low.context]
        return layout.segments(stream, self._orders[low.context](stream, epoch, place), indices), layout.window

    def _draw(self, indices: Ints) -> tuple[Ints, Ints]:
        """Streams and ranks of samples from several phases of one window."""
        stream, rank = np.empty_like(indices), np.empty_like(indices)
        row_of = self.phases.rows_of_samples(indices)
        if len({self.phases.rows[number].context for number in np.unique(row_of).tolist()}) > 1:
            raise ValueError(f"samples {indices.min()} to {indices.max()} have different windows: ask for them apart")
        for number in np.unique(row_of).tolist():
            here = row_of == number
            stream[here], rank[here] = self.phases.rows[number].draw(indices[here])
        return stream, rank


def read_batch(text: Text, segments: Segments, numbers: Ints, window: int, boundaries: bool, words: WordStarts | None) -> Batch:
    """Samples of one window, given by their segments, with ``numbers`` of their own, int64 [samples]."""
    samples = len(numbers)
    at, shape = segments.laid(samples, window), (samples, window)
    batch = Batch(torch.from_numpy(text.read(segments, at, samples * window)).view(shape), torch.from_numpy(numbers))
    if words is not None:
        batch = replace(batch, words=torch.from_numpy(words.read(segments, at, samples * window)).view(shape))
    if not boundaries:
        return batch
    documents, positions = np.full(samples * window, -1, dtype=np.int32), np.zeros(samples * window, dtype=np.int64)
    where = np.repeat(at - np.cumsum(segments.length) + segments.length, segments.length) + np.arange(segments.length.sum())
    documents[where] = np.repeat(np.arange(len(at)) - segments.first(), segments.length)
    positions[where] = where - np.repeat(at, segments.length)
    return replace(batch, documents=torch.from_numpy(documents).view(shape), positions=torch.from_numpy(positions).view(shape))


def training_batches(
    location: str | Path,
    stages: Sequence[Stage],
    seed: int,
    special: Special,
    *,
    packing: Packing = "concat",
    boundaries: bool = False,
    window: Callable[[int], int] = lambda context: context + 1,
    words: bool = False,
    replay: Replay | None = None,
    cache: ShardCache | None = None,
    keep: Path | None = None,
) -> Batches:
    """The batches of the training subset of the tokens artifact at a folder or URL; ``cache`` and ``keep`` as in ``open_text``.

    ``boundaries``: batches carry documents and positions; they always do with best-fit packing and pairs. ``window``: tokens of a
    sample, by context. ``words``: batches say where words begin, if the shards do. ``replay``: old and new text are streams apart.
    """
    by_source, before = names_sources([stage.mix for stage in stages]), replay.before if replay else None
    text, digest = open_text(location, "train", special, by_source=by_source, before=before, cache=cache, keep=keep)
    layouts = {stage.context: layout_of(text, window(stage.context), packing, seed, keep) for stage in stages}
    if replay:
        counts = {context: dict(zip(text.index.streams, layout.counts, strict=True)) for context, layout in layouts.items()}
        stages = replay.over(stages, counts)
    starts = WordStarts(text) if words else None
    return Batches(text, layouts, stages, digest, seed, boundaries or packing != "concat", starts if starts and starts.known else None)


def layout_of(text: Text, window: int, packing: Packing, seed: int, keep: Path | None = None) -> Layout:
    """The samples of a text; ``keep`` as in ``open_text``."""
    if packing == "concat":
        return Blocks(text, window)
    if packing == "pairs":
        return Pairs(text, window, find_seams(text.space, text.index, window - AROUND), seed)
    packs = kept_packs(text.index, text.space.digest, window, keep) if keep else build_packs(text.index, window)
    return Packed(text, window, packs)
