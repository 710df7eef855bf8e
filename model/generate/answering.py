"""The model: an encoder-decoder *answers*: it reads prompts, and what it writes begins with its *start* token. Prompts read together are
padded behind, and padding is seen by nobody. To what draws tokens, an answering model is as a decoder: what it wrote so far goes in,
logits of the next token come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from model.encoder_decoder import EncoderDecoderModel, WritingCache


class Continues(Protocol):
    """What goes on from tokens: a decoder, or an answering model."""

    vocab_size: int
    lm_head: nn.Linear

    @property
    def limit(self) -> int | None:
        """Tokens that it can see at a time, if there is a limit."""

    def caches(self, batch: int, positions: int | None = None) -> list[Any]:
        """Empty caches, one a layer, for so many rows."""

    def hidden(self, ids: Tensor, caches: list[Any] | None = None, *, padding: Tensor | None = None) -> Tensor:
        """States of ids that follow what the caches hold, ready for the head."""


class Answering:
    """An encoder-decoder that has read prompts; see the module."""

    limit = None

    def __init__(self, model: EncoderDecoderModel, prompts: Sequence[Sequence[int]]) -> None:
        """Raises ValueError for an empty prompt."""
        if not all(prompts):
            raise ValueError("the prompt is empty: end it with the tokenizer's eos token")
        self._model, self.vocab_size, self.lm_head = model, model.vocab_size, model.lm_head
        device, longest = model.lm_head.weight.device, max(map(len, prompts))
        ids = torch.tensor([list(prompt) + [0] * (longest - len(prompt)) for prompt in prompts], device=device)
        text = torch.arange(longest, device=device) < torch.tensor([[len(prompt)] for prompt in prompts], device=device)
        with torch.no_grad():
            self._read = model.read(ids, None if bool(text.all()) else text)

    def caches(self, batch: int, positions: int | None = None) -> list[WritingCache]:
        """Of all prompts; ``positions``: tokens to have room for, which have no limit but this."""
        if batch != len(self._read.states) or positions is None:
            raise ValueError(f"{batch} rows of {positions} tokens: want a number, and a row for each of {len(self._read.states)} prompts")
        return self._model.caches(self._read, positions)

    def hidden(self, ids: Tensor, caches: list[WritingCache] | None = None, *, padding: Tensor | None = None) -> Tensor:
        """All rows start at one place, so there is no padding."""
        return self._model.hidden(ids, self._read, caches)
