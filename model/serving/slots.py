"""The model: a *slot* is the place of a row in a running batch. The first slots are taken, the others free; each has a *length* of its
own, the tokens that its caches hold. A prompt is *read* by itself, then *joins* with what was read; a row that *leaves* gives its
place to the last one. A slot of an encoder-decoder has two: what it writes, and its *memory* of what it read.

`generate.rows` pads rows to one length, as all begin together. Here each stands at its own place in its slot, so that a new one
costs the others nothing. What is made of a row is the same, whatever is in the slots beside it (but for float noise).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from model.decoder import DecoderModel
from model.encoder_decoder import EncoderDecoderModel, hide
from model.families import Causal
from model.generate.answering import Answering
from model.generate.rows import next_logits
from model.layers import LayerCache
from model.recurrent import RecurrentModel

_FIRST = 64
"""Positions that slots have room for at first; it doubles when a row needs more, and so do they."""


@dataclass(frozen=True)
class Read:
    """A prompt that was read: what its caches hold, one a layer, and logits of the next token, float [vocab]."""

    tokens: int
    caches: list[Any]
    logits: Tensor


class Slots(Protocol):
    """The batch of a model."""

    @property
    def taken(self) -> int:
        """How many are."""

    def read(self, prompt: Sequence[int]) -> Read:
        """Read a prompt; the batch is left alone."""

    def join(self, read: Read) -> None:
        """Take the next slot for a row."""

    def leave(self, slot: int) -> None:
        """Free a slot; the last row that is taken moves there."""

    def step(self, ids: Sequence[int]) -> Tensor:
        """Give each row its next token; logits of the one after it, float [taken, vocab]."""


def slots_of(model: Causal | EncoderDecoderModel, start: int | None = None) -> Slots:
    """The empty batch of a model; an encoder-decoder begins to write with ``start``."""
    if isinstance(model, EncoderDecoderModel):
        assert start is not None
        return _Answers(model, start)
    return _States(model) if isinstance(model, RecurrentModel) else _Keys(model)


class SlotCache(LayerCache):
    """Keys and values of one layer: a slot for each row, [slots, kv_heads, positions, head_width]."""

    places: Tensor
    """Where the next token of each row that is taken goes, int64 [taken]."""
    end = 0
    """Positions up to the furthest of them."""

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put one position of each row, [taken, kv_heads, 1, head_width], at its place, and return all up to the furthest."""
        taken = len(self.places)
        rows = torch.arange(taken, device=keys.device)
        self.keys[rows, :, self.places] = keys[:, :, 0]
        self.values[rows, :, self.places] = values[:, :, 0]
        return self.keys[:taken, :, : self.end], self.values[:taken, :, : self.end]

    def grow(self, slots: int, positions: int) -> None:
        """Have room for so many."""
        wider = (0, 0, 0, positions - self.keys.shape[2], 0, 0, 0, slots - self.keys.shape[0])
        self.keys, self.values = F.pad(self.keys, wider), F.pad(self.values, wider)

    def put(self, slot: int, keys: Tensor, values: Tensor, tokens: int) -> None:
        """Copy what was read of a prompt, [1, kv_heads, positions, head_width], into a slot."""
        self.keys[slot, :, :tokens], self.values[slot, :, :tokens] = keys[0, :, :tokens], values[0, :, :tokens]

    def leave(self, slot: int, lengths: Sequence[int]) -> None:
        """A row of some of these lengths goes, the last one takes its slot. What no row holds is zero: no mask hides what isn't finite."""
        last, tokens = len(lengths) - 1, lengths[-1]
        if slot < last:
            self.keys[slot, :, :tokens], self.values[slot, :, :tokens] = self.keys[last, :, :tokens], self.values[last, :, :tokens]
            self.keys[slot, :, tokens : lengths[slot]] = self.values[slot, :, tokens : lengths[slot]] = 0
        self.keys[last, :, :tokens] = self.values[last, :, :tokens] = 0


def _have_room(caches: Sequence[SlotCache], rows: int, positions: int, most: int = sys.maxsize) -> None:
    """Let all layers have room for so many rows of so many positions, and for more than that, up to the ``most`` positions."""
    slots, _, room, _ = caches[0].keys.shape
    if rows > slots or positions > room:
        slots = 2 * slots if rows > slots else slots
        room = min(max(2 * room, positions), most) if positions > room else room
        for cache in caches:
            cache.grow(slots, room)


def _leave(slot: int, caches: Sequence[SlotCache], lengths: list[int]) -> None:
    """Let a row go from all layers, and its length from those of all rows."""
    for cache in caches:
        cache.leave(slot, lengths)
    last = lengths.pop()
    if slot < len(lengths):
        lengths[slot] = last


class _Keys:
    """Slots of a decoder."""

    def __init__(self, model: DecoderModel) -> None:
        self._model, self._lengths = model, list[int]()
        config, weight = model.config, model.lm_head.weight
        self._caches = [
            SlotCache(1, config.kv_heads, min(_FIRST, config.context), config.head_size, weight.dtype, weight.device)
            for _ in range(config.layers)
        ]

    @property
    def taken(self) -> int:
        return len(self._lengths)

    def read(self, prompt: Sequence[int]) -> Read:
        caches = self._model.caches(1, len(prompt))
        return Read(len(prompt), caches, next_logits(self._model, self._tensor([prompt]), caches)[0])

    def join(self, read: Read) -> None:
        _have_room(self._caches, self.taken + 1, read.tokens, self._model.limit)
        for cache, found in zip(self._caches, read.caches, strict=True):
            cache.put(self.taken, found.keys, found.values, read.tokens)
        self._lengths.append(read.tokens)

    def leave(self, slot: int) -> None:
        _leave(slot, self._caches, self._lengths)

    def step(self, ids: Sequence[int]) -> Tensor:
        places, end = self._tensor(self._lengths), max(self._lengths) + 1
        _have_room(self._caches, self.taken, end, self._model.limit)
        for cache in self._caches:
            cache.places, cache.end = places, end
        seen = torch.arange(end, device=places.device) <= places[:, None]
        states = self._model.model.read(self._tensor(ids)[:, None], places[:, None], seen[:, None, None], self._caches)
        self._lengths = [length + 1 for length in self._lengths]
        return self._model.lm_head(states[:, -1])[:, : self._model.vocab_size]

    def _tensor(self, numbers: Sequence[Any]) -> Tensor:
        return torch.tensor(numbers, device=self._model.lm_head.weight.device)


class _Answers:
    """Slots of an encoder-decoder."""

    def __init__(self, model: EncoderDecoderModel, start: int) -> None:
        self._model, self._start = model, start
        self._written, self._read = list[int](), list[int]()
        config, weight = model.config, model.lm_head.weight
        self._caches, self._memories = (
            [SlotCache(1, config.heads, _FIRST, config.head_size, weight.dtype, weight.device) for _ in range(config.layers)]
            for _ in range(2)
        )

    @property
    def taken(self) -> int:
        return len(self._written)

    def read(self, prompt: Sequence[int]) -> Read:
        answering = Answering(self._model, [prompt])
        caches = answering.caches(1, 1)
        return Read(len(prompt), caches, next_logits(answering, self._tensor([[self._start]]), caches)[0])

    def join(self, read: Read) -> None:
        slot = self.taken
        _have_room(self._caches, slot + 1, 1)
        _have_room(self._memories, slot + 1, read.tokens)
        for cache, memory, found in zip(self._caches, self._memories, read.caches, strict=True):
            cache.put(slot, found.keys, found.values, 1)
            keys, values = found.memory
            memory.put(slot, keys, values, read.tokens)
        self._written.append(1)
        self._read.append(read.tokens)

    def leave(self, slot: int) -> None:
        _leave(slot, self._caches, self._written)
        _leave(slot, self._memories, self._read)

    def step(self, ids: Sequence[int]) -> Tensor:
        places, end, longest = self._tensor(self._written), max(self._written) + 1, max(self._read)
        _have_room(self._caches, self.taken, end)
        for cache in self._caches:
            cache.places, cache.end = places, end
        memories = [(memory.keys[: self.taken, :, :longest], memory.values[: self.taken, :, :longest]) for memory in self._memories]
        hidden = hide(torch.arange(longest, device=places.device) < self._tensor(self._read)[:, None])
        states = self._model.go_on(self._tensor(ids)[:, None], self._model.decoder.bias.at(places, end), self._caches, memories, hidden)
        self._written = [length + 1 for length in self._written]
        return self._model.logits(states[:, -1])

    def _tensor(self, numbers: Sequence[Any]) -> Tensor:
        return torch.tensor(numbers, device=self._model.lm_head.weight.device)


class _States:
    """Slots of a recurrent model, whose states have one size."""

    def __init__(self, model: RecurrentModel) -> None:
        self._model, self._caches, self.taken = model, model.caches(0), 0

    def read(self, prompt: Sequence[int]) -> Read:
        caches = self._model.caches(1)
        return Read(len(prompt), caches, next_logits(self._model, torch.tensor([list(prompt)]), caches)[0])

    def join(self, read: Read) -> None:
        for cache, found in zip(self._caches, read.caches, strict=True):
            (output, cell), (new_output, new_cell) = cache.state, found.state
            cache.state = torch.cat((output, new_output), 1), torch.cat((cell, new_cell), 1)
        self.taken += 1

    def leave(self, slot: int) -> None:
        self.taken -= 1
        kept = [*range(slot), self.taken, *range(slot + 1, self.taken)] if slot < self.taken else list(range(slot))
        for cache in self._caches:
            cache.select(torch.tensor(kept, dtype=torch.long))

    def step(self, ids: Sequence[int]) -> Tensor:
        return next_logits(self._model, torch.tensor(ids)[:, None], self._caches)
