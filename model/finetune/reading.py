"""The model: a *reading* is how a fine-tuned model sees text: framed by special tokens as its tokenizer frames it, cut to `max_tokens`. The
tokenizer is saved with the model, so that `transformers` reads a text as we do.

A tokenizer of ours is framed for it: bos before a text and eos behind it, between two texts too. One that was imported frames as it does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding, Tokenizer

from model.hf.export import TOKENIZER, TOKENIZER_CONFIG, frame_as_pretraining
from schemas.errors import RequestError

Ints = npt.NDArray[np.int64]
Text = str | tuple[str, str]
"""One text, or two that are read together."""


@dataclass(frozen=True)
class Special:
    """Ids of special tokens, as far as the model knows them."""

    bos: int | None
    eos: int | None
    pad: int
    """What fills rows: nobody sees it. Where a tokenizer has none, its eos, or else 0."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Special:
        """As a `config.json` says; of several eos the first."""
        bos, eos, pad = (config.get(f"{role}_token_id") for role in ("bos", "eos", "pad"))
        eos = eos[0] if isinstance(eos, list) else eos
        return cls(bos, eos, pad if pad is not None else eos if eos is not None else 0)


class Reading:
    """See the module."""

    def __init__(self, tokenizer: Tokenizer, max_tokens: int, pad: int) -> None:
        """`tokenizer` frames texts."""
        self.tokenizer, self.max_tokens, self.pad = tokenizer, max_tokens, pad
        tokenizer.no_padding()

    def read(self, texts: Sequence[Text]) -> list[Encoding]:
        """Texts as encodings; of two the longer is cut first."""
        self.tokenizer.enable_truncation(self.max_tokens, strategy="longest_first")
        found: list[Encoding] = self.tokenizer.encode_batch(list(texts))
        return found

    def read_words(self, texts: Sequence[Sequence[str]]) -> list[Encoding]:
        """Texts that are cut into words, as encodings that know the word of each token."""
        self.tokenizer.enable_truncation(self.max_tokens, strategy="longest_first")
        found: list[Encoding] = self.tokenizer.encode_batch([list(words) for words in texts], is_pretokenized=True)
        return found

    def read_in_windows(self, pairs: Sequence[tuple[str, str]], overlap: int) -> list[list[Encoding]]:
        """Of each pair, the first text with as many windows of the second as cover it, which overlap by `overlap` tokens. Of a first text
        that would take more than half of a window, the end is cut."""
        room = self.max_tokens - self.tokenizer.num_special_tokens_to_add(True)
        self.tokenizer.no_truncation()
        most, shortened = room // 2, []
        for (first, second), read in zip(
            pairs, self.tokenizer.encode_batch([first for first, _ in pairs], add_special_tokens=False), strict=True
        ):
            shortened.append((first if len(read.ids) <= most else first[: read.offsets[most][0]], second))
        self.tokenizer.enable_truncation(self.max_tokens, stride=min(overlap, room // 4), strategy="only_second")
        return [[encoding, *encoding.overflowing] for encoding in self.tokenizer.encode_batch(shortened)]


def reading_of(folder: Path, config: Mapping[str, Any], max_tokens: int) -> Reading:
    """How a saved model reads texts. Raises `RequestError` if it can't read so many tokens."""
    context = config.get("max_position_embeddings", config.get("n_positions"))
    if context is not None and not 2 <= max_tokens <= context:
        raise RequestError(f"max_tokens {max_tokens} is not from 2 to {context}, the context of the model in {folder}: change it")
    tokenizer, special = Tokenizer.from_file(str(folder / TOKENIZER)), Special.of(config)
    if not (folder / TOKENIZER_CONFIG).is_file():
        # Where the eos is what fills rows, transformers would take the one that ends a text for filling. T5 reads no bos.
        bos = special.bos if config.get("model_type") != "t5" else None
        frame_as_pretraining(tokenizer, bos, special.eos if special.eos != special.pad else None)
    return Reading(tokenizer, max_tokens, special.pad)


def save_reading(reading: Reading, source: Path, folder: Path, carried: Sequence[str], typed: bool) -> dict[Path, str]:
    """Write the tokenizer's files for a model that was fine-tuned from the one in `source`; return them with their roles. `carried` are the
    names of files beside the tokenizer that an imported model has; `typed`: the model tells a second text from the first."""
    reading.tokenizer.no_truncation()
    reading.tokenizer.save(str(folder / TOKENIZER))
    files = {folder / TOKENIZER: "tokenizer"}
    for name in carried:
        (folder / name).write_bytes((source / name).read_bytes())
        files[folder / name] = "transformers"
    if TOKENIZER_CONFIG not in carried:
        pad = reading.tokenizer.id_to_token(reading.pad)
        told = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, "padding_side": "right"}
        types = ["token_type_ids"] if typed else []
        told |= {"model_max_length": reading.max_tokens, "pad_token": pad, "model_input_names": ["input_ids", *types, "attention_mask"]}
        (folder / TOKENIZER_CONFIG).write_text(json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
        files[folder / TOKENIZER_CONFIG] = "transformers"
    return files
