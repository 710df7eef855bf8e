"""The model: a *prompt* is read as the model was taught to read one: behind the bos, or framed by a tokenizer that was imported; with the
*separator* behind it that fine-tuning put there; by an encoder-decoder, up to its eos.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from model.checkpoint import Mismatch
from model.families import start_of
from model.hf.export import TOKENIZER, TOKENIZER_CONFIG


class Prompts:
    """How a saved model reads prompts; see the module."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        """`config` is the model's `config.json`. Raises `Mismatch` for that of an encoder-decoder without eos or start."""
        reads_apart = config.get("model_type") == "t5"
        self.tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.taught: dict[str, Any] = config.get("gristmill", {})
        """What fine-tuning wrote down of its task; empty if there was none."""
        self.separator: str | None = self.taught.get("separator")
        answers = self.taught.get("max_new_tokens", 0) if self.separator is not None else 0
        most = self.taught.get("max_tokens") if self.separator is not None or reads_apart else None
        self._most: int | None = None if most is None else most - answers
        """Ids of a prompt; None: as many as there are. A longer one loses its end, as in what was learned (`model.finetune.writing`)."""
        self.tokenizer.encode_special_tokens = bool(self.taught)  # as it read its examples
        self.framed = (folder / TOKENIZER_CONFIG).is_file()
        self.bos: int | None = config.get("bos_token_id")
        eos = config.get("eos_token_id")
        self.eos: tuple[int, ...] = tuple(eos) if isinstance(eos, list) else () if eos is None else (eos,)
        self.start = start_of(config)
        """What an encoder-decoder begins to write with; None: a text goes on from its prompt."""
        if reads_apart and (not self.eos or self.start is None):
            raise Mismatch(f"{folder}: config.json has no eos_token_id, or no decoder_start_token_id: an encoder-decoder needs both")

    def ids(self, prompt: str) -> list[int]:
        """What a model goes on from, empty if the prompt is, and the model has no bos; or what an encoder-decoder reads, up to an eos."""
        ids = self._encoded(prompt)
        if self.start is not None:
            return ids if self.framed and ids else [*ids, min(self.eos)]
        return [self.bos, *ids] if (not self.framed or not ids) and self.bos is not None else ids

    def _encoded(self, prompt: str) -> list[int]:
        ids = self._ids(prompt + (self.separator or ""), self.framed)
        if self._most is None or len(ids) <= self._most:
            return ids
        around, behind = self._ids("", self.framed), self._ids(self.separator or "", False)
        kept = self._ids(prompt, False)[: self._most - len(around) - len(behind)]
        return [*kept, *around] if self.separator is None else [*around, *kept, *behind]

    def _ids(self, text: str, framed: bool) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=framed).ids
        return ids
