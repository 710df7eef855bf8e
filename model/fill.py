"""The model: to *fill* is to let an encoder say what stands at the *masks* of a text: for each, *candidates*, the likeliest tokens.

A text is framed as pretraining framed documents, by bos and eos; a model that was imported has a tokenizer that knows how.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from model.checkpoint import Mismatch, load_model
from model.encoder import EncoderModel
from model.hf.export import TOKENIZER, TOKENIZER_CONFIG

USUAL = ("[MASK]", "<mask>", "<|mask|>")
"""What tokenizers call their mask, if nothing beside them says so."""


@dataclass(frozen=True)
class Candidate:
    """A token that may stand at a mask."""

    token: str
    """As it is written in a text."""
    id: int
    probability: float


class Filler:
    """A saved encoder that fills in masks; see the module."""

    def __init__(self, folder: Path) -> None:
        """Raises `Mismatch` if the model is no encoder, has no head for hidden tokens, or its tokenizer no mask."""
        model, config = load_model(folder)
        if not isinstance(model, EncoderModel):
            raise Mismatch(f"{folder}: is {config['model_type']}, which fills in no masks; `gristmill generate` lets it go on with a text")
        if model.head is None:
            raise Mismatch(f"{folder}: has no head for hidden tokens: it was imported from a checkpoint without one")
        self.model, self.tokenizer = model, Tokenizer.from_file(str(folder / TOKENIZER))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self._framed = (folder / TOKENIZER_CONFIG).is_file()
        self._bos, self._eos = ([config[key]] if config.get(key) is not None else [] for key in ("bos_token_id", "eos_token_id"))
        self.mask, self.mask_id = mask_of(folder, config, self.tokenizer)

    def ids(self, text: str) -> list[int]:
        """A text as the model reads it. Raises ValueError if it is too long."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=self._framed).ids
        if not self._framed:
            ids = [*self._bos, *ids, *self._eos]
        if len(ids) > (most := self.model.config.context):
            raise ValueError(f"the text has {len(ids)} tokens, which is more than the model's context of {most}: shorten it")
        return ids

    @torch.no_grad()
    def fill(self, text: str, count: int = 5) -> list[list[Candidate]]:
        """For each mask in order, the likeliest tokens first. Raises ValueError for a text without a mask."""
        ids = torch.tensor([self.ids(text)])
        places = torch.nonzero(ids[0] == self.mask_id)[:, 0]
        if not len(places):
            raise ValueError(f"there is nothing to fill in: write {self.mask} where a token is wanted")
        chances = self.model.scores(self.model.hidden(ids)[0, places]).softmax(-1)
        likely = chances.topk(min(count, self.model.vocab_size))
        rows = zip(likely.indices.tolist(), likely.values.tolist(), strict=True)
        return [[Candidate(self.tokenizer.decode([i]), i, p) for i, p in zip(found, shares, strict=True)] for found, shares in rows]


def mask_of(folder: Path, config: dict[str, Any], tokenizer: Tokenizer) -> tuple[str, int]:
    """The spelling and id of the mask: as the model's config says, the tokenizer's, or a usual one."""
    number = config.get("mask_token_id")
    if number is not None and (token := tokenizer.id_to_token(number)) is not None:
        return token, number
    beside = json.loads((folder / TOKENIZER_CONFIG).read_text(encoding="utf-8")) if (folder / TOKENIZER_CONFIG).is_file() else {}
    told = beside.get("mask_token")
    for token in (told["content"] if isinstance(told, dict) else told, *USUAL):
        if token is not None and (number := tokenizer.token_to_id(token)) is not None:
            return token, number
    raise Mismatch(f"{folder / TOKENIZER}: has no mask token, so there is nothing to write where a token is wanted")
