"""The model: an *embedder* makes a *vector* of a text: the mean of an encoder's states over its tokens, those of its frame included, of
length 1; the encoder may be that of an encoder-decoder. Texts are read a few at a time, those of like length together, and long ones
fewer: attention of an encoder-decoder takes memory by the square of the tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor

from model.encoder import FILLING, EncoderModel
from model.encoder_decoder import EncoderDecoderModel

_TOGETHER, _SQUARES = 16, 16 * 512**2
"""Texts that are read at a time, and what the squares of their padded lengths may sum to, unless one alone has more."""


class Embedder:
    """See the module."""

    def __init__(
        self, model: EncoderModel | EncoderDecoderModel, tokenizer: Tokenizer, framed: bool, bos: int | None, eos: int | None
    ) -> None:
        """``framed``: whether the tokenizer knows how to frame a text; else bos and eos do."""
        self._model, self._bos, self._eos = model, [bos] if bos is not None else [], [eos] if eos is not None else []
        self._tokenizer, self._framed = tokenizer, framed

    @property
    def context(self) -> int:
        """Tokens that it reads: as many as in its training, which bounds the memory that it takes, too."""
        return self._model.config.context

    @property
    def vocab_size(self) -> int:
        return self._model.vocab_size

    def ids(self, text: str) -> list[int]:
        """A text as the model reads it: as pretraining framed documents, or as an imported tokenizer does."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=self._framed).ids
        return ids if self._framed else [*self._bos, *ids, *self._eos]

    @torch.no_grad()
    def vectors(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """float32 [texts, width], each of length 1."""
        found = torch.empty(len(texts), self._model.config.width)
        for chosen in together([len(text) for text in texts]):
            found[torch.tensor(chosen)] = self._read([texts[number] for number in chosen])
        return found

    def _read(self, texts: Sequence[Sequence[int]]) -> Tensor:
        longest, device = max(map(len, texts)), next(self._model.parameters()).device
        ids = torch.tensor([[*text, *[0] * (longest - len(text))] for text in texts], device=device)
        inside = torch.arange(longest, device=device) < torch.tensor([[len(text)] for text in texts], device=device)
        states = self._states(ids, None if bool(inside.all()) else inside).float()
        sums = (states * inside[..., None]).sum(1)  # its direction is the mean's
        return torch.nn.functional.normalize(sums, dim=-1).cpu()

    def _states(self, ids: Tensor, inside: Tensor | None) -> Tensor:
        if isinstance(self._model, EncoderDecoderModel):
            return self._model.read(ids, inside).states
        return self._model.hidden(ids, documents=None if inside is None else torch.where(inside, 0, FILLING))


def together(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of texts that are read at a time, the shortest first."""
    chosen = list[int]()
    for number in sorted(range(len(lengths)), key=lambda number: lengths[number]):
        if chosen and (len(chosen) == _TOGETHER or (len(chosen) + 1) * lengths[number] ** 2 > _SQUARES):
            yield chosen
            chosen = []
        chosen.append(number)
    if chosen:
        yield chosen
