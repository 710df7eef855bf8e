"""The model: a *reader* is a saved decoder or encoder with its tokenizer, as probes ask it: which tokens a text is, framed as in
pretraining
(a decoder's behind its bos, an encoder's between bos and eos), and how likely they are.

The *surprise* of tokens is the nats that a causal model needs for them, given all that stands before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from model.checkpoint import Mismatch, load_model
from model.encoder import EncoderModel
from model.encoder_decoder import EncoderDecoderModel
from model.families import Causal
from model.fill import mask_of
from model.hf.export import TOKENIZER, TOKENIZER_CONFIG

BATCH = 16
"""Texts that are read at a time."""


class Reader:
    """See the module."""

    def __init__(self, folder: Path) -> None:
        """Raises `Mismatch` naming the file that is not as it should be."""
        model, config = load_model(folder)
        if isinstance(model, EncoderDecoderModel):
            raise Mismatch(f"{folder}: is {config['model_type']}: this needs a decoder or an encoder")
        self.model: Causal | EncoderModel = model
        self.name: str = config["model_type"]
        self._folder, self._config = folder, config
        self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self._framed = (folder / TOKENIZER_CONFIG).is_file()
        self._bos, self._eos = ([config[key]] if config.get(key) is not None else [] for key in ("bos_token_id", "eos_token_id"))

    @property
    def goes_on(self) -> bool:
        """Whether the model goes on with a text."""
        return not isinstance(self.model, EncoderModel)

    @property
    def causal(self) -> Causal:
        """The model, if it goes on with a text. Raises `Mismatch` if it is an encoder."""
        if isinstance(self.model, EncoderModel):
            raise Mismatch(f"is {self.name}, an encoder, which does not go on with a text: this needs a decoder")
        return self.model

    @property
    def begins(self) -> list[int]:
        """What stands before a text; nothing if the model knows no bos."""
        return [int(token) for token in self._bos]

    @property
    def ends(self) -> frozenset[int]:
        """Tokens that end a text."""
        return frozenset(number for one in self._eos for number in (one if isinstance(one, list) else [one]))

    def tokens(self, text: str) -> list[int]:
        """A text's tokens alone."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def ids(self, text: str) -> list[int]:
        """A text as the model reads it. Raises ValueError if nothing is left to read, or it is too long."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=self._framed).ids
        if not self._framed:
            ids = [*self._bos, *ids, *(self._eos if isinstance(self.model, EncoderModel) else [])]
        elif isinstance(self.model, Causal) and self._bos and ids[:1] != self._bos:
            ids = [*self._bos, *ids]
        if not ids:
            raise ValueError("the text is empty, and the model has no bos token to begin with: give it a text")
        limit = self.model.config.context if isinstance(self.model, EncoderModel) else self.model.limit
        if limit is not None and len(ids) > limit:
            raise ValueError(f"the text has {len(ids)} tokens, which is more than the model's context of {limit}: shorten it")
        return ids

    def mask(self) -> tuple[str, int]:
        """How the tokenizer writes its mask, and its id. Raises `Mismatch` if it has none."""
        return mask_of(self._folder, self._config, self.tokenizer)

    def special(self, ids: Sequence[int]) -> set[int]:
        """Places of special tokens, such as those that frame a text."""
        special = {number for number, token in self.tokenizer.get_added_tokens_decoder().items() if token.special}
        return {place for place, token in enumerate(ids) if token in special}

    def calm_token(self) -> int:
        """A token that says nothing: an encoder's mask; a decoder's eos, bos or pad, or else the vocabulary's first."""
        if isinstance(self.model, EncoderModel):
            return self.mask()[1]
        known = [*self._eos, *self._bos, self._config.get("pad_token_id"), 0]
        return next(int(token[0] if isinstance(token, list) else token) for token in known if token is not None)

    def written(self, token: int) -> str:
        """A token for people: its text; one that is a part of a character, by its bytes as the tokenizer writes them."""
        text: str = self.tokenizer.decode([token], skip_special_tokens=False)
        return text if text and "\ufffd" not in text else str(self.tokenizer.id_to_token(token))


@torch.no_grad()
def surprise(model: Causal, texts: Sequence[Sequence[int]], begins: Sequence[int] | None = None) -> list[Tensor]:
    """For each text, float64 [tokens] nats of those from ``begins`` on (1 unless told: the first is given). A batch's padding stands
    behind, where no causal model looks. Raises ValueError past the context."""
    found: list[Tensor] = [torch.empty(0)] * len(texts)
    order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
    for first in range(0, len(order), BATCH):
        rows = order[first : first + BATCH]
        longest = max(len(texts[row]) for row in rows)
        ids = torch.tensor([[*texts[row], *[0] * (longest - len(texts[row]))] for row in rows])
        nats = F.cross_entropy(model(ids[:, :-1]).double().transpose(1, 2), ids[:, 1:], reduction="none")
        for place, row in enumerate(rows):
            found[row] = nats[place, (begins[row] if begins else 1) - 1 : len(texts[row]) - 1]
    return found
